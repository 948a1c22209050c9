"""Whether the compiled kernels are there already, so that nobody waits for a warm-up that has nothing to do.

Numba caches what it compiles on disk. Without a warm-up every role would compile for itself, all at once; with one, it
happens once, before they start, and is seen. A stamp remembers for which code it was done. It is a hint and no more: when
it is wrong, roles compile what they miss.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from monitor.config import FilesSpec, RunConfig

_ROOT: Final = Path(__file__).resolve().parents[2]
_PACKAGES: Final = ("engine", "models", "monitor/metrics", "monitor/sources")


def is_warm(config: RunConfig) -> bool:
    """Whether the kernels for a run like `config` were compiled here and are still cached."""
    try:
        cached = _stamp(config).read_text().splitlines()
    except OSError:
        return False
    return bool(cached) and all(Path(line).exists() for line in cached)


def mark_warm(config: RunConfig) -> None:
    """Remembers that the kernels for a run like `config` are compiled, where there is a place to remember it."""
    stamp = _stamp(config)
    with contextlib.suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        temporary = stamp.with_suffix(f".{os.getpid()}")
        temporary.write_text("\n".join(sorted(str(path) for path in _cache_indexes())))
        temporary.replace(stamp)


def _stamp(config: RunConfig) -> Path:
    """The stamp's path: it names everything that decides which machine code is needed."""
    source = config.source
    kind = "venue"
    if isinstance(source, FilesSpec):
        kind = f"files {source.format} {sorted({Path(path).suffix for path in source.paths})}"
    digest = hashlib.sha256(f"{sys.version} {metadata.version('numba')} {metadata.version('numpy')} {_ROOT} {kind}".encode())
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            stat = path.stat()
            digest.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return _cache_home() / f"warm-{digest.hexdigest()[:32]}"


def _cache_home() -> Path:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        return Path(chosen) / "perpwatch"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "perpwatch"


def _cache_indexes() -> list[Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folders = [Path(chosen)] if chosen else [_ROOT / package for package in _PACKAGES]
    return [path for folder in folders for path in folder.rglob("*.nbi")]
