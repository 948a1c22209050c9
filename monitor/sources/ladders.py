"""Reads a file of Binance brackets: `{symbol: [rows]}`, JSON or gzipped JSON, as freqtrade keeps them.

Each row's `info` has `notionalFloor`, `notionalCap`, `initialLeverage`, `maintMarginRatio` and `cum`. Nothing is taken on
trust: a bracket must begin where the one before ends, rates must not fall, and `cum` must follow from floors and rates.
"""

from __future__ import annotations

import gzip
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Final

import msgspec

from engine.exact import exact, positive
from engine.margin.ladder import Ladder, LadderError, make_ladder
from monitor.sources import SourceError

_DO: Final = "take the file from its source again, or correct this entry"
_KEYS: Final = ("notionalFloor", "notionalCap", "initialLeverage", "maintMarginRatio", "cum")
_CUM_ERROR: Final = Fraction(1, 10**9)
"""Of the published `cum`, which was computed in binary fractions."""


def read_ladders(path: Path) -> dict[str, Ladder]:
    """Every symbol's ladder.

    Raises:
        SourceError: the file cannot be read, is torn or no such file, or an entry is wrong; says which symbol, tier and key.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        table = msgspec.json.decode(data, type=dict[str, list[dict[str, object]]])
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror or error}", str(path), "check path and permissions") from error
    except (EOFError, zlib.error) as error:
        raise SourceError(f"is torn: {error}", str(path), _DO) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"is no file of brackets: {error}", str(path), _DO) from error
    if not table:
        raise SourceError("has no symbol", str(path), _DO)
    return {symbol: _ladder(path, symbol, rows) for symbol, rows in table.items()}


def _ladder(path: Path, symbol: str, rows: list[dict[str, object]]) -> Ladder:
    tiers = []
    caps: list[Fraction] = []
    cums: list[Fraction] = []
    for number, row in enumerate(rows, 1):
        where = f"{path}: {symbol!r}, tier {number}"
        info = row.get("info")
        if not isinstance(info, dict):
            raise SourceError("has no info", where, _DO)
        numbers = []
        for key in _KEYS:
            value = info.get(key)
            try:
                if not isinstance(value, str | int | float):
                    raise ValueError(f"{key} is {value!r}, it must be a number")
                numbers.append(exact(value, key))
            except ValueError as error:
                raise SourceError(str(error), where, _DO) from None
        floor, cap, leverage, rate, cum = numbers
        if caps and floor != caps[-1]:
            raise SourceError(f"notionalFloor is {_plain(floor)}, the tier before ends at {_plain(caps[-1])}", where, _DO)
        if cap <= floor:
            raise SourceError(f"notionalCap is {_plain(cap)}, it must be above notionalFloor, {_plain(floor)}", where, _DO)
        try:
            tiers.append((floor, 1 / positive(leverage, "initialLeverage"), rate))
        except ValueError as error:
            raise SourceError(str(error), where, _DO) from None
        caps.append(cap)
        cums.append(cum)
    try:
        ladder = make_ladder(symbol, tiers, version=path.name, cap=caps[-1] if caps else None)
    except LadderError as error:
        raise SourceError(str(error), str(path), _DO) from None
    for number, (tier, cum) in enumerate(zip(ladder.tiers, cums, strict=True), 1):
        if abs(tier.deduction - cum) > _CUM_ERROR:
            said = f"cum is {_plain(cum)}, from floors and rates it is {_plain(tier.deduction)}"
            raise SourceError(said, f"{path}: {symbol!r}, tier {number}", _DO)
    return ladder


def _plain(number: Fraction) -> str:
    return f"{float(number):.12g}"
