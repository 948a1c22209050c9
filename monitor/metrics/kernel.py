"""One compiled pass from events to metric rows: the books, the five families, and the closing of windows.

Events come in the order and at the times that `monitor.metrics.watermark` gave them, so `now_ns` never falls. What one event
does depends on what came before it alone, never on where a batch ends.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from engine.book import NO_SYMBOL, apply_event, level_qty, order_lookup, top_levels
from engine.contract import MICRO, NO_ACCOUNT, EventFlag, EventKind, Reason, Reference
from monitor.metrics import accounts, actors, cancels, data, depth, forced, impact, leverage, prices, shape

BOARD_LEVELS: Final = 20
"""Levels a side that are kept of each book as it stood when the last window closed."""

SYMBOL_DTYPE: Final = np.dtype(
    [
        ("data", data.DATA_DTYPE),
        ("flow", cancels.FLOW_DTYPE),
        ("depth", depth.DEPTH_DTYPE),
        ("prices", prices.PRICES_DTYPE),
        ("open_interest", leverage.OPEN_INTEREST_DTYPE),
        ("forced", forced.FORCED_DTYPE),
        ("impact", impact.IMPACT_DTYPE),
        ("holders", "<i8"),
        ("active", "<i8"),
        ("tick_usd", "<f8"),
        ("value_usd", "<f8"),
        ("notional_micro", "<i8"),
        ("board_count", "<i8", (2,)),
        ("board_price", "<i8", (2, BOARD_LEVELS)),
        ("board_lots", "<i8", (2, BOARD_LEVELS)),
    ]
)
"""One symbol: its families' state; how long its lists of who holds and of who acted are; what a tick and what one lot at one
tick are worth; its best levels at the last close."""

SETTINGS_DTYPE: Final = np.dtype(
    [("step_ns", "<i8"), ("decay", "<f8"), ("orders", "<i8"), ("deep", "<i8"), ("accounts", "<i8"), ("book", "<i8")]
)
"""What a run is made of: window length, what a window leaves of the usual depth's weights, and whether the source gives
`orders`, `deep_book`, `accounts` and a `book`."""

CLOCK_DTYPE: Final = np.dtype(
    [
        ("started", "<i8"),
        ("window", "<i8"),
        ("window_events", "<i8"),
        ("events", "<i8"),
        ("late", "<i8"),
        ("skipped_windows", "<i8"),
        ("unknown_symbols", "<i8"),
        ("unknown_accounts", "<i8"),
        ("bad_trades", "<i8"),
    ]
)
"""Where event time is: the open window's index (its end / step) and how many events but CLOCKs it has had. The rest counts
since the start of the run."""

STATUSES: Final = 16
"""Room for every `BookStatus`, which `run` counts."""

_ADD: Final = int(EventKind.ADD)
_CANCEL: Final = int(EventKind.CANCEL)
_TRADE: Final = int(EventKind.TRADE)
_REJECT: Final = int(EventKind.REJECT)
_LEVEL: Final = int(EventKind.LEVEL)
_CLEAR: Final = int(EventKind.CLEAR)
_REFERENCE: Final = int(EventKind.REFERENCE)
_TRANSFER: Final = int(EventKind.TRANSFER)
_CLOCK: Final = int(EventKind.CLOCK)
_GAP: Final = int(EventKind.GAP)
_STATE: Final = int(EventKind.STATE)
_ACK: Final = int(EventKind.ACK)
_LEDGER: Final = int(EventKind.LEDGER)
_ASSIGN: Final = int(EventKind.ASSIGN)
_STANDING: Final = int(EventKind.STANDING)
_FEED_LAG: Final = int(Reference.FEED_LAG)
_THROTTLED: Final = int(Reason.THROTTLED)
_BANNED: Final = int(Reason.BANNED)
_AMENDED: Final = int(Reason.AMENDED)
_REPLACED: Final = int(Reason.REPLACED)
_TAKEOVER: Final = int(Reason.TAKEOVER)
_HIGHEST_TRADE: Final = (2**63 - 1) // MICRO  # in ticks; the last price is kept in micro-ticks
_HIDDEN: Final = int(EventFlag.HIDDEN)
_SNAPSHOT: Final = int(EventFlag.SNAPSHOT)
_DERIVED: Final = int(EventFlag.DERIVED)
_LIQUIDATION: Final = int(EventFlag.LIQUIDATION)


def new_symbols(symbols: int) -> np.ndarray:
    """SYMBOL_DTYPE [symbols] that have seen nothing."""
    state = np.zeros(symbols, SYMBOL_DTYPE)
    state["flow"] = cancels.new_flow(symbols)
    state["prices"] = prices.new_prices(symbols)
    return state


@njit(cache=True, nogil=True)
def count_windows(times: Any, jumps: Any, until: int, settings: Any, clock: Any) -> int:
    """How many windows `run` will close with the same arguments."""
    step_ns = settings[0]["step_ns"]
    if not clock[0]["started"] and len(times) == 0:
        return 0
    window = clock[0]["window"] if clock[0]["started"] else times[0] // step_ns + 1
    count = 0
    jump = 0
    while window <= until:
        count += 1
        window, jump = _next_window(window, step_ns, jumps, jump)
    return count


@njit(cache=True, nogil=True)
def run(
    events: Any,
    times: Any,
    jumps: Any,
    until: int,
    settings: Any,
    clock: Any,
    symbols: Any,
    books: Any,
    account_flow: Any,
    active: Any,
    prints: Any,
    positions: Any,
    holders: Any,
    opening: Any,
    cash_micro: Any,
    levels: Any,
    money: Any,
    scratch: Any,
    statuses: Any,
    window_index: Any,
    values: Any,
    top: Any,
    span: Any,
    rows: Any,
) -> None:
    """Applies `events` at `times`, then closes every window up to index `until`; those that `jumps` span are left out.

    The first three are what `monitor.metrics.watermark` lets go; no time lies after window `until` + 1.

    State, changed in place: `clock` CLOCK_DTYPE [1], `symbols` SYMBOL_DTYPE [S], `books` [S], `account_flow`
    ACCOUNT_FLOW_DTYPE and `active` int64 [S, N], `prints` PRINT_DTYPE [S, …], `positions` and `opening` int64 [S, N],
    `holders` HOLDER_DTYPE [S, N], `cash_micro` and `levels` (AccountLevel as told last) int64 [N], `money` MONEY_DTYPE [N],
    `scratch` int64 [N] of zeros, `statuses` int64 [STATUSES]. Results, for the W windows that `count_windows` tells:
    `window_index` int64 [W], `values` float64 [W, S, M], who did most in `top` (`monitor.metrics.actors.Actors`), and
    what each account did in `rows` (`monitor.metrics.accounts.AccountRows`), of which `span` counts those written.
    """
    rules = settings[0]
    time = clock[0]
    row = 0
    jump = 0
    for i in range(len(events)):
        now_ns = times[i]
        target = now_ns // rules["step_ns"] + 1
        if not time["started"]:
            time["started"] = 1
            _open(time, symbols, target, rules["step_ns"])
        while time["window"] < target:
            _close(
                rules,
                time,
                symbols,
                books,
                account_flow,
                active,
                positions,
                holders,
                opening,
                cash_micro,
                levels,
                money,
                scratch,
                row,
                window_index,
                values,
                top,
                span,
                rows,
            )
            jump = _advance(time, symbols, span, rules["step_ns"], jumps, jump)
            row += 1
        time["events"] += 1
        if events[i]["kind"] != _CLOCK:
            time["window_events"] += 1
            _apply(
                rules,
                time,
                events[i],
                now_ns,
                symbols,
                books,
                account_flow,
                active,
                prints,
                positions,
                holders,
                cash_micro,
                levels,
                money,
                statuses,
            )
    while time["started"] and time["window"] <= until:
        _close(
            rules,
            time,
            symbols,
            books,
            account_flow,
            active,
            positions,
            holders,
            opening,
            cash_micro,
            levels,
            money,
            scratch,
            row,
            window_index,
            values,
            top,
            span,
            rows,
        )
        jump = _advance(time, symbols, span, rules["step_ns"], jumps, jump)
        row += 1


@njit(cache=True, nogil=True)
def _next_window(window: int, step_ns: int, jumps: Any, jump: int) -> tuple[int, int]:
    """(the window after `window`, the next jump to look for): the one that a jump leads to, where one starts in `window`."""
    following = window + 1
    while jump < len(jumps) and jumps[jump, 0] // step_ns + 1 < following:
        following = max(following, jumps[jump, 1] // step_ns + 1)
        jump += 1
    return following, jump


@njit(cache=True, nogil=True)
def _open(time: Any, symbols: Any, window: int, step_ns: int) -> None:
    """Opens `window` with nothing known of what was before it."""
    time["window"] = window
    for s in range(len(symbols)):
        depth.start(symbols[s]["depth"], (window - 1) * step_ns)
        prices.start(symbols[s]["prices"])
        impact.start(symbols[s]["impact"])
        leverage.start(symbols[s]["open_interest"])


@njit(cache=True, nogil=True)
def _advance(time: Any, symbols: Any, span: Any, step_ns: int, jumps: Any, jump: int) -> int:
    """Opens the window after the one that has just closed. Returns the next jump to look for."""
    following, jump = _next_window(time["window"], step_ns, jumps, jump)
    time["window_events"] = 0
    if following == time["window"] + 1:
        time["window"] = following
    else:
        time["skipped_windows"] += following - time["window"] - 1
        accounts.drop(span)
        _open(time, symbols, following, step_ns)
    return jump


@njit(cache=True, nogil=True)
def _close(
    rules: Any,
    time: Any,
    symbols: Any,
    books: Any,
    account_flow: Any,
    active: Any,
    positions: Any,
    holders: Any,
    opening: Any,
    cash_micro: Any,
    levels: Any,
    money: Any,
    scratch: Any,
    row: int,
    window_index: Any,
    values: Any,
    top: Any,
    span: Any,
    rows: Any,
) -> None:
    window = time["window"]
    end_ns = window * rules["step_ns"]
    window_index[row] = window
    lot_usd = np.zeros(len(symbols))
    reach_usd = np.zeros((len(symbols), 2, len(shape.FAR)))
    for s in range(len(symbols)):
        symbol = symbols[s]
        out = values[row, s]
        _sample(symbol, books[s], depth.SAMPLES, rules["deep"])
        depth.settle(symbol["depth"], end_ns)
        mid = symbol["depth"]["mid"] if depth.two_sided(symbol["depth"]) else 0.0
        data.close(symbol["data"], end_ns, rules["step_ns"], out)
        lot_usd[s] = symbol["value_usd"] * prices.valuation(symbol["prices"], mid)
        who, most, whole = top.accounts[row, s], top.amounts[row, s], top.whole[row, s]
        actors.close(symbol, s, account_flow[s], active[s], lot_usd[s], span, who, most, whole)
        cancels.close(symbol["flow"], most[actors.CANCELS, 0], out)
        depth.close(symbol["depth"], window, rules["decay"], symbol["value_usd"], out)
        forced.close(symbol["forced"], symbol["value_usd"], out)
        price = mid if rules["book"] else prices.last_price(symbol["prices"])
        prices.close(symbol["prices"], mid, price, end_ns, symbol["tick_usd"], out)
        impact.close(symbol["impact"], window, rules["step_ns"], depth.SAMPLES, rules["decay"], symbol["value_usd"], price, out)
        state = symbol["depth"]
        shape.close(books[s], state["mid"], state["known"], rules["deep"], rules["accounts"], scratch, symbol["value_usd"], out)
        if rules["accounts"] and rules["deep"] and state["known"]:
            shape.reach(books[s], state["mid"], symbol["value_usd"], reach_usd[s])
    if rules["accounts"]:
        standing = np.zeros(len(cash_micro))
        eased = np.zeros(len(cash_micro))
        equity_micro = cash_micro.copy()
        leverage.value_accounts(symbols, positions, holders, equity_micro, lot_usd, money, standing, eased)
    for s in range(len(symbols)):
        symbol = symbols[s]
        out = values[row, s]
        lots = symbol["prices"]["open_interest"]
        known = symbol["prices"]["open_interest_ns"] != prices.NEVER
        if rules["accounts"]:
            forced.close_accounts(symbol, positions[s], holders[s], levels, money, out)
            leverage.close_bankruptcies(symbol, positions[s], holders[s], equity_micro, lot_usd[s], reach_usd[s], out)
            held = leverage.close_accounts(
                symbol,
                positions[s],
                holders[s],
                opening[s],
                standing,
                eased,
                money,
                lot_usd[s],
                s,
                account_flow[s],
                window,
                span,
                out,
                top.accounts[row, s],
                top.amounts[row, s],
                top.whole[row, s],
            )
            if not known:
                lots = held
                known = True
        leverage.close_open_interest(symbol["open_interest"], lots, known, lot_usd[s], out)
    forced.start_money(money)
    if rules["accounts"] and window % accounts.SPAN == 0:
        accounts.close(span, window, standing, equity_micro, rows)
    if row == len(window_index) - 1:
        for s in range(len(symbols)):
            for side in range(2):
                symbols[s]["board_count"][side] = top_levels(
                    books[s], side, BOARD_LEVELS, symbols[s]["board_price"][side], symbols[s]["board_lots"][side]
                )


@njit(cache=True, nogil=True)
def _sample(symbol: Any, book: Any, due: int, deep: bool) -> None:
    """Takes the samples that are due before the book changes, or the window ends."""
    taken = due - symbol["depth"]["sampled"]
    if taken > 0:
        depth.sample(symbol["depth"], book, taken, deep)
        if symbol["depth"]["known"]:
            for side in range(2):
                value = depth.side_value(symbol["depth"], side)
                impact.on_samples(symbol["impact"], side, value, symbol["depth"]["usual"], taken)
        if depth.two_sided(symbol["depth"]):
            prices.on_samples(symbol["prices"], symbol["depth"]["mid"], taken)


@njit(cache=True, nogil=True)
def _apply(
    rules: Any,
    time: Any,
    event: Any,
    now_ns: int,
    symbols: Any,
    books: Any,
    account_flow: Any,
    active: Any,
    prints: Any,
    positions: Any,
    holders: Any,
    cash_micro: Any,
    levels: Any,
    money: Any,
    statuses: Any,
) -> None:
    kind = event["kind"]
    s = event["symbol"]
    if event["flags"] & _DERIVED:
        return  # the events of orders say it already
    late = event["ts_ns"] // rules["step_ns"] + 1 < time["window"]
    time["late"] += late
    if kind in (_TRANSFER, _LEDGER):
        account = event["account"]
        if 0 <= account < len(cash_micro):
            cash_micro[account] += event["qty"]
            if kind == _TRANSFER:
                forced.on_transfer(money[account], event["qty"])
            else:
                forced.on_ledger(money[account], event["code"], event["qty"])
        else:
            time["unknown_accounts"] += 1
        return
    if kind == _GAP and s < 0:
        for each in range(len(symbols)):
            symbols[each]["data"]["gaps"] += 1
        return
    if kind == _STANDING and s == NO_SYMBOL:
        if 0 <= event["account"] < len(levels):
            levels[event["account"]] = event["code"]
        return
    if kind == _STANDING or (s == NO_SYMBOL and kind in (_ACK, _REJECT)):
        return  # says something about an account
    if not 0 <= s < len(symbols):
        time["unknown_symbols"] += 1
        return
    if kind == _TRADE and (not 1 <= event["price"] <= _HIGHEST_TRADE or event["qty"] < 1 or event["side"] > 1):
        time["bad_trades"] += 1
        return
    symbol = symbols[s]
    symbol["data"]["late"] += late
    if kind == _GAP:
        symbol["data"]["gaps"] += 1
    elif kind == _STATE:
        data.on_state(symbol["data"], event["code"], now_ns, (time["window"] - 1) * rules["step_ns"])
    elif kind == _REFERENCE and event["code"] == _FEED_LAG:
        data.on_lag(symbol["data"], event["price"])
    elif kind == _REFERENCE:
        prices.on_reference(symbol["prices"], event["code"], event["price"], event["ts_ns"])
    elif kind == _ASSIGN:
        if not late:
            forced.on_assign(symbol["forced"], event["code"], event["qty"])
            if event["code"] == _TAKEOVER and 0 <= event["contra_account"] < len(cash_micro):
                loser = actors.acting(symbol, account_flow[s], active[s], event["contra_account"], time["window"])
                loser["forced_lots"] += event["qty"]
        if rules["accounts"]:
            _take_over(time, event, symbol, positions[s], holders[s], cash_micro)
            for account in (event["account"], event["contra_account"]):
                if not late and 0 <= account < len(cash_micro):
                    taker = actors.acting(symbol, account_flow[s], active[s], account, time["window"])
                    taker["assigned_lots"] += event["qty"]
    else:
        counts = not late and not event["flags"] & _SNAPSHOT
        if counts and kind in (_ADD, _CANCEL, _TRADE, _LEVEL, _REJECT):
            symbol["data"]["messages"] += 1
        if kind == _REJECT:
            if counts:
                cancels.on_reject(symbol["flow"], event["code"] in (_THROTTLED, _BANNED))
                if 0 <= event["account"] < len(cash_micro):
                    record = actors.acting(symbol, account_flow[s], active[s], event["account"], time["window"])
                    cancels.on_reject_of(symbol["flow"], record, now_ns)
        elif kind == _TRADE:
            _trade(
                rules,
                time,
                event,
                now_ns,
                counts,
                symbol,
                account_flow[s],
                active[s],
                prints[s],
                positions[s],
                holders[s],
                cash_micro,
            )
        takes_maker = kind == _TRADE and rules["orders"] and not event["flags"] & _HIDDEN
        if kind in (_ADD, _CANCEL, _LEVEL, _CLEAR) or takes_maker:
            tenth = (now_ns - (time["window"] - 1) * rules["step_ns"]) // (rules["step_ns"] // depth.SAMPLES)
            _sample(symbol, books[s], tenth, rules["deep"])
            _change_book(rules, time, event, now_ns, counts, symbol, books[s], account_flow[s], active[s], prints[s], statuses)


@njit(cache=True, nogil=True)
def _trade(
    rules: Any,
    time: Any,
    event: Any,
    now_ns: int,
    counts: bool,
    symbol: Any,
    account_flow: Any,
    active: Any,
    prints: Any,
    positions: Any,
    holders: Any,
    cash_micro: Any,
) -> None:
    """All that a trade does but to the book."""
    if event["flags"] & _SNAPSHOT:
        return
    if counts:
        cancels.on_trade(symbol["flow"], event["side"], event["qty"])
        forced.on_trade(symbol["forced"], event["flags"], event["side"], event["price"], event["qty"])
        impact.on_trade(symbol["impact"], event["side"], event["qty"])
    prices.on_last(symbol["prices"], event["price"] * MICRO, event["ts_ns"])
    if not rules["orders"] and not event["flags"] & _HIDDEN:
        cancels.on_level_trade(symbol["flow"], prints, 1 - event["side"], event["price"], event["qty"], now_ns, time["window"])
    if rules["accounts"]:
        _fill(time, event, event["account"], event["side"], symbol, positions, holders, cash_micro)
        _fill(time, event, event["contra_account"], 1 - event["side"], symbol, positions, holders, cash_micro)
        if counts:
            if 0 <= event["account"] < len(account_flow):
                record = actors.acting(symbol, account_flow, active, event["account"], time["window"])
                record["fills"] += 1
                record["taken_lots"] += event["qty"]
                if event["flags"] & _LIQUIDATION:
                    record["forced_lots"] += event["qty"]
            if 0 <= event["contra_account"] < len(account_flow):
                actors.acting(symbol, account_flow, active, event["contra_account"], time["window"])["fills"] += 1
            _note_fill(account_flow, event["account"], np.int64(event["side"]), now_ns)
            _note_fill(account_flow, event["contra_account"], np.int64(1 - event["side"]), now_ns)


@njit(cache=True, nogil=True)
def _note_fill(account_flow: Any, account: int, side: Any, now_ns: int) -> None:
    if 0 <= account < len(account_flow):
        account_flow[account]["filled_ns"][side] = now_ns


@njit(cache=True, nogil=True)
def _fill(time: Any, event: Any, account: int, side: int, symbol: Any, positions: Any, holders: Any, cash_micro: Any) -> None:
    if 0 <= account < len(cash_micro):
        lots = event["qty"] if side == 0 else -event["qty"]
        leverage.on_change(
            symbol, positions, holders, cash_micro, account, lots, lots * event["price"] * symbol["notional_micro"]
        )
    else:
        time["unknown_accounts"] += 1


@njit(cache=True, nogil=True)
def _take_over(time: Any, event: Any, symbol: Any, positions: Any, holders: Any, cash_micro: Any) -> None:
    """Lots that went from one account to another outside the book, and what was paid for them."""
    lots = event["qty"] if event["side"] == 0 else -event["qty"]
    for account, sign in ((event["account"], 1), (event["contra_account"], -1)):
        if 0 <= account < len(cash_micro):
            leverage.on_change(symbol, positions, holders, cash_micro, account, sign * lots, sign * event["leaves"])
        elif account != NO_ACCOUNT:  # a position that was there before the feed began comes from nobody
            time["unknown_accounts"] += 1


@njit(cache=True, nogil=True)
def _change_book(
    rules: Any,
    time: Any,
    event: Any,
    now_ns: int,
    counts: bool,
    symbol: Any,
    book: Any,
    account_flow: Any,
    active: Any,
    prints: Any,
    statuses: Any,
) -> None:
    kind = event["kind"]
    side = event["side"]
    price = event["price"]
    part_ns = max(1, rules["step_ns"] // cancels.BURSTS)
    burst = min(max((now_ns - (time["window"] - 1) * rules["step_ns"]) // part_ns, 0), cancels.BURSTS - 1)
    near = abs(price - symbol["depth"]["mid"]) <= depth.NEAR * symbol["depth"]["mid"]
    if kind == _ADD and counts:
        cancels.on_add(symbol["flow"], event["qty"])
        if 0 <= event["account"] < len(account_flow):
            actors.acting(symbol, account_flow, active, event["account"], time["window"])["adds"] += 1
    elif kind == _CANCEL and counts:
        cancels.on_cancel(symbol["flow"], side, event["qty"], near, burst)
        symbol["flow"]["replaces"] += event["code"] in (_AMENDED, _REPLACED)
        slot = order_lookup(book, event["order_id"])
        life_ns = -1
        if slot >= 0 and book["orders"][slot]["ts_ns"] > 0:  # an undated order's age is unknown
            order = book["orders"][slot]
            life_ns = max(event["ts_ns"] - order["ts_ns"], 0)
            cancels.on_cancelled_order(symbol["flow"], life_ns, event["qty"] >= order["qty"])
        if 0 <= event["account"] < len(account_flow):
            record = actors.acting(symbol, account_flow, active, event["account"], time["window"])
            cancels.on_cancel_by(symbol["flow"], record, side, event["qty"], near, life_ns, now_ns)
    elif kind == _LEVEL and side <= 1 and price >= 1:
        before = level_qty(book, side, price)
        cancels.on_level(symbol["flow"], prints, side, price, before, event["qty"], near, counts, now_ns, time["window"], burst)
    statuses[apply_event(book, event)] += 1
    data.on_touched(symbol["data"], now_ns)
    if kind == _CLEAR:
        depth.on_clear(symbol["depth"], now_ns)
    else:
        depth.on_book(symbol["depth"], book, now_ns, counts)
