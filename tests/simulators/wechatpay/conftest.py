"""A world per test, with WeChat's merchants in it."""

from collections.abc import Iterator

import pytest

from tests.simulated import SimClock
from tests.simulators.wechatpay.merchant import World


@pytest.fixture
def world(clock: SimClock) -> Iterator[World]:
    made = World(clock)
    yield made
    made.sandbox.close()
