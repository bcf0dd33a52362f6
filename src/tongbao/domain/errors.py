"""The error tree, divided by what the caller must do next.

TongbaoError                     code, message, outcome; never a secret
├── Rejected                     the request is wrong: change it
│   ├── InvalidInput             a field is malformed or out of bounds; `param` points at it
│   ├── NotFound                 no such object for this app
│   ├── TransitionRefused        the object's state does not allow it
│   ├── AmountExceeded           more than what is left to refund
│   ├── CurrencyMismatch         two currencies met
│   ├── OrderConflict            the order_no exists with other terms
│   └── IdempotencyConflict      the key was used for something else, or is still running
├── ChannelError                 the channel was involved
│   ├── ChannelDeclined          a definite no: the attempt is over, another may be tried
│   ├── ChannelUnavailable       certainly not executed: retry, or route elsewhere
│   ├── OutcomeUnknown           perhaps executed: query; repeat only an idempotent verb under the same reference
│   ├── MessageNotTrusted        signature, certificate or decryption failed: stop, alarm
│   └── StatementBroken          a statement file is damaged or cut off: download it again
├── StorageUnavailable           the database is away: try again shortly; `outcome` tells whether it may have committed
└── Misconfigured                fix the deployment; raised at start

Expected business answers of a channel (declined, still paying) are reports, values of `domain.report`; an exception
is for what interrupts the step. The default message of a class is its docstring.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """What is certain about an action that failed."""

    NOT_EXECUTED = "not_executed"
    EXECUTED = "executed"
    UNKNOWN = "unknown"


class TongbaoError(Exception):
    """Something went wrong in Tongbao."""

    code = "internal_error"
    outcome: Outcome | None = None

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        self.message = message or type(self).__doc__ or ""
        if code is not None:
            self.code = code
        super().__init__(self.message)


class Rejected(TongbaoError):
    """The request cannot be carried out as it is; change it."""

    code = "rejected"
    outcome = Outcome.NOT_EXECUTED


class InvalidInput(Rejected):
    """A field is malformed or out of bounds."""

    code = "invalid_input"

    def __init__(self, message: str | None = None, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.param = param


class NotFound(Rejected):
    """No such object."""

    code = "not_found"


class TransitionRefused(Rejected):
    """The object's state does not allow this."""

    code = "state_conflict"


class AmountExceeded(Rejected):
    """The amount is more than what is left to refund."""

    code = "amount_exceeded"


class CurrencyMismatch(Rejected):
    """Two amounts of different currencies met."""

    code = "currency_mismatch"


class OrderConflict(Rejected):
    """This order_no exists already with other terms."""

    code = "order_no_conflict"


class IdempotencyConflict(Rejected):
    """The idempotency key was used before."""

    code = "idempotency_mismatch"


class ChannelError(TongbaoError):
    """The channel was involved, and the step was interrupted.

    `channel_code`, `channel_message` are the channel's own words; `channel_request_id` is what its support asks for.
    """

    code = "channel_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        channel_code: str | None = None,
        channel_message: str | None = None,
        channel_request_id: str | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.channel_code = channel_code
        self.channel_message = channel_message
        self.channel_request_id = channel_request_id


class ChannelDeclined(ChannelError):
    """The channel refused: this attempt is over, another may be tried."""

    code = "channel_declined"
    outcome = Outcome.NOT_EXECUTED


class ChannelUnavailable(ChannelError):
    """The channel could not be reached; nothing was executed. Retry, or route elsewhere."""

    code = "channel_unavailable"
    outcome = Outcome.NOT_EXECUTED


class OutcomeUnknown(ChannelError):
    """The channel may or may not have executed this. Query before anything else."""

    code = "outcome_unknown"
    outcome = Outcome.UNKNOWN


class MessageNotTrusted(ChannelError):
    """The message's signature, certificate or encryption is not the channel's."""

    code = "message_not_trusted"


class StatementBroken(ChannelError):
    """The statement file is damaged, cut off, or not what was asked for. Download it again."""

    code = "statement_broken"


class StorageUnavailable(TongbaoError):
    """The database is away. Try again shortly, with the same idempotency key or order_no."""

    code = "storage_unavailable"
    outcome = Outcome.NOT_EXECUTED

    def __init__(self, message: str | None = None, *, outcome: Outcome = Outcome.NOT_EXECUTED) -> None:
        super().__init__(message)
        self.outcome = outcome


class Misconfigured(TongbaoError):
    """The deployment's configuration is wrong."""

    code = "misconfigured"
    outcome = Outcome.NOT_EXECUTED
