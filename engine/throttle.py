"""The token bucket of an account and the bans of those who ignore it: RISK-SPEC 9.14, `docs/matching.md` section 8.

The bucket is kept as the time at which it will be full again (the generic cell rate algorithm): one number, no division.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.contract import OpFlag, OpKind, Reason
from engine.kernel import constant, inner

_NONE: Final = constant(Reason.NONE)
_THROTTLED: Final = constant(Reason.THROTTLED)
_BANNED: Final = constant(Reason.BANNED)
_NEW: Final = constant(OpKind.NEW)
_AMEND: Final = constant(OpKind.AMEND)
_QUOTE: Final = constant(OpKind.QUOTE)
_REDUCING: Final = constant(OpFlag.REDUCE_ONLY | OpFlag.CLOSE_POSITION)


@inner
def weight(rules: np.void, kind: int, flags: int) -> int:
    """Tokens that an op takes."""
    if kind == _NEW and flags & _REDUCING:
        tokens: int = rules["reduce_only"]
    elif kind in (_NEW, _AMEND, _QUOTE):
        tokens = rules["order"]
    else:
        tokens = rules["cancel"]
    return tokens


@inner
def spend(rules: np.void, account: np.void, tokens: int, now_ns: int) -> tuple[int, int]:
    """Takes tokens from an account's bucket. Returns (Reason, retry-after in nanoseconds): NONE and 0 if they were there."""
    if tokens == 0 or rules["interval_ns"] == 0:
        return _NONE, 0
    if now_ns < account["banned_until_ns"]:
        return _BANNED, account["banned_until_ns"] - now_ns
    if now_ns < account["retry_ns"]:
        account["ignored"] += 1
        if account["ignored"] < rules["ban_after"]:
            return _THROTTLED, account["retry_ns"] - now_ns
        return _BANNED, _ban(rules, account, now_ns)
    full_ns = max(account["full_ns"], now_ns) + tokens * rules["interval_ns"]
    wait_ns = full_ns - now_ns - rules["burst"] * rules["interval_ns"]
    if wait_ns > 0:
        account["retry_ns"] = now_ns + wait_ns
        return _THROTTLED, wait_ns
    account["full_ns"] = full_ns
    account["ignored"] = 0
    return _NONE, 0


@inner
def _ban(rules: np.void, account: np.void, now_ns: int) -> int:
    """Bans an account. Returns for how long, nanoseconds."""
    if now_ns - account["banned_until_ns"] >= rules["ban_longest_ns"]:
        account["bans"] = 0
    account["bans"] += 1
    length_ns: int = rules["ban_first_ns"]
    for _ in range(account["bans"] - 1):
        length_ns = min(2 * length_ns, rules["ban_longest_ns"])
        if length_ns == rules["ban_longest_ns"]:
            break
    length_ns = min(length_ns, rules["ban_longest_ns"])
    account["banned_until_ns"] = now_ns + length_ns
    account["ignored"] = 0
    account["retry_ns"] = 0
    return length_ns
