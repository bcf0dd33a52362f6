"""Who takes part: apps (a merchant's application, test or live), and their accounts at channels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tongbao.domain.report import Identity


@dataclass(frozen=True, slots=True)
class App:
    """A merchant's application. `livemode` is its property, never a call's."""

    id: str
    name: str
    livemode: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A secret key of an app; only its digest is stored, `hint` are its last characters."""

    app_id: str
    id: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ChannelAccount:
    """One merchant identity at a channel. `credentials` holds the public ones; the secret ones are in `sealed`."""

    app_id: str
    id: str
    channel: str
    name: str
    identity: Identity
    credentials: Mapping[str, str]
    sealed: bytes
    created_at: datetime
    livemode: bool = False
    enabled: bool = True
    metadata: Mapping[str, str] = field(default_factory=dict)
    version: int = 1
