"""The stylised eve of 10 October 2025: the same for a seed, a venue that adds up, and a distance for every figure."""

from __future__ import annotations

import math

import pytest

from engine.cascade import october as subject


@pytest.fixture(scope="module")
def small():
    patch = pytest.MonkeyPatch()
    patch.setattr(subject, "ACCOUNTS", 600)
    rules = subject.CascadeRules(rounds=400, shock_rounds=120, liquidity_ppm=20_000)
    patch.setattr(subject, "RULES", rules)
    yield subject.october(7)
    patch.undo()


def test_a_seed_gives_a_venue(monkeypatch):
    monkeypatch.setattr(subject, "ACCOUNTS", 200)
    assert subject.eve(3) == subject.eve(3)
    assert subject.eve(3) != subject.eve(4)
    for account in subject.eve(3).accounts:
        assert account.positions
        assert len({position.lots > 0 for position in account.positions}) == 1


def test_the_run_adds_up(small):
    _, _, found, _ = small
    assert (found.residual_micro, found.residual_lots) == (0, 0)
    assert found.liquidations > 0
    assert found.amplification > 1


def test_every_fact_has_a_figure_and_a_distance(small):
    targets = small[3]
    assert len(targets) == 13
    assert len({target.fact for target in targets}) == 13
    for target in targets:
        if target.found and target.published:
            assert target.distance == pytest.approx(math.log(target.found / target.published))


def test_an_exact_hit_is_at_no_distance():
    assert subject.Target("x", 2.0, 2.0, "-").distance == 0
    assert subject.Target("x", 0.0, 0.0, "-").distance == 0
    assert subject.Target("x", 2.0, None, "-").distance is None
    assert subject.Target("x", 2.0, 4.0, "-").distance == pytest.approx(math.log(2))
