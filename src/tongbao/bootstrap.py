"""Building the house: the only place that knows the concrete adapters. `build(settings) -> App`, services only.

The seams are the arguments: clock, ids and outbound transport; they are what tests replace, and nothing else.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from tongbao.channels import CHANNELS
from tongbao.config import Settings, master_keys
from tongbao.domain.errors import Misconfigured, TongbaoError
from tongbao.ports import ChannelKind, Clock, Ids, Leases, Transport
from tongbao.ports.events import EventReading
from tongbao.ports.reading import Reading
from tongbao.ports.store import Queue
from tongbao.services.accounts import Accounts
from tongbao.services.asking import Asking
from tongbao.services.attempts import Attempts
from tongbao.services.creation import Creation
from tongbao.services.delivery import Delivery
from tongbao.services.dossier import Clerk
from tongbao.services.idempotency import Idempotency
from tongbao.services.keyring import Keyring
from tongbao.services.metrics import Metrics
from tongbao.services.notifications import Notifications
from tongbao.services.payments import Payments
from tongbao.services.pushes import Pushes
from tongbao.services.refunds import Refunds
from tongbao.services.vault import Vault
from tongbao.services.views import Views
from tongbao.services.webhooks import Webhooks
from tongbao.storage.accounts import Accounts as AccountStore
from tongbao.storage.database import Database
from tongbao.storage.deliveries import Deliveries as DeliveryStore
from tongbao.storage.events import Events
from tongbao.storage.group_commit import GroupCommit
from tongbao.storage.invariants import Broken, find_broken
from tongbao.storage.leases import Leases as LeaseStore
from tongbao.storage.pushes import PushRelay
from tongbao.storage.queries import Queries
from tongbao.storage.webhooks import Webhooks as WebhookStore
from tongbao.system import SystemClock, SystemIds
from tongbao.transport import AiohttpTransport
from tongbao.webhook_sender import WebhookSender

C = TypeVar("C")
R = TypeVar("R")

CLOCK_CORRECTION_SECONDS = 30.0
CHECKOUT_KEY = "checkout key"


@dataclass(slots=True)
class App:
    """The services, and how to stop what they stand on."""

    settings: Settings
    clock: Clock
    ids: Ids
    metrics: Metrics
    views: Views
    pushes: Pushes
    accounts: Accounts
    reading: Reading
    payments: Payments
    attempts: Attempts
    asking: Asking
    refunds: Refunds
    notifications: Notifications
    idempotency: Idempotency
    webhooks: Webhooks
    events: EventReading
    delivery: Delivery
    leases: Leases
    ready: Callable[[], Awaitable[bool]]
    verify: Callable[[], Awaitable[dict[str, list[Broken]]]]
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    background: set[asyncio.Task[None]] = field(default_factory=set)

    async def close(self) -> None:
        """Stops what runs in the background, then closes connections, last opened first."""
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)
        for close in reversed(self.closing):
            await close()


def channel_kinds() -> dict[str, ChannelKind]:
    """The registry: our channels, and strangers' through the entry point group `tongbao.channels`."""
    kinds = {}
    for name, target in CHANNELS.items():
        module, _, attribute = target.partition(":")
        kinds[name] = getattr(import_module(module), attribute)
    for point in entry_points(group="tongbao.channels"):
        kinds.setdefault(point.name, point.load())
    return kinds


def _keks(settings: Settings, ids: Ids) -> list[bytes]:
    """The configured keys; in test mode a file of its own, made on first use, that only its owner can read."""
    configured = master_keys(settings)
    if configured is not None:
        return configured
    if settings.mode == "live":
        raise Misconfigured("live mode needs a configured key-encryption key")
    path = settings.data_path / "master.key"
    return [_own_key(path, ids)]


def _own_key(path: Path, ids: Ids) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        new = path.with_name(f"{path.name}.{ids.token(8)}")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(ids.random_bytes(32).hex())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(new, path)
        new.unlink()
    return bytes.fromhex(path.read_text())


async def connect(settings: Settings) -> tuple[Database, Callable[[], Awaitable[None]]]:
    """The configured database, or PostgreSQL from the wheel; not migrated yet."""
    if settings.database_url:
        database = await Database.connect(settings.database_url, connections_max=settings.connections_max)
        return database, database.close
    from tongbao.storage import embedded  # noqa: PLC0415 - start-up: a configured database does not pay for it

    url, server = await asyncio.to_thread(embedded.start, settings.data_path / "postgres")
    database = await Database.connect(url, connections_max=settings.connections_max)

    async def close() -> None:
        await database.close()
        await asyncio.to_thread(embedded.stop, server)

    return database, close


