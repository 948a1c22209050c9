"""Where compiled kernels are kept, and whether those of a run are there already.

Numba keeps a kernel's machine code until the kernel's own file changes, and does not see that a kernel it calls, in another
file, has changed: after an update it would go on with old code, silently. So the cache is a folder named by the content of
all modules with kernels, and of all that these import: new code, new folder. And because every role would compile for
itself, all at once, a warm-up compiles before they start, where it can be seen; a stamp in the folder remembers for which
kind of run that was done.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import re
import shutil
import sys
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

from monitor.config import FilesSpec, RunConfig

_ROOT: Final = Path(__file__).resolve().parents[2]
_PACKAGES: Final = ("engine", "models", "monitor")
_HAS_KERNELS: Final = re.compile(rb"^(from|import) (numba|engine\.kernel)\b", re.MULTILINE)
_VARIABLE: Final = "NUMBA_CACHE_DIR"


class CacheError(Exception):
    """No folder for compiled kernels: what, where, what to do."""

    exit_code: Final = 2


def use_cache() -> Path:
    """Names a cache folder that can be written to numba, here and in every child. To be called before numba is imported.

    A folder that the user chose stays the user's choice; without one it lies in the user's cache folder, and where that cannot
    be written, among the temporary files.

    Raises:
        CacheError: none of them can be written. Numba does not run without one.
    """
    chosen = os.environ.get(_VARIABLE)
    folders = [Path(chosen)] if chosen else [home / _own_name() for home in _homes()]
    for folder in folders:
        if _usable(folder):
            os.environ[_VARIABLE] = str(folder)
            return folder
    raise CacheError(
        f"{folders[-1]}: compiled kernels cannot be kept there; set NUMBA_CACHE_DIR to a folder that you may write to"
    )


def is_warm(config: RunConfig) -> bool:
    """Whether the kernels for a run like `config` were compiled into the cache in use."""
    return _stamp(config).exists()


def mark_warm(config: RunConfig) -> None:
    """Remembers that the kernels for a run like `config` are compiled, and drops those of this code's older states."""
    stamp = _stamp(config)
    # The stamp is a hint: without it the next start looks once more.
    with contextlib.suppress(OSError):
        stamp.touch()
    own = stamp.parent
    if own.name == _own_name():
        for folder in own.parent.glob(f"{own.name.rpartition('-')[0]}-*"):
            if folder != own:
                shutil.rmtree(folder, ignore_errors=True)


def _stamp(config: RunConfig) -> Path:
    source = config.source
    kind = f"files-{source.format}" if isinstance(source, FilesSpec) else type(source).__name__
    return Path(os.environ[_VARIABLE]) / f"warm-{kind}-{_digest(_code())[:16]}"


def _homes() -> list[Path]:
    """Where the cache may lie, the better place first. One among the temporary files is each user's own."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # Path's own raises without a home
    return [home / "perpwatch", Path(tempfile.gettempdir()) / f"perpwatch-cache-{os.getuid()}"]


def _own_name() -> str:
    """By where the code lies (two checkouts do not share, for numba's index holds times of files) and what it says."""
    return f"kernels-{_digest(str(_ROOT).encode())[:8]}-{_digest(_code())[:16]}"


def _usable(folder: Path) -> bool:
    """Whether `folder` is there, or could be made, and is ours to write: what lies in it will be run as code."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder.parent.stat().st_uid in (0, os.getuid())
    except OSError:
        return False


def _code() -> bytes:
    versions = f"{sys.version} {metadata.version('numba')} {metadata.version('numpy')}"
    return versions.encode() + b"\0" + _sources()


@cache
def _sources() -> bytes:
    """The modules with kernels, and all of ours that they import."""
    texts = {path: path.read_bytes() for package in _PACKAGES for path in sorted((_ROOT / package).rglob("*.py"))}
    wanted = [path for path, text in texts.items() if _HAS_KERNELS.search(text)]
    used: set[Path] = set()
    while wanted:
        path = wanted.pop()
        if path in texts and path not in used:
            used.add(path)
            wanted += _imports(texts[path])
    return b"\0".join(texts[path] for path in sorted(used))


def _imports(text: bytes) -> list[Path]:
    """Where the modules of ours lie that a module imports names of, or that it imports themselves."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in _PACKAGES:
            folder = _ROOT.joinpath(*node.module.split("."))
            modules = [folder / f"{alias.name}.py" for alias in node.names]
            found += [path for path in modules if path.exists()]
            if not all(path.exists() for path in modules):
                found += [folder.with_suffix(".py"), folder / "__init__.py"]
    return found


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
