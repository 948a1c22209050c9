"""Before anything imports numba: tests run the code that stands here, not what a cache remembers of an older one."""

from __future__ import annotations

from monitor.roles.kernels import use_cache

use_cache()