async def build(
    settings: Settings,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    transport: Transport | None = None,
    database: Database | None = None,
    serves: bool = False,
) -> App:
    """Builds the services. `database` is given by tests, which own it; otherwise it is opened here and closed with
    the App. A process that `serves` pages or works hears of other processes' changes. Raises Misconfigured for a
    deployment that cannot work."""
    ids = ids or SystemIds()
    closing: list[Callable[[], Awaitable[None]]] = []
    if database is None:
        database, close_database = await connect(settings)
        closing.append(close_database)
        await database.migrate()
    background: set[asyncio.Task[None]] = set()
    if clock is None:
        clock = system = SystemClock()
        background.add(asyncio.create_task(_keep_right(system, database)))
    if transport is None:
        transport = real = AiohttpTransport()
        closing.append(real.close)
    vault = Vault(_keks(settings, ids), ids)
    views = Views(settings.public_url, await _checkout_key(AccountStore(database), vault, ids))
    sender = WebhookSender(allowed_networks=settings.webhook_allowed_networks)
    closing.append(sender.close)
    app = _assemble(settings, clock, ids, transport, database, vault, views, sender)
    if serves:
        relay = PushRelay(database, ids.token(), app.pushes.wake)
        app.pushes.relay = relay.relay
        background.add(asyncio.create_task(relay.run()))
    app.closing, app.background = closing, background
    return app


def _assemble(
    settings: Settings,
    clock: Clock,
    ids: Ids,
    transport: Transport,
    database: Database,
    vault: Vault,
    views: Views,
    sender: WebhookSender,
) -> App:
    events = Events(database)
    queues: list[GroupCommit[Any, Any]] = []
    grouping = partial(_grouping, settings.group_size_max, queues)
    metrics, pushes, reading, clerk = Metrics(), Pushes(), Queries(database), Clerk(ids, views)
    accounts = Accounts(AccountStore(database), vault, channel_kinds(), transport, clock, ids)
    payments = Payments(database, grouping, clock, clerk, pushes)
    creation = Creation(database, grouping, clock, ids, views, pushes)
    attempts = Attempts(database, grouping, clock, ids, views, accounts, creation, payments, metrics)
    refunds = Refunds(database, grouping, clock, ids, clerk, accounts, payments, pushes, metrics)
    asking = Asking(reading, clock, views, accounts, payments, metrics)
    notifications = Notifications(accounts, payments, clock, Keyring(clock), metrics)
    _measure(metrics, database, pushes, queues)
    return App(
        settings=settings,
        clock=clock,
        ids=ids,
        metrics=metrics,
        views=views,
        pushes=pushes,
        accounts=accounts,
        reading=reading,
        payments=payments,
        attempts=attempts,
        asking=asking,
        refunds=refunds,
        notifications=notifications,
        idempotency=Idempotency(database, clock, vault),
        webhooks=Webhooks(WebhookStore(database), events, vault, clock, ids, pushes, settings.webhook_allowed_networks),
        events=events,
        delivery=Delivery(DeliveryStore(database), grouping, sender, vault, clock, ids, metrics),
        leases=LeaseStore(database),
        ready=database.is_ready,
        verify=partial(find_broken, database),
    )


def _measure(metrics: Metrics, database: Database, pushes: Pushes, queues: Sequence[GroupCommit[Any, Any]]) -> None:
    """What others count, shown beside what the services count."""
    metrics.counts("tongbao_events", "Facts committed, by type", "type", lambda: database.events)
    metrics.gauge("tongbao_open_pages", "Checkout pages that wait for a payment", lambda: pushes.open_pages)
    metrics.gauge("tongbao_connections_busy", "Database connections in use", lambda: database.connections_busy)
    metrics.counts(
        "tongbao_transactions",
        "Database transactions begun, and those of them that met contention and ran again",
        "kind",
        lambda: {"begun": database.transactions, "again": database.contentions},
    )
    metrics.gauge("tongbao_group_waiting", "Commands that wait for a group", lambda: sum(q.backlog for q in queues))
    metrics.counts(
        "tongbao_groups",
        "Groups executed, and the commands in them",
        "kind",
        lambda: {"groups": sum(q.batches for q in queues), "commands": sum(q.commands for q in queues)},
    )


def _grouping(
    size_max: int,
    queues: list[GroupCommit[Any, Any]],
    execute: Callable[[Sequence[C]], Awaitable[Sequence[R | TongbaoError]]],
    *,
    in_flight_max: int = 1,
) -> Queue[C, R]:
    queue = GroupCommit(execute, size_max=size_max, in_flight_max=in_flight_max)
    queues.append(queue)
    return queue


async def _checkout_key(store: AccountStore, vault: Vault, ids: Ids) -> bytes:
    """The key that checkout tokens are made with: this installation's own, drawn on first use."""
    context = f"instance|{CHECKOUT_KEY}|sealed"
    sealed = await store.instance_secret(CHECKOUT_KEY, vault.seal(ids.random_bytes(32), context))
    return vault.open(sealed, context)


async def _keep_right(clock: SystemClock, database: Database) -> None:
    """The database's clock corrects ours at start and every 30 s, so that leases agree between machines."""
    while True:
        with contextlib.suppress(TongbaoError):
            clock.correct(await database.now())
        await asyncio.sleep(CLOCK_CORRECTION_SECONDS)
