"""Commands about what happened on the built-in venue: why equity changed, and what fees attract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from monitor.risk.shared import JSON, rules_said, show

if TYPE_CHECKING:
    from engine.venue import Venue

_SEED = click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the built-in venue.")
_SECONDS = click.option("--seconds", type=click.IntRange(1, 86_400), default=120, show_default=True, help="That are looked at.")
_AFTER = click.option(
    "--after", type=click.IntRange(1, 86_400), default=60, show_default=True, help="Seconds of trading before."
)
_TOP = click.option("--top", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many accounts.")


@click.command()
@_SEED
@_AFTER
@_SECONDS
@click.option("--account", type=click.IntRange(min=0), help="Only this account.")
@click.option(
    "--unexpected", "share", type=click.FloatRange(0.01, 1), default=0.5, show_default=True,
    help="An account is named where charges are more than this share of what changed.",
)  # fmt: skip
@_TOP
@JSON
def bridge(seed: int, after: int, seconds: int, account: int | None, share: float, top: int, as_json: bool) -> None:
    """The equity bridge between two ticks: trading, funding, fees, liquidation, transfers; and who changed unexpectedly."""
    import numpy as np

    from engine.bridge import BRIDGE_DTYPE, unexpected
    from engine.bridge import bridge as bridged
    from monitor.risk.builtin import BuiltIn

    built = BuiltIn(seed)
    built.advance(after)
    opening = _position(built.venue)
    events = built.advance(seconds)
    table = bridged(events, opening, _position(built.venue), built.venue.terms.units)
    named = unexpected(table, share)
    if account is not None and account >= len(table):
        raise click.UsageError(f"the venue has accounts 0 to {len(table) - 1}")
    shown = [account] if account is not None else named.tolist()
    names = BRIDGE_DTYPE.names or ()

    def row(name: object, values: Any) -> dict[str, Any]:
        return {"account": name, **{key: int(values[key]) / (1 if key == "throttled" else 1e6) for key in names}}

    venue = {"account": "venue", **{key: int(table[key].sum()) / (1 if key == "throttled" else 1e6) for key in names}}
    rows = [row(str(a), table[a]) for a in shown[:top]]
    said = {
        "from_s": after,
        "to_s": after + seconds,
        "venue": venue,
        "residuals": int(np.count_nonzero(table["residual"])),
        "unexpected": named.tolist(),
        "accounts": rows,
    }
    title = (
        f"Account {account}" if account is not None
        else f"{len(named)} accounts that fees, funding, liquidation or throttling changed unexpectedly"
    )  # fmt: skip
    show(
        said,
        [(f"The venue, {seconds} s; {said['residuals']} accounts with a residual", [venue]), (title, rows)],
        as_json=as_json,
    )


def _position(venue: Venue) -> Any:
    from engine.bridge import Position

    wallets = venue.wallets
    return Position(wallets.cash + wallets.isolated.sum(axis=1), wallets.held.copy(), venue.terms.prices.copy())


@click.command()
@_SEED
@_AFTER
@_SECONDS
@click.option("--horizon", type=click.IntRange(1, 3_600), default=10, show_default=True, help="Seconds after a trade.")
@_TOP
@JSON
def toxicity(seed: int, after: int, seconds: int, horizon: int, top: int, as_json: bool) -> None:
    """Adverse selection of makers by account, who takes from them, and what forced execution cost."""
    from engine.toxicity import MARKOUT_DTYPE, forced_execution
    from engine.toxicity import toxicity as measured
    from monitor.risk.builtin import BuiltIn

    built = BuiltIn(seed)
    built.advance(after)
    events = built.advance(seconds)
    units, pack = built.venue.terms.units, built.pack
    found = measured(events, units, horizon * 1_000_000_000)
    forced = forced_execution(events, units, pack.fees.tiers[0][1])
    names = MARKOUT_DTYPE.names or ()

    def rows(table: Any) -> list[dict[str, Any]]:
        return [{name: row[name].item() for name in names} for row in table[:top]]

    said: dict[str, Any] = {
        "horizon_s": horizon,
        "without_mark": found.unmarked,
        "makers": rows(found.makers),
        "takers": rows(found.takers),
        "forced": forced._asdict(),
        "rules": rules_said(pack, *(ladder for ladder in map(pack.ladder, built.venue.instruments[:2]) if ladder)),
    }
    tables: list[tuple[str, list[dict[str, Any]]]] = [
        (f"Makers, the largest first: prices {horizon} s after their trades", said["makers"]),
        ("Takers", said["takers"]),
        ("Forced execution", [said["forced"]]),
    ]
    show(said, tables, as_json=as_json)
