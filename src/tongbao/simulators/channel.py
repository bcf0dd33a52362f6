"""What the sandbox's pages and its command line need of a channel; every simulator offers the same.

Rule: the phone, the panel and the timer know channels only through this protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from starlette.requests import Request
from starlette.routing import BaseRoute

from tongbao.simulators.bank import Bank, Buyer
from tongbao.simulators.door import Door
from tongbao.simulators.pages import Pages


class PaymentRefused(Exception):
    """The buyer cannot pay this now: the channel's `code`, and a sentence for the buyer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Offer:
    """What a buyer sees of something to pay. `state`: open, paid, refunded, closed or expired; `amount` is written in
    the currency's major unit; `content` is what its QR carries, `app_result` what an app is handed back after
    payment."""

    channel: str
    token: str
    state: str
    subject: str
    payee: str
    amount: str
    currency: str
    reference: str
    expires_at: datetime
    content: str = ""
    app_result: str = ""

    def facts(self) -> dict[str, str]:
        """For the JSON API."""
        names = ("channel", "token", "state", "subject", "payee", "amount", "currency", "reference")
        more = {"app_result": self.app_result} if self.app_result else {}
        return {name: getattr(self, name) for name in names} | {"expires_at": self.expires_at.isoformat()} | more


@dataclass(frozen=True, slots=True)
class Row:
    """A trade in the panel's list."""

    channel: str
    merchant: str
    reference: str
    number: str
    product: str
    amount: str
    status: str
    refunded: str
    created_at: datetime


class ChannelSimulator(Protocol):
    """One channel of the sandbox."""

    name: str

    def doors(self) -> Mapping[str, Door]:
        """Plain ASGI doors by path; a path that ends with a slash stands for everything below it."""
        ...

    def routes(self) -> list[BaseRoute]:
        """The channel's own pages."""
        ...

    def recognise(self, content: str) -> str | None:
        """The token behind a QR's content (or an in-app order) of this channel, None when it is not its own; raises
        PaymentRefused when it is, but bad."""
        ...

    def offer(self, token: str) -> Offer | None: ...

    def codes(self) -> list[Offer]:
        """The codes that could be scanned now, newest first."""
        ...

    def scan(self, token: str, buyer: Buyer) -> Offer:
        """The buyer opens the cashier; raises PaymentRefused."""
        ...

    def pay(self, token: str, buyer: Buyer) -> Offer:
        """Raises PaymentRefused, and then nothing happened."""
        ...

    def decline(self, token: str, buyer: Buyer) -> Offer:
        """The buyer opens the cashier and refuses; the trade stays unpaid. Raises PaymentRefused."""
        ...

    def rows(self, count: int) -> list[Row]: ...

    def merchants(self) -> Mapping[str, str]:
        """App id -> name, to scope faults."""
        ...

    def accounts(self, base_url: str) -> dict[str, object]:
        """Everything that an outside client needs."""
        ...

    def expire_due(self) -> int: ...

    def next_due_at(self) -> datetime | None: ...


class House(Protocol):
    """The whole sandbox, as its panel and its phone see it (see app.py)."""

    bank: Bank
    pages: Pages
    channels: list[ChannelSimulator]

    def channel(self, name: str) -> ChannelSimulator | None: ...
    def find(self, content: str) -> tuple[ChannelSimulator, str] | None: ...
    def rows(self, count: int) -> list[Row]: ...
    def language(self, request: Request) -> str: ...
    def accounts(self, base_url: str) -> dict[str, object]: ...
    def advance(self, seconds: float) -> datetime: ...
