"""A channel as the services see it: one protocol, the same verbs for all, and plain values. Never subclassed.

The verbs: create, query, close, refund, query_refund, read_notification, refresh_keys, acknowledge, statement, check.
`read_notification` and `acknowledge` are pure. Verbs return report events (values) for every expected business answer,
and raise a ChannelError for what interrupts the step.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from tongbao.domain.money import Money
from tongbao.domain.report import AttemptEvent, Identity, Notification, RefundEvent
from tongbao.domain.statement import StatementLine
from tongbao.ports.world import Clock, RawRequest, RawResponse, Transport


@dataclass(frozen=True, slots=True)
class AttemptRequest:
    """All that a channel needs to know of an attempt, for every verb.

    `expires_at` is the absolute deadline that is sent to the channel; `options` are the caller's method_options
    (already checked to be a JSON object of known keys by the channel's capabilities).
    """

    reference: str
    method: str
    amount: Money
    subject: str
    expires_at: datetime
    created_at: datetime
    notify_url: str
    return_url: str | None = None
    channel_reference: str | None = None
    buyer_id: str | None = None
    buyer_ip: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """`reference` names the refund, `attempt_reference` the paid attempt it belongs to; `paid` is what was paid;
    `notify_url` is for channels that tell of a refund's end."""

    reference: str
    attempt_reference: str
    amount: Money
    paid: Money
    reason: str | None = None
    channel_reference: str | None = None
    notify_url: str | None = None


class Verb(StrEnum):
    """Verbs that may have an effect at the channel; `Capabilities.idempotent` lists those safe to repeat."""

    CREATE = "create"
    CLOSE = "close"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class MethodCapability:
    """Bounds of one method; `surfaces` say where a checkout may offer it: desktop, mobile, wallet (the wallet's own
    browser on a phone), qr, in_app, counter.

    `options` are the method options that it knows, `required` those without which it cannot be used.
    """

    currencies: frozenset[str]
    amount_min: int
    amount_max: int
    surfaces: frozenset[str]
    options: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    wants_origin: bool = False
    """the channel's page opens only for a browser that says from which site it comes (Referer)"""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a channel can do, as data; routing, checkout and console ask this instead of the channel's name."""

    methods: Mapping[str, MethodCapability]
    partial_refund: bool = True
    idempotent: frozenset[Verb] = frozenset()
    refund_gap_seconds: int = 0
    expiry_min_seconds: int = 60
    expiry_max_seconds: int = 86_400


class Acknowledgement(StrEnum):
    """How the service ended with a notification; the channel has its own words for each."""

    ACCEPTED = "accepted"
    """recorded, or a duplicate: do not send it again"""
    REFUSED = "refused"
    """not trusted, or its content contradicts what we stored"""
    LATER = "later"
    """we could not record it now: send it again"""


@dataclass(frozen=True, slots=True)
class KeyWanted:
    """The message names a verification key that is not loaded; fetch it (`refresh_keys`) and read again."""

    serial: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `check` found: `level` is ok, warning or error; `advice` says what to do next."""

    level: str
    code: str
    message: str
    advice: str = ""


class Channel(Protocol):
    """One channel account, opened with its credentials."""

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def identity(self) -> Identity: ...

    async def create(self, attempt: AttemptRequest) -> AttemptEvent: ...

    async def query(self, attempt: AttemptRequest) -> AttemptEvent: ...

    async def close(self, attempt: AttemptRequest) -> AttemptEvent: ...

    async def refund(self, refund: RefundRequest) -> RefundEvent: ...

    async def query_refund(self, refund: RefundRequest) -> RefundEvent: ...

    def read_notification(self, raw: RawRequest, now: datetime) -> Notification | KeyWanted:
        """Verifies the raw bytes; raises MessageNotTrusted, or InvalidInput for what is no message at all."""
        ...

    async def refresh_keys(self, serial: str) -> None: ...

    def acknowledge(self, outcome: Acknowledgement) -> RawResponse: ...

    async def statement(self, day: date) -> Iterator[StatementLine]:
        """The payments and refunds of a day in the channel's own time zone. Believe it when it has ended: what is
        missing is told there (StatementBroken)."""
        ...

    async def check(self) -> list[Finding]: ...


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One credential of a channel account; a secret is encrypted at rest and never comes out."""

    name: str
    secret: bool
    required: bool = True
    description: str = ""


class ChannelOpener(Protocol):
    """Builds a channel from checked credentials; raises InvalidInput (with `param`) for a key that cannot be read."""

    def __call__(self, credentials: Mapping[str, str], transport: Transport, clock: Clock) -> Channel: ...


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """A channel as the registry lists it. `gateway_url` is a credential like any other (the sandbox is a base URL);
    a live account takes an address from `production_urls` only."""

    name: str
    capabilities: Capabilities
    credentials: tuple[CredentialField, ...]
    production_urls: frozenset[str]
    open: ChannelOpener
