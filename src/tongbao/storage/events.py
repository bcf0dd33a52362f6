"""Reading the log of events. Implements `ports.events.EventReading`.

Order is (xid, id): a transaction's number, then the event's. A transaction that began earlier may commit later, so
only events below the oldest running transaction are listed; what comes later sorts after them. The price is that one
long transaction holds the list back (never the deliveries), and transaction numbers are the whole server's: a database
beside ours on the same server can do it too. Among a payment's events it is `sequence` that orders.
"""

from collections.abc import Mapping
from typing import Any

from tongbao.domain.errors import InvalidInput, NotFound
from tongbao.domain.event import Event, EventType
from tongbao.ports.events import EventFilter
from tongbao.ports.reading import Page
from tongbao.storage.database import Database
from tongbao.storage.rows import EVENT_COLUMNS, names

EVENT = f"SELECT {names(EVENT_COLUMNS)} FROM events WHERE app_id = $1 AND id = $2"
CURSOR = "SELECT xid::text FROM events WHERE app_id = $1 AND id = $2"
LIST = f"""
    SELECT {names(EVENT_COLUMNS)} FROM events
    WHERE app_id = $1 AND xid < pg_snapshot_xmin(pg_current_snapshot())
    AND ($2::text IS NULL OR type = $2) AND ($3::text IS NULL OR payment_id = $3) AND {{beyond}}
    ORDER BY xid {{direction}}, id {{direction}} LIMIT $4"""
NEWEST = LIST.format(beyond="true", direction="DESC")
OLDER = LIST.format(beyond="(xid, id) < ($5::text::xid8, $6)", direction="DESC")
NEWER = LIST.format(beyond="(xid, id) > ($5::text::xid8, $6)", direction="ASC")


def event_from(row: Mapping[str, Any]) -> Event:
    return Event(**{**row, "type": EventType(row["type"])})


class Events:
    """On a pool; each call is one statement, with a cursor two."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def event(self, app_id: str, event_id: str) -> Event:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(EVENT, app_id, event_id)
        if row is None:
            raise NotFound(f"no event {event_id}")
        return event_from(row)

    async def list_events(self, app_id: str, filters: EventFilter, page: Page) -> tuple[list[Event], bool]:
        statement, cursor, param = NEWEST, page.starting_after, "starting_after"
        if page.starting_after is not None:
            statement = OLDER
        elif page.ending_before is not None:
            statement, cursor, param = NEWER, page.ending_before, "ending_before"
        async with self._database.connection() as connection:
            position: tuple[str, ...] = ()
            if cursor is not None:
                xid = await connection.fetchval(CURSOR, app_id, cursor)
                if xid is None:
                    raise InvalidInput(f"no event {cursor}", param=param)
                position = (xid, cursor)
            found = await connection.fetch(
                statement, app_id, filters.type, filters.payment_id, page.limit + 1, *position
            )
        events = [event_from(row) for row in found[: page.limit]]
        return (events[::-1] if statement is NEWER else events), len(found) > page.limit
