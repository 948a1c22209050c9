"""Feedback: what reviewers say re-orders what is shown, is on record, and changes nothing else."""

from __future__ import annotations

import random

import msgspec
import pytest
from click.testing import CliRunner

from models.anomaly import Contribution
from models.detectors.variants import STANDARD, VARIANTS
from models.feedback import AUDIT_SHARE, Feedback, features_of, is_audited
from monitor.cli import main
from monitor.incidents import promotions, reviews
from monitor.incidents.evidence import RankedAnomaly
from monitor.incidents.register import STATE_VARIABLE, Register, RegisterError

SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    return tmp_path / "state"


def line(n, family="cancels", rate=1e-5, feature="cancels"):
    parts = (Contribution(feature, 9.0, 0.0, 3.0, "count", 8.0), Contribution("other", 1.0, 0.0, 3.0, "count", 2.0))
    return RankedAnomaly(
        n * SECOND, (n + 1) * SECOND, 1000, "BTC", None, family, "execution", f"{family}-BTC-{n}", 10.0, 1.0, rate, parts
    )  # fmt: skip


def truth(one):
    """What is worth showing here: cancels; and leverage only where positions changed."""
    return one.family == "cancels" or one.contributions[0].feature == "change"


def lines(seed, count=300):
    draw = random.Random(seed)
    made = []
    for n in range(count):
        family = draw.choice(("cancels", "leverage", "prices"))
        feature = draw.choice(("change", "level")) if family == "leverage" else family
        made.append(line(n, family, 10.0 ** -draw.uniform(3, 9), feature))
    return sorted(made, key=lambda one: one.false_alarm_rate)


def taught(seed=1, wrong=0.05, labelled=0.7):
    """Verdicts as the study had them: 70% of the events, in any order, one in twenty of them wrong."""
    draw, feedback = random.Random(seed), Feedback()
    shown = [one for one in lines(seed) if draw.random() < labelled]
    draw.shuffle(shown)
    for one in shown:
        feedback.learn(features_of(one), truth(one) != (draw.random() < wrong))
    return feedback


def test_reviews_bring_forward_what_reviewers_call_right():
    fresh, feedback = lines(2), taught()
    before = sum(map(truth, fresh[:50])) / 50
    after = sum(map(truth, feedback.ordered(fresh)[:50])) / 50
    assert before < 0.7
    assert after > 0.9


def test_without_verdicts_the_order_is_that_of_the_rates():
    fresh = lines(3)
    assert Feedback().ordered(fresh) == fresh
    assert Feedback().priority(fresh[0]) == 0.5


def test_only_the_order_changes_and_audited_events_keep_their_places():
    fresh = lines(4)
    before = msgspec.json.encode(fresh)
    shown = taught().ordered(fresh)
    assert msgspec.json.encode(fresh) == before
    assert sorted(shown, key=lambda one: one.event) == sorted(fresh, key=lambda one: one.event)
    audited = [place for place, one in enumerate(fresh) if is_audited(one.event)]
    assert audited
    assert all(shown[place] is fresh[place] for place in audited)
    share = sum(is_audited(f"event-{n}") for n in range(20_000)) / 20_000
    assert abs(share - AUDIT_SHARE) < 0.01


def test_every_weight_can_be_read_and_the_same_verdicts_give_the_same():
    weights = taught().weights
    assert weights == taught().weights
    assert weights["share: leverage change"] > 0 > weights["share: leverage level"]
    assert "constant" in weights


def test_what_is_odd_makes_no_infinite_weight():
    odd = msgspec.structs.replace(line(1), false_alarm_rate=0.0, score=0.0, contributions=())
    assert all(abs(value) < 10 for value in features_of(odd).values())


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    found = lines(5, 40)
    (folder / "anomalies.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in found))
    return folder, found


def invoke(*arguments):
    return CliRunner().invoke(main, [str(each) for each in arguments])


def test_verdicts_are_recorded_listed_and_learnt(run, state):
    folder, found = run
    for one in found[:12]:
        verdict = "right" if truth(one) else "wrong"
        done = invoke("feedback", "add", folder, one.event, verdict, "--by", "Ada", "--note", "seen <b>")
        assert done.exit_code == 0, done.output
    listed = invoke("feedback", "list").output
    assert listed.count("by Ada  seen <b>") == 12
    assert invoke("feedback", "weights").output.startswith("12 verdicts\n")
    assert len(invoke("feedback", "rank", folder, "--first", 5).output.splitlines()) == 5
    assert (folder / "anomalies.jsonl").read_bytes() == b"".join(msgspec.json.encode(one) + b"\n" for one in found)
    assert reviews.learnt().verdicts == 12


@pytest.mark.parametrize(("arguments", "says"), [
    (("nothing-here", "e", "right"), "give the folder that a run left"),
    (("RUN", "no-such-event", "right"), "is no event of"),
])  # fmt: skip
def test_a_verdict_on_nothing_is_refused(run, arguments, says):
    folder, *rest = arguments
    done = invoke("feedback", "add", run[0] if folder == "RUN" else folder, *rest, "--by", "Ada")
    assert done.exit_code == 2
    assert says in done.output


@pytest.mark.parametrize(("spoil", "says"), [
    (lambda data: data.replace(b"Ada", b"Eve"), "line 2 was changed"),
    (lambda data: data.split(b"\n", 1)[1], "line 1 was changed, or one before it is missing"),
    (lambda data: data[:-5], "torn"),
    (lambda data: b"{}\n" + data, "line 1 was changed"),
    (lambda data: b"no\n" + data, "line 1 is no record"),
])  # fmt: skip
def test_a_register_that_was_touched_is_found_and_not_added_to(state, spoil, says):
    register = Register("feedback")
    for by in ("Bob", "Ada", "Bob"):
        register.add({"by": by})
    data = spoil(register.path.read_bytes())
    register.path.write_bytes(data)
    for use in (register.records, lambda: register.add({"by": "Bob"})):
        with pytest.raises(RegisterError, match=says):
            use()
    assert register.path.read_bytes() == data


def test_a_promotion_is_a_persons_act_on_record():
    assert promotions.champion() == STANDARD
    assert invoke("models", "promote", "patient", "--why", "scoreboard").exit_code == 2, "somebody must answer for it"
    done = invoke("models", "promote", "patient", "--by", "Ada", "--why", "fewer false alarms on four seeds")
    assert done.exit_code == 0, done.output
    assert promotions.champion() == "patient"
    listed = invoke("models", "list").output
    assert "champion  patient" in listed
    assert "standard → patient  by Ada: fewer false alarms on four seeds" in listed
    assert invoke("models", "promote", "nobody", "--by", "Ada", "--why", "x").exit_code == 2
    Register(promotions.SUBJECT).add({"variant": "of another version"})
    with pytest.raises(RegisterError, match="is no variant of this version"):
        promotions.champion()


def test_variants_differ_in_memory_and_nothing_else():
    from models.detectors.families import FAMILIES

    for variant in VARIANTS.values():
        for family in FAMILIES:
            own = variant.of(family)
            assert msgspec.structs.replace(own, half_life_s=family.half_life_s) == family
            assert own.half_life_s == round(family.half_life_s * variant.memory)
