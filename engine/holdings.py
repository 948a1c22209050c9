"""What a venue holds at one instant: markets with prices and books, accounts with wallets, collateral and positions, the fund.

It is how any venue's positions come to the band, the stress grid, the cascade and sizing, as JSON with sizes in base units and
prices in quote units, and as our own venue is seen by them (`holdings_of`). `docs/risk.md` shows a file.

>>> from engine.instruments import load_pack
>>> text = '''{"markets": [{"symbol": "BTC-PERP", "mark": 64000, "bids": [[63995, 1.5]], "asks": [[64005, 2]]}],
...   "accounts": [{"account": "a", "cash": 700, "positions": [{"symbol": "BTC-PERP", "size": "0.1", "entry": 65000}]}]}'''
>>> found = read_holdings(text.encode(), load_pack("core"))
>>> found.accounts[0].positions[0].lots, found.markets[0].bids
(100, ((12799, 1500),))
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from engine.book import top_levels
from engine.contract import MICRO, Side
from engine.exact import Number, exact, not_negative, positive, rounded
from engine.instruments import Instrument, Pack
from engine.venue import Venue
from engine.wallets import MOST_MICRO

SCHEMA: Final = 1
LEVELS: Final = 512
"""Price levels of a side that are looked at."""

_Text = Annotated[str, Meta(min_length=1, max_length=64)]
_Figure = int | float | str


class HoldingsError(ValueError):
    """Holdings that cannot be used; says which market, account or position, and why."""


class MarketFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A market as the file has it. `mark` drives margin; `bids` and `asks` are (price, size), the best first."""

    symbol: _Text
    mark: _Figure
    bids: tuple[tuple[_Figure, _Figure], ...] = ()
    asks: tuple[tuple[_Figure, _Figure], ...] = ()
    index: _Figure | None = None
    last: _Figure | None = None


class CollateralFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An asset that wallets hold besides the quote: `haircut` of its price does not count; `follows` the index of a market."""

    asset: _Text
    price: _Figure
    haircut: _Figure = 0
    follows: str = ""


class PositionFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`size` in base units, short is negative; with a `wallet` of its own it is isolated."""

    symbol: _Text
    size: _Figure
    entry: _Figure
    wallet: _Figure | None = None


class AccountFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An account. Those with the same `pool` share what they have, and are margined together."""

    account: _Text
    cash: _Figure = 0
    mode: Literal["cross", "portfolio"] = "cross"
    pool: str = ""
    collateral: dict[str, _Figure] = {}
    positions: tuple[PositionFile, ...] = ()


class HoldingsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    markets: tuple[MarketFile, ...]
    accounts: tuple[AccountFile, ...]
    collateral: tuple[CollateralFile, ...] = ()
    fund: _Figure = 0
    schema: Literal[1] = 1
    pack: str = "core"


class MarketHeld(NamedTuple):
    """A market in integers: prices in micro-ticks (0: not known), book as (ticks, lots), the best first."""

    instrument: Instrument
    mark: int
    index_price: int
    last_price: int
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class Collateral(NamedTuple):
    """An asset: micro-units of the quote for one of it, share of that which does not count in ppm, number of the market
    or -1."""

    asset: str
    price: int
    haircut_ppm: int
    follows: int


class PositionHeld(NamedTuple):
    """A position: number of its market, lots (short is negative), what was paid for it and its own wallet (None: cross) in
    micro-units of the quote."""

    market: int
    lots: int
    cost: int
    wallet: int | None


class AccountHeld(NamedTuple):
    """An account: cash in micro-units; collateral as (number of the asset, millionths of one)."""

    account: str
    cash: int
    is_portfolio: bool
    pool: str
    collateral: tuple[tuple[int, int], ...]
    positions: tuple[PositionHeld, ...]


class Holdings(NamedTuple):
    """All of it. `fund` is the insurance fund's equity in micro-units."""

    pack: Pack
    markets: tuple[MarketHeld, ...]
    collateral: tuple[Collateral, ...]
    accounts: tuple[AccountHeld, ...]
    fund: int

    def market(self, symbol: str) -> int:
        """Number of a market; KeyError without it."""
        for k, market in enumerate(self.markets):
            if market.instrument.symbol == symbol:
                return k
        raise KeyError(symbol)


