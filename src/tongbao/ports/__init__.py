"""What the services need from the outside: channels, the store, time, chance, HTTP. Import from here."""

from tongbao.ports.channel import (
    Acknowledgement,
    AttemptRequest,
    Capabilities,
    Channel,
    ChannelKind,
    ChannelOpener,
    CredentialField,
    Finding,
    KeyWanted,
    MethodCapability,
    RefundRequest,
    Verb,
)
from tongbao.ports.leases import DueDelivery, JobKey, Leases, Target
from tongbao.ports.webhook import WebhookSender
from tongbao.ports.world import (
    Clock,
    Ids,
    RawRequest,
    RawResponse,
    Reply,
    Request,
    SyncTransport,
    Timeouts,
    Transport,
)

__all__ = [
    "Acknowledgement",
    "AttemptRequest",
    "Capabilities",
    "Channel",
    "ChannelKind",
    "ChannelOpener",
    "Clock",
    "CredentialField",
    "DueDelivery",
    "Finding",
    "Ids",
    "JobKey",
    "KeyWanted",
    "Leases",
    "MethodCapability",
    "RawRequest",
    "RawResponse",
    "RefundRequest",
    "Reply",
    "Request",
    "SyncTransport",
    "Target",
    "Timeouts",
    "Transport",
    "Verb",
    "WebhookSender",
]
