"""The store as the services see it: transactions that lock in the house's order and write whole batches.

Implemented by `tongbao.storage` on PostgreSQL only; the protocol exists because services and storage are siblings.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from tongbao.domain.errors import TongbaoError
from tongbao.domain.event import Event
from tongbao.domain.ledger import Transfer
from tongbao.domain.payment import Attempt, Payment
from tongbao.domain.refund import Refund

Key = tuple[str, str]
"""(app_id, id) or (app_id, natural key)."""
NotificationKey = tuple[str, str, str]
"""(app_id, channel_account_id, notification_id)."""

R = TypeVar("R")
C = TypeVar("C")
CommandT = TypeVar("CommandT", contravariant=True)
ResultT = TypeVar("ResultT", covariant=True)


@dataclass(frozen=True, slots=True)
class Claim:
    """An idempotency key that commits with the first write. With a `status` it is answered at once; its body is then
    that of the first event of the payment `object_id`, which is stored already, unless `body` is given."""

    app_id: str
    key: str
    fingerprint: bytes
    created_at: datetime
    object_id: str | None = None
    status: int | None = None
    body: str | None = None


@dataclass(frozen=True, slots=True)
class StoredClaim:
    """A key that was there before; `status` None means that it is not answered yet."""

    app_id: str
    key: str
    fingerprint: bytes
    object_id: str | None
    status: int | None
    body: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer that a key keeps; commits with the last write."""

    app_id: str
    key: str
    status: int
    body: str
    object_id: str | None


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a merchant reference names: an attempt, or a refund of one."""

    app_id: str
    reference: str
    payment_id: str
    attempt_id: str
    refund_id: str | None
    channel_account_id: str


@dataclass(frozen=True, slots=True)
class QuarantineItem:
    """A trusted message whose content contradicts what we stored."""

    app_id: str
    id: str
    channel_account_id: str
    notification_id: str
    reference: str | None
    mismatches: tuple[str, ...]
    raw: str
    created_at: datetime


class Transaction(Protocol):
    """One database transaction. Every method takes whole batches; none is called with an empty one."""

    async def insert_claims(self, claims: Sequence[Claim]) -> set[Key]: ...
    async def read_claims(self, keys: Iterable[Key]) -> dict[Key, StoredClaim]: ...
    async def answer_claims(self, answers: Sequence[Answer]) -> None: ...
    async def renew_claims(self, keys: Iterable[Key], now: datetime) -> None: ...
    async def drop_claims(self, keys: Iterable[Key]) -> None: ...
    async def insert_payments(self, payments: Sequence[Payment]) -> set[Key]: ...
    async def payments_by_order_no(self, keys: Iterable[Key]) -> dict[Key, Payment]: ...
    async def attempts_of(self, keys: Iterable[Key]) -> list[Attempt]: ...
    async def resolve(self, references: Iterable[Key]) -> dict[Key, Resolved]: ...
    async def lock_payments(self, keys: Iterable[Key]) -> list[Payment]: ...
    async def lock_attempts_of(self, keys: Iterable[Key]) -> list[Attempt]: ...
    async def update_payments(self, payments: Sequence[Payment]) -> None: ...
    async def insert_attempts(self, attempts: Sequence[Attempt]) -> None: ...
    async def update_attempts(self, attempts: Sequence[Attempt]) -> None: ...
    async def lock_refunds(self, keys: Iterable[Key]) -> list[Refund]: ...
    async def refunds_by_no(self, keys: Iterable[Key]) -> dict[Key, Refund]: ...
    async def insert_refunds(self, refunds: Sequence[Refund]) -> None: ...
    async def update_refunds(self, refunds: Sequence[Refund]) -> None: ...
    async def last_refund_sent_at(self, attempt: Key) -> datetime | None: ...
    async def insert_events(self, events: Sequence[Event]) -> int: ...
    async def insert_transfers(self, transfers: Sequence[Transfer]) -> None: ...
    async def insert_notifications(self, keys: Iterable[NotificationKey], now: datetime) -> set[NotificationKey]: ...
    async def insert_quarantine(self, items: Sequence[QuarantineItem]) -> None: ...


class Queue(Protocol[CommandT, ResultT]):
    """Commands that arrive one by one and are executed in batches. `submit` raises a refused command's TongbaoError."""

    def submit(self, command: CommandT) -> Awaitable[ResultT]: ...


class Grouping(Protocol):
    """Makes a queue of a use case that is written for a list of commands (see storage.group_commit)."""

    def __call__(
        self, execute: Callable[[Sequence[C]], Awaitable[Sequence[R | TongbaoError]]], *, in_flight_max: int = 1
    ) -> Queue[C, R]: ...


class Store(Protocol):
    """Runs a use case in one transaction: it commits when `work` returns and rolls back when it raises."""

    async def transact(self, work: Callable[[Transaction], Awaitable[R]]) -> R: ...
