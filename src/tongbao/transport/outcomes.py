"""What went wrong on the way, as one table for the whole house.

Rule: refused, unresolved, no connection in time, not an address -> ChannelUnavailable (certainly nothing was sent);
anything after the first byte was sent -> OutcomeUnknown.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from tongbao.domain.errors import ChannelUnavailable, OutcomeUnknown

T = TypeVar("T")

BODY_BYTES_MAX = 64 * 1024 * 1024
TOO_LARGE = "the answer is too large"

NOT_SENT = "The channel at {host} could not be reached ({why}); nothing was sent. Check address, network and proxy."
MAYBE_SENT = "The connection to {host} failed after the request was sent ({why}); it may have been executed. Query it."


def not_sent(url: str, why: str) -> ChannelUnavailable:
    return ChannelUnavailable(NOT_SENT.format(host=_host(url), why=why))


def maybe_sent(url: str, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(MAYBE_SENT.format(host=_host(url), why=why))


def checked(url: str, read: Callable[[], T]) -> T:
    """What `read` makes of the address; one that cannot be read was certainly not sent to."""
    try:
        return read()
    except ValueError:
        raise not_sent(url, "not an address") from None


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _host(url: str) -> str:
    """Without user and password, query or fragment: an address may carry secrets."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return "an unreadable address"