class Units(NamedTuple):
    """What is margined together: the cross positions of an account or of a pool of accounts, or one isolated position.

    Attributes:
        names: of the units.
        homes: unit of each account's cross wallet.
        cash: micro-units, after positions were paid for: equity is cash + collateral + value of positions.
        portfolio: 1 for portfolio mode.
        positions: (unit, market, lots, cost), one for each unit and market.
    """

    names: tuple[str, ...]
    homes: dict[str, int]
    cash: tuple[int, ...]
    portfolio: tuple[int, ...]
    positions: tuple[tuple[int, int, int, int], ...]


def pack_named(data: bytes) -> str:
    """Name of the pack that a file wants.

    Raises:
        HoldingsError: it is no such file.
    """
    return _decode(data).pack


def read_holdings(data: bytes, pack: Pack) -> Holdings:
    """Reads a file with the instruments of a pack.

    Raises:
        HoldingsError: not JSON, an unknown key or symbol, a NaN, a price or size that is none, a size that is no whole lot, a
            crossed or unsorted book, an account or position that comes twice.
    """
    file = _decode(data)
    markets: list[MarketHeld] = []
    numbers: dict[str, int] = {}
    for row in file.markets:
        if row.symbol in numbers:
            raise HoldingsError(f"market {row.symbol!r} comes twice")
        numbers[row.symbol] = len(markets)
        markets.append(_market(row, pack))
    assets: dict[str, int] = {}
    collateral: list[Collateral] = []
    for asset in file.collateral:
        where = f"collateral {asset.asset!r}"
        if asset.asset in assets:
            raise HoldingsError(f"{where} comes twice")
        if asset.follows and asset.follows not in numbers:
            raise HoldingsError(f"{where} follows {asset.follows!r}, which is no market of the file")
        assets[asset.asset] = len(collateral)
        haircut = _ppm(asset.haircut, f"{where}: haircut")
        price = _micro(asset.price, f"{where}: price", least=0)
        collateral.append(Collateral(asset.asset, price, haircut, numbers.get(asset.follows, -1)))
    accounts = []
    known: set[str] = set()
    for account in file.accounts:
        if account.account in known:
            raise HoldingsError(f"account {account.account!r} comes twice")
        known.add(account.account)
        accounts.append(_account(account, markets, numbers, assets))
    return Holdings(pack, tuple(markets), tuple(collateral), tuple(accounts), _micro(file.fund, "fund"))


def holdings_of(venue: Venue, pack: Pack) -> Holdings:
    """What our own venue holds. The fund's positions come as an account called "fund"; pools and collateral it has none.

    Raises:
        HoldingsError: a market has no mark yet.
    """
    markets = []
    scratch = np.zeros((2, LEVELS), np.int64)
    for k, instrument in enumerate(venue.instruments):
        sides = []
        for side in (Side.BUY, Side.SELL):
            count = top_levels(venue.books[k], int(side), LEVELS, scratch[0], scratch[1])
            sides.append(tuple((int(ticks), int(lots)) for ticks, lots in scratch[:, :count].T))
        price = venue.prices[k]
        if venue.terms.prices[k] == 0:
            raise HoldingsError(f"market {instrument.symbol!r} has no mark yet")
        markets.append(
            MarketHeld(instrument, int(venue.terms.prices[k]), int(price["index"]), int(price["last"]), sides[0], sides[1])
        )
    wallets = venue.wallets
    accounts = []
    for a in range(venue.accounts):
        positions = tuple(
            PositionHeld(
                int(k),
                int(wallets.held[a, k]),
                int(wallets.cost[a, k]),
                int(wallets.isolated[a, k] + wallets.cost[a, k]) if wallets.alone[a, k] else None,
            )
            for k in np.flatnonzero(wallets.held[a])
        )
        # Our wallets are what is left after positions were paid for; a file's are what there is beside entry prices.
        cash = int(wallets.cash[a]) + sum(held.cost for held in positions if held.wallet is None)
        accounts.append(AccountHeld(str(a), cash, bool(wallets.portfolio[a]), "", (), positions))
    fund = venue.fund_account
    taken = tuple(
        PositionHeld(int(k), int(wallets.held[fund, k]), int(wallets.cost[fund, k]), None)
        for k in np.flatnonzero(wallets.held[fund])
    )
    money = int(wallets.cash[fund]) + sum(held.cost for held in taken)
    if taken:
        accounts.append(AccountHeld("fund", 0, False, "", (), taken))
    return Holdings(pack, tuple(markets), (), tuple(accounts), money)


