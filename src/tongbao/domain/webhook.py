"""Webhooks, decided: what we sign, what an answer means, when to try again. Standard Webhooks 1.0.0. Pure.

Rule 1: only a 2xx is a delivery. 410 is the receiver's wish to hear nothing more. All else is tried again.
Rule 2: the gap to the next try counts from the end of the one before, carries jitter that is handed in, and is never
shorter than what the receiver asked for with Retry-After.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tongbao.domain.errors import InvalidInput

SECRET_PREFIX = "whsec_"  # noqa: S105 - the public mark of a secret, not one
SECRET_BYTES_MIN = 24

GAPS_SECONDS = (0, 5, 15, 30, 180, 600, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Before the first try, the second, ...: 13 tries over some three days."""
TRIES_MAX = len(GAPS_SECONDS)
JITTER_PERMILLE_MAX = 100
RETRY_AFTER_SECONDS_MAX = 86_400
"""A receiver may postpone the next try by at most a day."""


class WebhookError(StrEnum):
    """Why a try ended without a usable answer; the merchant reads it in the list of deliveries."""

    INVALID_URL = "invalid_url"
    REFUSED_SCHEME = "refused_scheme"
    REFUSED_PORT = "refused_port"
    REFUSED_ADDRESS = "refused_address"
    """the host is, or resolves to, an address that is not globally routable"""
    RESOLVE_FAILED = "resolve_failed"
    CONNECT_FAILED = "connect_failed"
    TLS_FAILED = "tls_failed"
    TIMEOUT = "timeout"
    REDIRECT = "redirect"
    """3xx: redirects are never followed"""
    TOO_LARGE = "too_large"
    """the answer's body passed 64 kB and was not read to its end; its status counts all the same"""
    BAD_ANSWER = "bad_answer"
    """the connection broke before a complete HTTP answer was there"""


@dataclass(frozen=True, slots=True)
class WebhookResult:
    """What one try brought. `status` is the HTTP status when one came; `retry_after_seconds` what the receiver asked
    for; the receiver's body is not kept."""

    status: int | None
    error: WebhookError | None = None
    retry_after_seconds: int | None = None
    duration_ms: int = 0


class Verdict(StrEnum):
    """What becomes of a delivery after a try."""

    DELIVERED = "delivered"
    RETRY = "retry"
    EXHAUSTED = "exhausted"
    """the last try of the schedule failed: a dead letter, to be redelivered by hand"""
    DISABLED = "disabled"
    """410: switch the endpoint off"""


@dataclass(frozen=True, slots=True)
class Decision:
    """`wait` is the time from the end of this try to the next one; None unless the verdict is RETRY."""

    verdict: Verdict
    wait: timedelta | None = None


# The status line decides; this error is a remark beside it.
_REMARKS = frozenset({None, WebhookError.TOO_LARGE})


def decide(result: WebhookResult, *, tries: int, jitter_permille: int) -> Decision:
    """What to do after try number `tries` (the first is 1). `jitter_permille`, -100 ... 100, is drawn by the caller."""
    assert tries >= 1, "a try was made"
    assert -JITTER_PERMILLE_MAX <= jitter_permille <= JITTER_PERMILLE_MAX, "the jitter is 10 % at most"
    if result.status is not None and result.error in _REMARKS:
        if 200 <= result.status < 300:
            return Decision(Verdict.DELIVERED)
        if result.status == 410:
            return Decision(Verdict.DISABLED)
    if tries >= TRIES_MAX:
        return Decision(Verdict.EXHAUSTED)
    return Decision(Verdict.RETRY, _wait(GAPS_SECONDS[tries], jitter_permille, result.retry_after_seconds))


def _wait(gap_seconds: int, jitter_permille: int, retry_after_seconds: int | None) -> timedelta:
    scheduled = timedelta(milliseconds=gap_seconds * (1000 + jitter_permille))
    asked = timedelta(seconds=min(retry_after_seconds or 0, RETRY_AFTER_SECONDS_MAX))
    return max(scheduled, asked)


def make_secret(random_bytes: bytes) -> str:
    """`whsec_...` from at least 24 random bytes."""
    assert len(random_bytes) >= SECRET_BYTES_MIN, "a webhook secret has at least 24 bytes"
    return SECRET_PREFIX + base64.b64encode(random_bytes).decode()


def read_secret(secret: str) -> bytes:
    """The key in `whsec_<base64>`; raises InvalidInput, which never repeats the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) < SECRET_BYTES_MIN:
        raise InvalidInput(f"a webhook secret is {SECRET_PREFIX} and base64 of at least {SECRET_BYTES_MIN} bytes")
    return key


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>`: HMAC-SHA256 over `id.timestamp.body`; `timestamp` in whole seconds since 1970."""
    message = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(read_secret(secret), message, hashlib.sha256)).decode()


def signed_headers(secrets: Sequence[str], event_id: str, at: datetime, body: bytes) -> Mapping[str, str]:
    """The three headers of Standard Webhooks for one try. During a rotation hand in both secrets, the new one first:
    the receiver accepts the message when any signature is right."""
    assert secrets, "an endpoint has at least one secret"
    assert "." not in event_id, "a dot in the id would make the signed text ambiguous"
    timestamp = int(at.timestamp())
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, event_id, timestamp, body) for secret in secrets),
    }
