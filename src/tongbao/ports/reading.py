"""Reads for the API and for the workers: no locks, always by app."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from tongbao.domain.ledger import Transfer
from tongbao.domain.payment import Attempt, Payment
from tongbao.domain.refund import Refund


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, newest first; `starting_after` and `ending_before` are ids."""

    limit: int = 10
    starting_after: str | None = None
    ending_before: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Only what is given filters."""

    order_no: str | None = None
    status: str | None = None
    channel: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Balance:
    """The balance of one account, minor units: what came in less what went out."""

    kind: str
    channel_account_id: str
    currency: str
    minor: int


class Reading(Protocol):
    """Raises NotFound for what this app does not have."""

    async def payment(self, app_id: str, payment_id: str) -> tuple[Payment, Attempt | None]:
        """With the attempt that settled it, else the newest."""
        ...

    async def payment_with_attempts(self, app_id: str, payment_id: str) -> tuple[Payment, list[Attempt]]: ...
    async def payment_by_id(self, payment_id: str) -> tuple[Payment, Attempt | None]:
        """By id alone: the checkout page is opened by its token, not by an app."""
        ...

    async def list_payments(
        self, app_id: str, filters: PaymentFilter, page: Page
    ) -> tuple[list[tuple[Payment, Attempt | None]], bool]: ...
    async def refund(self, app_id: str, refund_id: str) -> tuple[Refund, bool]:
        """With its payment's livemode."""
        ...

    async def list_refunds(
        self, app_id: str, payment_id: str | None, status: str | None, page: Page
    ) -> tuple[list[tuple[Refund, bool]], bool]: ...
    async def balances(self, app_id: str) -> list[Balance]: ...
    async def list_transfers(self, app_id: str, page: Page) -> tuple[list[Transfer], bool]: ...