def units_of(holdings: Holdings) -> Units:
    """Merges the accounts of a pool, and sets isolated positions apart.

    Raises:
        HoldingsError: a pool with accounts in cross and in portfolio mode.
    """
    homes: dict[str, int] = {}
    names: list[str] = []
    cash: list[int] = []
    portfolio: list[int] = []
    pooled: dict[str, int] = {}
    merged: dict[tuple[int, int], list[int]] = {}
    for account in holdings.accounts:
        unit = pooled.get(account.pool) if account.pool else None
        if unit is None:
            unit = len(names)
            names.append(account.pool or account.account)
            cash.append(0)
            portfolio.append(int(account.is_portfolio))
            if account.pool:
                pooled[account.pool] = unit
        elif portfolio[unit] != account.is_portfolio:
            raise HoldingsError(f"pool {account.pool!r} has accounts in cross and in portfolio mode")
        homes[account.account] = unit
        cash[unit] += account.cash
        for position in account.positions:
            own = unit
            if position.wallet is not None:
                own = len(names)
                names.append(f"{account.account} {holdings.markets[position.market].instrument.symbol}")
                cash.append(position.wallet)
                portfolio.append(0)
            cash[own] -= position.cost
            row = merged.setdefault((own, position.market), [0, 0])
            row[0] += position.lots
            row[1] += position.cost
    rows = [(unit, market, lots, cost) for (unit, market), (lots, cost) in merged.items() if lots]
    return Units(tuple(names), homes, tuple(cash), tuple(portfolio), tuple(rows))


def written(holdings: Holdings) -> bytes:
    """The file of holdings, for `read_holdings`."""
    markets = []
    for held in holdings.markets:
        tick, lot = exact(held.instrument.tick_size), exact(held.instrument.lot_size)
        book = [tuple((_text(ticks * tick), _text(lots * lot)) for ticks, lots in side) for side in (held.bids, held.asks)]
        index, last = (_text(Fraction(price, MICRO) * tick) if price else None for price in (held.index_price, held.last_price))
        mark = _text(Fraction(held.mark, MICRO) * tick)
        markets.append(MarketFile(held.instrument.symbol, mark, book[0], book[1], index, last))
    assets = [row.asset for row in holdings.collateral]
    accounts = []
    for account in holdings.accounts:
        positions = []
        for position in account.positions:
            instrument = holdings.markets[position.market].instrument
            size = position.lots * exact(instrument.lot_size)
            wallet = None if position.wallet is None else _text(Fraction(position.wallet, MICRO))
            entry = Fraction(position.cost, MICRO) / size
            positions.append(PositionFile(instrument.symbol, _text(size), f"{float(entry):.12g}", wallet))
        amounts: dict[str, _Figure] = {assets[c]: _text(Fraction(amount, MICRO)) for c, amount in account.collateral}
        mode: Literal["cross", "portfolio"] = "portfolio" if account.is_portfolio else "cross"
        cash = _text(Fraction(account.cash, MICRO))
        accounts.append(AccountFile(account.account, cash, mode, account.pool, amounts, tuple(positions)))
    collateral = tuple(
        CollateralFile(
            row.asset,
            _text(Fraction(row.price, MICRO)),
            _text(Fraction(row.haircut_ppm, MICRO)),
            holdings.markets[row.follows].instrument.symbol if row.follows >= 0 else "",
        )
        for row in holdings.collateral
    )
    file = HoldingsFile(
        tuple(markets), tuple(accounts), collateral, _text(Fraction(holdings.fund, MICRO)), pack=holdings.pack.name
    )
    return msgspec.json.format(msgspec.json.encode(file), indent=1)


def _decode(data: bytes) -> HoldingsFile:
    try:
        return msgspec.json.decode(data, type=HoldingsFile)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HoldingsError(f"this is no file of holdings: {error}") from error


