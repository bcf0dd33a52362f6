"""The log of facts as readers see it."""

from dataclasses import dataclass
from typing import Protocol

from tongbao.domain.event import Event
from tongbao.ports.reading import Page


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Only what is given filters."""

    type: str | None = None
    payment_id: str | None = None


class EventReading(Protocol):
    """Lists only what no running transaction can precede any more, so that a reader with a cursor skips nothing."""

    async def event(self, app_id: str, event_id: str) -> Event:
        """Raises NotFound."""
        ...

    async def list_events(self, app_id: str, filters: EventFilter, page: Page) -> tuple[list[Event], bool]:
        """Newest first; the cursor is an event's id. Raises InvalidInput for a cursor that this app does not have."""
        ...
