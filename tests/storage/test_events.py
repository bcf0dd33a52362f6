"""Reading events with a cursor: nothing is skipped, whatever order transactions commit in."""

import asyncio
import itertools
import random

import pytest

from tests import made
from tests.made import APP
from tongbao.domain.errors import InvalidInput, NotFound
from tongbao.domain.event import EventType
from tongbao.ports.events import EventFilter
from tongbao.ports.reading import Page
from tongbao.storage.database import Database
from tongbao.storage.events import Events
from tongbao.storage.transaction import Transaction

ALL = EventFilter()


@pytest.fixture
def events(database: Database) -> Events:
    return Events(database)


async def ids(events: Events, page: Page, filters: EventFilter = ALL) -> tuple[list[str], bool]:
    found, more = await events.list_events(APP, filters, page)
    return [event.id for event in found], more


async def test_events_are_listed_newest_first_in_pages(database: Database, events: Events) -> None:
    for number in range(1, 6):
        await made.store_events(database, [made.event(number, f"pay_{number}")])
    await made.settle(database)
    names = [f"evt_{number:06}" for number in (5, 4, 3, 2, 1)]
    assert await ids(events, Page(2)) == (names[:2], True)
    assert await ids(events, Page(2, starting_after=names[1])) == (names[2:4], True)
    assert await ids(events, Page(2, starting_after=names[3])) == (names[4:], False)
    assert await ids(events, Page(2, ending_before=names[4])) == (names[2:4], True)
    assert await ids(events, Page(9, ending_before=names[2])) == (names[:2], False)


async def test_events_are_filtered_and_belong_to_their_app(database: Database, events: Events) -> None:
    await made.store_events(database, [made.event(1, "pay_1"), made.event(2, "pay_1", 2), made.event(3, "pay_2")])
    await made.store_events(database, [made.event(4, "pay_1", app_id="app_2")])
    await made.settle(database)
    assert await ids(events, Page(9), EventFilter(payment_id="pay_1")) == (["evt_000002", "evt_000001"], False)
    created = EventFilter(type=EventType.PAYMENT_CREATED)
    assert await ids(events, Page(9), created) == (["evt_000003", "evt_000001"], False)
    assert (await events.event(APP, "evt_000002")) == made.event(2, "pay_1", 2)
    with pytest.raises(NotFound):
        await events.event(APP, "evt_000004")
    with pytest.raises(InvalidInput) as refused:
        await ids(events, Page(9, starting_after="evt_000004"))
    assert refused.value.param == "starting_after"


async def test_what_an_older_transaction_may_precede_is_not_listed_yet(database: Database, events: Events) -> None:
    started, going_on = asyncio.Event(), asyncio.Event()

    async def slow(tx: Transaction) -> None:
        await tx.insert_events([made.event(2, "pay_slow")])
        started.set()
        await going_on.wait()

    await made.store_events(database, [made.event(1, "pay_1")])
    await made.settle(database)
    writing = asyncio.create_task(database.transact(slow))
    await started.wait()
    await made.store_events(database, [made.event(3, "pay_fast")])
    listed, fast = await ids(events, Page(9)), await events.event(APP, "evt_000003")
    going_on.set()
    await writing
    await made.settle(database)
    assert listed == (["evt_000001"], False)
    assert fast.payment_id == "pay_fast"
    assert await ids(events, Page(9, ending_before="evt_000001")) == (["evt_000003", "evt_000002"], False)


async def write(database: Database, chance: random.Random, numbers: range) -> list[str]:
    """Transactions of one to three events that stay open for a few round trips."""
    written = []
    for number in numbers:
        names = [f"{number}{n}" for n in range(chance.randrange(1, 4))]
        steps = chance.randrange(4)

        async def work(tx: Transaction, names: list[str] = names, steps: int = steps) -> None:
            for name in names:
                await tx.insert_events([made.event(name, f"pay_{name}")])
            for _ in range(steps):
                await tx.connection.execute("SELECT 1")

        await database.transact(work)
        written += [f"evt_{name:0>6}" for name in names]
    return written


async def follow(events: Events, cursor: str, done: asyncio.Event) -> list[str]:
    """Reads on from the cursor, and once more to the end after the writers are done."""
    seen: list[str] = []
    ended = False
    while True:
        found, _ = await ids(events, Page(3, ending_before=cursor))
        seen += reversed(found)
        cursor = found[0] if found else cursor
        if ended and not found:
            return seen
        ended = done.is_set()


async def test_a_reader_with_a_cursor_skips_nothing(database: Database, events: Events) -> None:
    seed = 20260501
    chance = random.Random(seed)
    await made.store_events(database, [made.event(0, "pay_0")])
    done = asyncio.Event()
    reading = asyncio.create_task(follow(events, "evt_000000", done))
    written = await asyncio.gather(*(write(database, chance, range(n, n + 25)) for n in (100, 200, 300, 400)))
    await made.settle(database)
    done.set()
    seen = await reading
    assert len(seen) == len(set(seen))
    assert sorted(seen) == sorted(itertools.chain(*written)), f"seed {seed}"
