"""Errors on the wire: RFC 9457 problem documents, and the one table of HTTP statuses.

Read by the class of the error, divided by what the caller must do next; a few codes have a status of their own.
Never a stack trace, never a secret.
"""

import msgspec

from tongbao.domain.errors import (
    AmountExceeded,
    ChannelError,
    CurrencyMismatch,
    IdempotencyConflict,
    InvalidInput,
    Misconfigured,
    NotFound,
    OrderConflict,
    Rejected,
    StorageUnavailable,
    TongbaoError,
    TransitionRefused,
)


class Malformed(Rejected):
    """The body is not what this call takes; send UTF-8 JSON."""

    code = "malformed"


class Unauthorized(Rejected):
    """No valid API key. Send `Authorization: Bearer sk_test_...` (or sk_live_...)."""

    code = "unauthorized"


class NoSuchRoute(Rejected):
    """There is nothing at this address; see /docs."""

    code = "no_such_route"


class MethodNotAllowed(Rejected):
    """This address does not take this method; see /docs."""

    code = "method_not_allowed"

    def __init__(self, *allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


class TooLarge(Rejected):
    """The body is larger than 256 kB."""

    code = "body_too_large"


STATUS_BY_CLASS: tuple[tuple[type[TongbaoError], int], ...] = (
    (Malformed, 400),
    (Unauthorized, 401),
    (NoSuchRoute, 404),
    (NotFound, 404),
    (MethodNotAllowed, 405),
    (TooLarge, 413),
    (TransitionRefused, 409),
    (OrderConflict, 409),
    (IdempotencyConflict, 422),
    (AmountExceeded, 422),
    (CurrencyMismatch, 422),
    (InvalidInput, 422),
    (Rejected, 422),
    (ChannelError, 424),
    (StorageUnavailable, 503),
    (Misconfigured, 500),
    (TongbaoError, 500),
)
STATUS_BY_CODE = {"idempotency_in_progress": 409}
RETRYABLE = frozenset(
    {"attempt_in_progress", "idempotency_in_progress", "storage_unavailable", "channel_unavailable", "rate_limited"}
)
RETRY_AFTER = {503: "1", 429: "1"}
NOT_KEPT = frozenset({400, 401, 422, 429, 500, 503})
"""Answers that an idempotency key does not keep."""

TITLES = {
    400: "Malformed request",
    401: "Not authenticated",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict with the present state",
    413: "Too large",
    422: "Invalid request",
    424: "The channel failed",
    500: "Internal error",
    503: "Temporarily unavailable",
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, what is certain, what to do next."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    param: str | None = None
    retryable: bool = False
    outcome: str | None = None
    channel: str | None = None
    channel_code: str | None = None
    channel_message: str | None = None


def status_of(error: TongbaoError) -> int:
    """The HTTP status of an error."""
    if error.code in STATUS_BY_CODE:
        return STATUS_BY_CODE[error.code]
    return next(status for kind, status in STATUS_BY_CLASS if isinstance(error, kind))


def problem_of(error: TongbaoError, request_id: str) -> Problem:
    """The document; what is a fault of the deployment says no more than that."""
    status = status_of(error)
    return Problem(
        type=f"/docs/errors#{error.code}",
        title=TITLES[status],
        status=status,
        detail=error.message if status != 500 else "Something is wrong on our side; the operator has been told.",
        code=error.code,
        request_id=request_id,
        param=getattr(error, "param", None),
        retryable=error.code in RETRYABLE,
        outcome=error.outcome,
        channel_code=getattr(error, "channel_code", None),
        channel_message=getattr(error, "channel_message", None),
    )
