"""How many examples Hypothesis draws: few in every run, many in a long one (`HYPOTHESIS_PROFILE=nightly pytest ...`).

A failing example is printed with a line that replays it; quick runs are the same in every run of the same code.
"""

import os

from hypothesis import HealthCheck, settings

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def examples(quick: int, nightly: int, *, steps: int = 40, nightly_steps: int = 100) -> settings:
    """`steps` are those of a state machine."""
    return settings(
        max_examples=nightly if NIGHTLY else quick,
        stateful_step_count=nightly_steps if NIGHTLY else steps,
        derandomize=not NIGHTLY,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
