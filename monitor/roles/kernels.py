"""Where compiled kernels are kept, and whether those of a run are there already.

Numba keeps a kernel's machine code until the kernel's own file changes, and does not see that a kernel it calls, in another
file, has changed: after an update it would go on with old code, silently. So the cache is a folder named by the content of
all our code: new code, new folder. And because every role would compile for itself, all at once, a warm-up compiles before
they start, where it can be seen; a stamp in the folder remembers for which kind of run that was done.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from monitor.config import FilesSpec, RunConfig

_ROOT: Final = Path(__file__).resolve().parents[2]
_PACKAGES: Final = ("engine", "models", "monitor")
_VARIABLE: Final = "NUMBA_CACHE_DIR"


def use_cache() -> None:
    """Names the cache folder to numba, here and in every child. To be called before numba is imported.

    A folder that the user chose stays the user's choice.
    """
    os.environ.setdefault(_VARIABLE, str(_own_folder()))


def is_warm(config: RunConfig) -> bool:
    """Whether the kernels for a run like `config` were compiled into the cache in use."""
    return _stamp(config).exists()


def mark_warm(config: RunConfig) -> None:
    """Remembers that the kernels for a run like `config` are compiled, and drops those of this code's older states."""
    stamp = _stamp(config)
    # A cache that cannot be written is slow, not wrong.
    with contextlib.suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    own = _own_folder()
    if stamp.parent == own:
        for folder in own.parent.glob(f"{own.name.rpartition('-')[0]}-*"):
            if folder != own:
                shutil.rmtree(folder, ignore_errors=True)


def _stamp(config: RunConfig) -> Path:
    source = config.source
    kind = f"files-{source.format}" if isinstance(source, FilesSpec) else "venue"
    return Path(os.environ.get(_VARIABLE) or _own_folder()) / f"warm-{kind}-{_digest(_code())[:16]}"


def _own_folder() -> Path:
    """Named by where the code lies (two checkouts do not share, for numba's index holds times of files) and what it says."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "perpwatch"
    return home / f"kernels-{_digest(str(_ROOT).encode())[:8]}-{_digest(_code())[:16]}"


def _code() -> bytes:
    parts = [f"{sys.version} {metadata.version('numba')} {metadata.version('numpy')}".encode()]
    for package in _PACKAGES:
        parts += [path.read_bytes() for path in sorted((_ROOT / package).rglob("*.py"))]
    return b"\0".join(parts)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
