"""What all tests share: kernels compiled from the code that stands here, and a Redis server of each kind there is."""

from __future__ import annotations

import pytest
from hypothesis import settings

from monitor.bus.client import connect
from monitor.bus.server import start_server
from monitor.roles.kernels import use_cache
from tests.servers import KINDS
from tests.together import compile_apart, place

# Before a test module imports numba: its own cache would go on with the old code of a kernel's callees.
use_cache()
compile_apart()

# Other processes share the machine: how long an example takes says nothing.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: place(item.nodeid))


@pytest.fixture(scope="module", params=KINDS)
def server(request, tmp_path_factory):
    """A running server, once for each kind."""
    with start_server(tmp_path_factory.mktemp("server"), kind=request.param) as server:
        yield server


@pytest.fixture
def redis(server):
    """A client of `server`, which holds nothing."""
    redis = connect(server.url)
    redis.flushall()
    yield redis
    redis.close()
