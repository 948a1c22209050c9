"""The configuration of a run: strict, private, and hashed by what decides the results."""

from __future__ import annotations

import msgspec
import pytest

from monitor.config import ConfigError, FilesSpec, RunConfig, VenueSpec, load_config, parse_config, save_config

VENUE = VenueSpec(seed=1, start_ns=10**9, history_seconds=60, duration_seconds=5)


def config(**more):
    return RunConfig(**({"run_id": "r", "source": VENUE, "state_dir": "/s"} | more))


def test_a_configuration_survives_its_file_which_only_its_owner_reads(tmp_path):
    for source in (VENUE, FilesSpec(paths=("a", "b"), format="lobster")):
        more = {"out_dir": "/o", "board_port": 80, "redis_url": "redis://h", "snapshot_key": "ab" * 32}
        written = config(source=source, speed="2.5x", **more)
        path = tmp_path / "run.json"
        path.touch(mode=0o644)
        save_config(written, path)
        assert load_config(path) == written
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sped": "1x"}, "sped"),
        ({"speed": "quick"}, r"\$.speed"),
        ({"speed": "0.0x"}, "never ends"),
        ({"run_id": "a b"}, r"\$.run_id"),
        ({"run_id": "{s0}"}, r"\$.run_id"),
        ({"board_port": 70_000}, r"\$.board_port"),
        ({"snapshot_key": "xyz"}, r"\$.snapshot_key"),
        ({"source": {"kind": "venue", "seed": 1, "start_ns": 10**9 + 1, "history_seconds": 1}}, r"\$.source.start_ns"),
        ({"source": {"kind": "venue", "seed": 1, "start_ns": 0, "history_seconds": 1, "years": 3}}, "years"),
        ({"source": {"kind": "files", "paths": []}}, r"\$.source.paths"),
        ({"source": {"kind": "nowhere"}}, r"\$.source"),
    ],
)
def test_what_is_wrong_is_named_with_its_key_and_file(change, said):
    data = msgspec.to_builtins(config()) | change
    with pytest.raises(ConfigError, match=said) as caught:
        parse_config(msgspec.json.encode(data), "run.json")
    assert str(caught.value).startswith("run.json")


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read"):
        load_config(tmp_path / "none.json")


def test_the_hash_is_of_what_decides_the_results():
    same = config(run_id="other", state_dir="/t", speed="1x", out_dir="/o", board_port=1, redis_url="redis://h")
    assert config().content_sha256 == same.content_sha256
    changed = msgspec.structs.replace(VENUE, seed=2)
    assert config().content_sha256 != config(source=changed).content_sha256
    moved = [config(source=FilesSpec(paths=(path,))).content_sha256 for path in ("/a/x.zip", "/b/x.zip", "/a/y.zip")]
    assert moved[0] == moved[1] != moved[2]


def test_times_of_a_venue():
    assert (VENUE.live_from_ns, VENUE.end_ns) == (61 * 10**9, 66 * 10**9)
    assert msgspec.structs.replace(VENUE, duration_seconds=None).end_ns is None


@pytest.mark.parametrize(("speed", "rate"), [("max", None), ("1x", 1.0), ("0.5x", 0.5), ("20x", 20.0)])
def test_speed_as_event_seconds_a_second(speed, rate):
    assert config(speed=speed).rate == rate
