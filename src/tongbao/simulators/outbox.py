"""The notifications on their way to merchants: each channel's retry schedule, on the sandbox's clock.

Rule: an entry is in the journal before anybody hears of its cause, and leaves the schedule only when the merchant
answered as the channel demands, or when the schedule is over. Body and id of an entry are the same on every try; a
channel that signs in the headers does it anew for each.
"""

import asyncio
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from tongbao.simulators.clock import VirtualClock
from tongbao.simulators.journal import Journal, Shelf
from tongbao.transport import Reply, Request, Timeouts, Transport

IN_FLIGHT_MAX = 64
EXCERPT_CHARACTERS = 200
TIMEOUTS = Timeouts(connect_seconds=5.0, headers_seconds=15.0, total_seconds=20.0)


class Try(msgspec.Struct):
    """One delivery: when, the HTTP status (0: no answer) and the beginning of what was answered."""

    at: datetime
    status: int
    answer: str


class Entry(msgspec.Struct):
    """One notification. `state`: waiting, held, delivered or given_up. `about` is the trade it tells of."""

    id: str
    channel: str
    about: str
    label: str
    url: str
    headers: dict[str, str]
    body: bytes
    due_at: datetime
    state: str = "waiting"
    tries: list[Try] = []
    repeat_after_seconds: float | None = None
    plan: str = ""
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Courier:
    """A channel's delivery rules: the delays in seconds after each failed try, and which answer counts as received.

    `sign` gives the headers of each try (`entry.seal` tells it what it needs to know); `plans` are other delays, for
    entries that name one of them.
    """

    channel: str
    delays_seconds: tuple[int, ...]
    accepted: Callable[[Reply], bool]
    timeouts: Timeouts = TIMEOUTS
    sign: Callable[[Entry], dict[str, str]] | None = None
    plans: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def headers(self, entry: Entry) -> dict[str, str]:
        return entry.headers if self.sign is None else self.sign(entry)

    def delays(self, entry: Entry) -> tuple[int, ...]:
        return self.plans.get(entry.plan, self.delays_seconds)


class Outbox:
    """All notifications of all channels; `deliver_due` is one deterministic step, `run` keeps calling it promptly."""

    def __init__(self, journal: Journal, clock: VirtualClock, transport: Transport) -> None:
        self.transport = transport
        self._clock = clock
        self._journal = journal
        self._couriers: dict[str, Courier] = {}
        self._entries = Shelf(journal, "notification", Entry)
        self._due: list[tuple[datetime, int, str]] = []
        self._order = 0
        self._held: dict[str, list[Entry]] = {}
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self.changed = asyncio.Event()
        for entry in self._entries.values():
            self._keep(entry)

    def register(self, courier: Courier) -> None:
        self._couriers[courier.channel] = courier

    def post(self, entry: Entry) -> None:
        """Takes a notification over; it leaves when it is due. Entries held for an older one of the trade follow it."""
        self._entries.put(entry.id, entry)
        self._keep(entry)
        if entry.state != "held":
            self._release(entry)
        self.changed.set()

    def entries(self, count: int = 200) -> list[Entry]:
        """The newest entries first."""
        return self._entries.newest(count)

    def next_due_at(self) -> datetime | None:
        while self._due and not self._is_current(self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    async def deliver_due(self) -> int:
        """Sends everything that is due, oldest first, and waits for the answers; returns the number of tries."""
        count = 0
        while (entry := self._take()) is not None:
            await self._deliver(entry)
            count += 1
        return count

    def start_due(self, tasks: set["asyncio.Task[None]"]) -> None:
        """Starts a task for everything that is due; the tasks leave the set when they are done."""
        while (entry := self._take()) is not None:
            task = asyncio.create_task(self._deliver(entry))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def _keep(self, entry: Entry) -> None:
        if entry.state == "held":
            self._held.setdefault(entry.about, []).append(entry)
        self._schedule(entry)

    def _schedule(self, entry: Entry) -> None:
        if entry.state == "waiting":
            self._order += 1
            heapq.heappush(self._due, (entry.due_at, self._order, entry.id))

    def _is_current(self, item: tuple[datetime, int, str]) -> bool:
        entry = self._entries.get(item[2])
        return entry is not None and entry.state == "waiting" and entry.due_at == item[0]

    def _take(self) -> Entry | None:
        due_at = self.next_due_at()
        if due_at is None or due_at > self._clock.now():
            return None
        entry = self._entries.get(heapq.heappop(self._due)[2])
        assert entry is not None
        return entry

    def _release(self, newer: Entry) -> None:
        """A held entry goes out right behind the newer one of the same trade."""
        for entry in self._held.pop(newer.about, []):
            entry.state, entry.due_at = "waiting", newer.due_at
            self._entries.put(entry.id, entry)
            self._schedule(entry)

    async def _deliver(self, entry: Entry) -> None:
        async with self._room:
            reply = await self._send(entry)
        now = self._clock.now()
        excerpt = reply.body[:EXCERPT_CHARACTERS].decode("utf-8", "replace")
        entry.tries = [*entry.tries, Try(now, reply.status, excerpt)]
        courier = self._couriers[entry.channel]
        tried, delays = len(entry.tries), courier.delays(entry)
        if courier.accepted(reply):
            self._accepted(entry, now)
        elif tried > len(delays):
            entry.state = "given_up"
        else:
            entry.due_at = now + self._clock.compressed(delays[tried - 1])
        self._entries.put(entry.id, entry)
        self._schedule(entry)
        self._journal.flush()
        self.changed.set()

    def _accepted(self, entry: Entry, now: datetime) -> None:
        if entry.repeat_after_seconds is None:
            entry.state = "delivered"
        else:
            entry.due_at = now + self._clock.compressed(entry.repeat_after_seconds)
            entry.repeat_after_seconds = None

    async def _send(self, entry: Entry) -> Reply:
        courier = self._couriers[entry.channel]
        request = Request("POST", entry.url, courier.headers(entry), entry.body, courier.timeouts)
        try:
            return await self.transport.send(request)
        except Exception as error:  # a merchant's server may fail in any way; the schedule goes on
            return Reply(0, {}, f"{type(error).__name__}: {error}".encode())
