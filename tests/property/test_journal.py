"""Whatever bytes the ops hold, the journal gives them back; cut or changed anywhere, it gives none that was not written."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contract import OP_DTYPE
from engine.frames import Encoder, decode, frame_at
from engine.journal import Journal, JournalError
from tests.journal_kit import CONFIG, content

WORDS = OP_DTYPE.itemsize // 4


@st.composite
def batches(draw, most=300):
    """Ops whose words each change in as many bits as is drawn, so that every width of a column and mixtures of them occur."""
    count = draw(st.integers(1, most))
    bits = draw(st.lists(st.sampled_from([0, 1, 8, 9, 16, 17, 32]), min_size=WORDS, max_size=WORDS))
    first = np.frombuffer(draw(st.binary(min_size=OP_DTYPE.itemsize, max_size=OP_DTYPE.itemsize)), np.uint32)
    change = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 2**32, (count, WORDS), np.uint32)
    return (first ^ (change & np.array([(1 << b) - 1 for b in bits], np.uint32))).reshape(-1).view(OP_DTYPE)


@settings(max_examples=300, deadline=None)
@given(batches(), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 3))
def test_any_ops_come_back_from_their_frame(ops, first_op, seed, before):
    data = bytes(4 * before) + bytes(Encoder(seed).encode(ops, first_op)) + b"more"
    frame = frame_at(data, 4 * before, seed)
    assert (frame.first_op, frame.ops, frame.end) == (first_op, len(ops), len(data) - 4)
    assert decode(data, frame).tobytes() == ops.tobytes()
    assert frame_at(data, 4 * before, seed ^ 1) is None


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=OP_DTYPE.itemsize, max_size=20 * OP_DTYPE.itemsize))
def test_any_bytes_come_back(data):
    ops = np.frombuffer(data[: len(data) // OP_DTYPE.itemsize * OP_DTYPE.itemsize], OP_DTYPE)
    encoded = bytes(Encoder(3).encode(ops, 0))
    assert decode(encoded, frame_at(encoded, 0, 3)).tobytes() == ops.tobytes()


def test_an_encoder_leaves_nothing_of_one_batch_in_the_next():
    ops = np.zeros(7, OP_DTYPE)
    ops["qty"] = np.arange(7)
    used = Encoder(1)
    used.encode(np.frombuffer(np.random.default_rng(1).bytes(50 * OP_DTYPE.itemsize), OP_DTYPE), 0)
    assert bytes(used.encode(ops, 9)) == bytes(Encoder(1).encode(ops, 9))


@settings(max_examples=15, deadline=None)
@given(st.lists(batches(6), min_size=1, max_size=4), st.data())
def test_cut_or_changed_anywhere(drawn, data):
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        with Journal.open(directory, CONFIG, "append", 1) as journal:
            path = next(directory.iterdir())
            ends = [path.stat().st_size]
            for ops in drawn:
                journal.append(ops)
                journal.flush()
                ends.append(path.stat().st_size)
        whole = path.read_bytes()
        good = [b"".join(ops.tobytes() for ops in drawn[:n]) for n in range(len(ends))]

        for size in range(ends[-2], len(whole)):
            path.write_bytes(whole[:size])
            journal = Journal.open(directory, CONFIG, "read")
            assert content(journal) == good[-2]
            assert (journal.torn is None) == (size == ends[-2])

        for _ in range(20):
            at = data.draw(st.integers(0, len(whole) - 1))
            flip = data.draw(st.integers(1, 255))
            path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            if at < ends[-2]:
                with pytest.raises(JournalError):
                    Journal.open(directory, CONFIG, "read")
            else:
                journal = Journal.open(directory, CONFIG, "read")
                assert content(journal) == good[-2]
                assert "were cut" in journal.torn
