"""Due work, shared by any number of workers without a leader: a row is leased to one worker at a time.

A worker claims due rows under its id and renews its heartbeat; rows of one that is silent for 8 s can be claimed by
others. Nothing here asks for the time: `now` is handed in. Every method raises StorageUnavailable while the database
is away; a claim that raised may have been carried out all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

JobKey = tuple[str, str, str]
"""(app_id, payment_id, attempt or refund id); for a delivery (app_id, payment_id, delivery id)."""

SILENT_AFTER = timedelta(seconds=8)
"""A worker without a heartbeat for this long has lost its leases."""
FORGOTTEN_AFTER = timedelta(hours=1)
"""A worker that is silent for this long is deleted."""
ORDERED_TRIES = 5
"""Later events of a payment wait for an earlier one until it was tried this often."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a delivery goes, with the endpoint's secrets as they lie at rest."""

    url: str
    livemode: bool
    sealed_secret: bytes
    sealed_previous: bytes | None
    previous_until: datetime | None


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """One leased delivery with all that sending it needs. `target` is None when its endpoint was disabled or deleted.
    `tries` counts those before; `data` is the event's stored text, `created_at` the event's time."""

    app_id: str
    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    payment_id: str
    sequence: int
    data: str
    created_at: datetime
    tries: int
    leased_by: str
    target: Target | None

    @property
    def key(self) -> JobKey:
        return (self.app_id, self.payment_id, self.id)


class Leases(Protocol):
    """Claims, heartbeats, and the housekeeping that any worker may do at any time."""

    async def heartbeat(self, worker_id: str, now: datetime) -> None: ...
    async def retire(self, worker_id: str) -> None:
        """The worker has ended: what it still holds comes back at once."""
        ...

    async def claim_attempts(self, worker_id: str, now: datetime, limit: int) -> list[JobKey]: ...
    async def claim_refunds(self, worker_id: str, now: datetime, limit: int) -> list[JobKey]:
        """Only the oldest pending refund of each attempt: one at a time per trade."""
        ...

    async def claim_deliveries(
        self, worker_id: str, now: datetime, limit: int, in_flight: Mapping[str, int], per_endpoint: int
    ) -> list[DueDelivery]:
        """In the order of each payment's sequence; never more than `per_endpoint` of one endpoint, together with what
        the worker has `in_flight` there already."""
        ...

    async def release_attempts(
        self, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime
    ) -> None:
        """Gives back what this worker still holds; what is still due then waits until `not_before`."""
        ...

    async def release_refunds(
        self, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime
    ) -> None: ...
    async def release_deliveries(
        self, worker_id: str, keys: Sequence[JobKey], now: datetime, not_before: datetime
    ) -> None: ...
    async def due_payments(self, now: datetime, limit: int) -> list[tuple[str, str]]:
        """(app_id, payment_id) of pending payments whose time is over and that no open attempt holds. No lease:
        concluding them twice does nothing."""
        ...

    async def fold_balances(self, limit: int) -> int:
        """Replaces up to `limit` deltas by one per account that holds their sum; returns how many rows that saved."""
        ...

    async def purge_idempotency(self, before: datetime, limit: int) -> int:
        """Deletes keys made before; returns how many."""
        ...