def _market(row: MarketFile, pack: Pack) -> MarketHeld:
    where = f"market {row.symbol!r}"
    try:
        instrument = pack.instrument(row.symbol)
    except KeyError:
        raise HoldingsError(f"{where} is no instrument of pack {pack.name}") from None
    tick, lot = exact(instrument.tick_size), exact(instrument.lot_size)
    prices = []
    for name in ("mark", "index", "last"):
        value = getattr(row, name)
        prices.append(0 if value is None else _price(value, tick, f"{where}: {name}"))
    book = []
    for name, sign in (("bids", -1), ("asks", 1)):
        levels: list[tuple[int, int]] = []
        for number, (price, size) in enumerate(getattr(row, name), 1):
            at = f"{where}: {name} level {number}"
            # Rounded against who must trade with it: a bid down, an ask up.
            ticks = rounded(_number(price, f"{at}: price") / tick, "down" if sign < 0 else "up")
            lots = rounded(_number(size, f"{at}: size") / lot, "down")
            if ticks < 1 or lots < 0:
                raise HoldingsError(f"{at} is {price} x {size}, it must be worth at least a tick and not be negative")
            if levels and (ticks - levels[-1][0]) * sign < 0:
                raise HoldingsError(f"{at} is better than the one before it; the best comes first")
            if levels and ticks == levels[-1][0]:
                levels[-1] = (ticks, levels[-1][1] + lots)
            elif lots:
                levels.append((ticks, lots))
        book.append(tuple(levels[:LEVELS]))
    if book[0] and book[1] and book[0][0][0] >= book[1][0][0]:
        raise HoldingsError(f"{where}: the best bid is not below the best ask")
    return MarketHeld(instrument, prices[0], prices[1], prices[2], book[0], book[1])


def _account(row: AccountFile, markets: list[MarketHeld], numbers: dict[str, int], assets: dict[str, int]) -> AccountHeld:
    where = f"account {row.account!r}"
    positions = []
    known: set[str] = set()
    for held in row.positions:
        at = f"{where}: position {held.symbol!r}"
        if held.symbol not in numbers:
            raise HoldingsError(f"{at} is in no market of the file")
        if held.symbol in known:
            raise HoldingsError(f"{at} comes twice")
        known.add(held.symbol)
        market = markets[numbers[held.symbol]]
        lots = _number(held.size, f"{at}: size") / exact(market.instrument.lot_size)
        if lots.denominator != 1:
            raise HoldingsError(f"{at}: size {held.size} is no multiple of the lot, {market.instrument.lot_size}")
        entry = _number(held.entry, f"{at}: entry")
        if entry <= 0:
            raise HoldingsError(f"{at}: entry is {held.entry}, it must be above zero")
        cost = entry * lots * exact(market.instrument.lot_size) * MICRO
        worth = abs(lots) * market.mark * market.instrument.notional_micro / MICRO
        if max(abs(cost), worth) >= MOST_MICRO:
            raise HoldingsError(f"{at} is worth more than can be margined, {MOST_MICRO // MICRO}")
        wallet = None if held.wallet is None else _micro(held.wallet, f"{at}: wallet")
        if lots:
            positions.append(PositionHeld(numbers[held.symbol], int(lots), rounded(cost, "half_even"), wallet))
    amounts = []
    for asset, amount in row.collateral.items():
        if asset not in assets:
            raise HoldingsError(f"{where}: {asset!r} is no collateral of the file")
        amounts.append((assets[asset], _micro(amount, f"{where}: {asset!r}", least=0)))
    cash = _micro(row.cash, f"{where}: cash")
    return AccountHeld(row.account, cash, row.mode == "portfolio", row.pool, tuple(amounts), tuple(positions))


def _number(value: Number, name: str) -> Fraction:
    try:
        return exact(value, name)
    except ValueError as error:
        raise HoldingsError(str(error)) from None


def _price(value: Number, tick: Fraction, name: str) -> int:
    """Micro-ticks."""
    try:
        ticks = rounded(positive(value, name) / tick * MICRO, "half_even")
    except ValueError as error:
        raise HoldingsError(str(error)) from None
    if not 0 < ticks < 2**53:
        raise HoldingsError(f"{name} is {value}, which is beyond what a price can be")
    return ticks


def _micro(value: Number, name: str, least: int | None = None) -> int:
    number = rounded(_number(value, name) * MICRO, "half_even")
    if abs(number) >= MOST_MICRO or (least is not None and number < least):
        raise HoldingsError(f"{name} is {value}, it must be from {-(MOST_MICRO // MICRO) if least is None else least} up to"
                            f" {MOST_MICRO // MICRO}")  # fmt: skip
    return number


def _ppm(value: Number, name: str) -> int:
    try:
        number = not_negative(value, name)
    except ValueError as error:
        raise HoldingsError(str(error)) from None
    if number > 1:
        raise HoldingsError(f"{name} is {value}, it must be from 0 to 1")
    return rounded(number * MICRO, "half_even")


def _text(number: Fraction) -> str:
    """A decimal that is read back as it was: sizes, prices and money here have at most 12 decimals."""
    sign = "-" if number < 0 else ""
    whole, rest = divmod(rounded(abs(number) * 10**12, "half_even"), 10**12)
    return f"{sign}{whole}.{rest:012d}".rstrip("0").rstrip(".")
