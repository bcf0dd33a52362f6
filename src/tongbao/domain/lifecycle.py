"""How statuses change: by a table, state x event -> state, and by nothing else.

Rule 1: a lifecycle is a dict of dicts; the documentation's diagrams are printed from it.
Rule 2: a missing cell *is* the refused transition; there is no other way to refuse one.
Rule 3: the only reader of a table is `next_status`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from tongbao.domain.errors import TransitionRefused

S = TypeVar("S", bound=StrEnum)

Lifecycle = Mapping[S, Mapping[type, S]]


def next_status(lifecycle: Lifecycle[S], status: S, event: object) -> S:
    """The status after `event`; raises TransitionRefused where the table has no cell."""
    try:
        return lifecycle[status][type(event)]
    except KeyError:
        raise TransitionRefused(f"{status} does not accept {type(event).__name__}") from None


def as_mermaid(lifecycle: Lifecycle[S], initial: S) -> str:
    """The table as a mermaid state diagram; self-loops are left out (they are the harmless repeats)."""
    lines = ["stateDiagram-v2", f"    [*] --> {initial}"]
    for status, row in lifecycle.items():
        targets: dict[S, list[str]] = {}
        for event, target in row.items():
            if target is not status:
                targets.setdefault(target, []).append(event.__name__)
        lines.extend(f"    {status} --> {target}: {', '.join(events)}" for target, events in targets.items())
    return "\n".join(lines)
