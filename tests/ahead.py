"""Compiles kernels on the second core while the first tests run: a whole run spends minutes on compiling, one kernel at a time.

It is a pytest of its own over the tests that compile most, whose results nobody looks at: they run again in their place, and
find the kernels in the cache.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_GUARD = "PERPWATCH_TESTS_AHEAD"
_MANY = 1_000
"""Tests of a run from which on it is worth it."""

_TESTS = (
    "tests/conformance/test_margin_vectors.py::test_p45_the_excess_of_a_reduce_only_order_is_cancelled",
    "tests/property/test_cascade.py::test_the_examples_reach_every_path",
    "tests/property/test_matching_oracle.py::test_engine_and_oracle_agree",
    "tests/property/test_stream_detector.py::test_any_rows",
    "tests/property/test_windows.py::test_rows_do_not_depend_on_how_batches_are_cut",
    "tests/property/test_venue.py::test_conservation_replies_and_batches",
    "tests/unit/test_october.py",
    "tests/unit/test_stream_detector.py::test_a_block_may_be_split_anywhere",
)


class Ahead:
    """A pytest plugin."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Starts it for a whole run, but not within itself."""
        if len(session.items) >= _MANY and _GUARD not in os.environ and not session.config.option.collectonly:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", *_TESTS],
                cwd=session.config.rootpath,
                env=os.environ | {_GUARD: "1"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def pytest_sessionfinish(self) -> None:
        """Ends it, if a run is over before it."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
