"""A world per test: a sandbox in this process, a clock that stands still, a shop that listens."""

from collections.abc import Iterator

import pytest

from tests.simulated import SimClock
from tests.simulators.merchant import World


@pytest.fixture
def world(clock: SimClock) -> Iterator[World]:
    made = World(clock)
    yield made
    made.sandbox.close()
