"""Payments that pages look at: one look for all pages of a payment, woken by every change, and the channel is asked.

Rule 1: a payment is read at most once a second however many pages show it (and at once when a push tells of a change);
        all payments together stay below a fixed number of looks a second.
Rule 2: while a page is open the channel is asked 1, 2, 3 s after it opened and then every 4 s, in the background: with
        every notification lost the page still moves.
Rule 3: no page waits for a channel or for another page.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import structlog

from tongbao.bootstrap import App
from tongbao.domain.errors import TongbaoError
from tongbao.services.asking import WATCH_GAPS_SECONDS
from tongbao.services.views import encode_json
from tongbao.web.shown import Snapshot, StatusView, shown_of

log = structlog.get_logger()

LOOK_SECONDS = 1.0
LOOKS_PER_SECOND_MAX = 500
KEPT_MAX = 1_000


class Look:
    """One read, shared by everybody who asks while it is fresh."""

    __slots__ = ("began", "task")

    def __init__(self, began: float, task: "asyncio.Task[Snapshot]") -> None:
        self.began = began
        self.task = task


class Watch:
    """One payment with open pages. `shown` is the last look, `pages` are the wake-up calls of its pages."""

    __slots__ = ("asked", "attempt_id", "next_ask_at", "pages", "shown", "task")

    def __init__(self, first: Snapshot) -> None:
        self.shown = first.shown
        self.attempt_id = _attempt_id(first)
        self.pages: set[asyncio.Event] = set()
        self.task: asyncio.Task[None] | None = None
        self.asked = 0
        self.next_ask_at = 0.0

    def ask_again_from(self, now: float) -> None:
        """Start the schedule of questions anew: a page opened, or another attempt began."""
        self.asked = 0
        self.next_ask_at = now + WATCH_GAPS_SECONDS[0]

    def asked_at(self, now: float) -> None:
        self.asked += 1
        self.next_ask_at = now + WATCH_GAPS_SECONDS[min(self.asked, len(WATCH_GAPS_SECONDS) - 1)]


def _attempt_id(snapshot: Snapshot) -> str | None:
    attempt = snapshot.view.latest_attempt
    return None if attempt is None else attempt.id


class Watches:
    """All payments that pages of this process look at."""

    def __init__(self, services: App) -> None:
        self._services = services
        self._looks: dict[str, Look] = {}
        self._kept_max = KEPT_MAX
        self._watches: dict[str, Watch] = {}
        self.stopping = False

    def stop(self) -> None:
        """The server stops: open pages are told at once; they come back by themselves."""
        self.stopping = True
        for watch in self._watches.values():
            for woken in watch.pages:
                woken.set()

    # --- looking

    async def look(self, payment_id: str, age_seconds_max: float = LOOK_SECONDS) -> Snapshot:
        """The payment as it was read at most so long ago (0: now). Raises NotFound, StorageUnavailable."""
        now = asyncio.get_running_loop().time()
        look = self._looks.get(payment_id)
        if look is None or look.began + age_seconds_max <= now:
            self._forget_old(now)
            look = self._looks[payment_id] = Look(now, asyncio.create_task(self._read(payment_id)))
            look.task.add_done_callback(_heard)
        return await asyncio.shield(look.task)

    def _forget_old(self, now: float) -> None:
        """Now and then: each time twice as many as were fresh the last time."""
        if len(self._looks) >= self._kept_max:
            self._looks = {k: kept for k, kept in self._looks.items() if kept.began + LOOK_SECONDS > now}
            self._kept_max = max(KEPT_MAX, 2 * len(self._looks))

    async def _read(self, payment_id: str) -> Snapshot:
        payment, latest = await self._services.reading.payment_by_id(payment_id)
        view = self._services.views.payment(payment, latest)
        return Snapshot(payment.app_id, view, shown_of(view, self._services.clock.now()))

    def ask(self, snapshot: Snapshot) -> None:
        """Ask the channel in the background, where there is something to ask about."""
        self._ask((snapshot.app_id, snapshot.view.id), _attempt_id(snapshot), snapshot.shown)

    def _ask(self, key: tuple[str, str], attempt_id: str | None, shown: StatusView) -> None:
        if attempt_id is not None and not shown.final:
            self._in_background(self._services.asking.watch(*key))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._services.background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._services.background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("watch_failed", error=repr(error))

    # --- watching

    @contextmanager
    def page(self, snapshot: Snapshot) -> Iterator[tuple[Watch, asyncio.Event]]:
        """An open page: the event is set when `watch.shown` has changed; the page clears it."""
        payment_id = snapshot.view.id
        woken = asyncio.Event()
        watch = self._watches.get(payment_id)
        if watch is None:
            watch = self._watches[payment_id] = Watch(snapshot)
        watch.pages.add(woken)
        watch.ask_again_from(asyncio.get_running_loop().time())
        if watch.task is None and not watch.shown.final:
            watch.task = self._in_background(self._follow(watch, (snapshot.app_id, payment_id)))
        try:
            yield watch, woken
        finally:
            watch.pages.discard(woken)
            if not watch.pages:
                self._watches.pop(payment_id, None)
                if watch.task is not None:
                    watch.task.cancel()

    async def _follow(self, watch: Watch, key: tuple[str, str]) -> None:
        """Looks at each push and every second, asks on schedule, until the payment is final."""
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        with self._services.pushes.waiting(key) as pushed:
            while not watch.shown.final:
                gap = max(LOOK_SECONDS, len(self._watches) / LOOKS_PER_SECOND_MAX)
                pause = min(looked_at + gap, watch.next_ask_at) - loop.time()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, pause)):
                        await pushed.wait()
                changed = pushed.is_set()
                pushed.clear()
                if changed or loop.time() >= looked_at + gap:
                    looked_at = loop.time()
                    await self._look_again(watch, key[1], 0.0 if changed else gap / 2)
                if loop.time() >= watch.next_ask_at:
                    watch.asked_at(loop.time())
                    self._ask(key, watch.attempt_id, watch.shown)

    async def _look_again(self, watch: Watch, payment_id: str, age_seconds_max: float) -> None:
        try:
            snapshot = await self.look(payment_id, age_seconds_max)
        except TongbaoError as error:
            log.warning("look_postponed", payment_id=payment_id, code=error.code)
            return
        if _attempt_id(snapshot) != watch.attempt_id:
            watch.attempt_id = _attempt_id(snapshot)
            watch.ask_again_from(asyncio.get_running_loop().time())
        if snapshot.shown.version != watch.shown.version:
            watch.shown = snapshot.shown
            for woken in watch.pages:
                woken.set()


def _heard(task: "asyncio.Task[Snapshot]") -> None:
    """An error that nobody waited for is no surprise of the event loop's."""
    if not task.cancelled():
        task.exception()


def told(shown: StatusView, services: App) -> bytes:
    """The status as JSON, with our time."""
    return encode_json(msgspec.structs.replace(shown, now=services.clock.now()))
