"""What can be made to go wrong: the switch board of the sandbox.

Rule: a fault is an enum member with a stage and a sentence that says exactly what the other side will see. A rule on
the board is scoped to a channel, optionally to one merchant (its app id) and one API method, and ends by itself after
its number of calls. Faults of a later stage that come with a request (header `X-Sandbox-Fault`) stay with its trade.
"""

from collections.abc import Iterable
from enum import Enum, StrEnum

import msgspec

from tongbao.simulators.journal import Journal, Shelf

FAULT_HEADER = "x-sandbox-fault"
ARGUMENT_MAX = 365 * 86_400


class Stage(StrEnum):
    """When a fault strikes."""

    REQUEST = "request"
    """before anything is done: no effect"""
    EFFECT = "effect"
    """while it is done: the business outcome is another one"""
    REPLY = "reply"
    """after it was done: only the answer is wrong"""
    NOTIFICATION = "notification"
    BUYER = "buyer"
    """on the buyer's pages"""


class Fault(Enum):
    """Every fault: (stage, what the other side sees). `argument` of a rule is a number where the sentence says N."""

    UNREACHABLE = Stage.REQUEST, "the connection is dropped before anything is done"
    UNAVAILABLE = Stage.REQUEST, "the channel's 'temporarily unavailable' answer; nothing is done"
    BAD_GATEWAY = Stage.REQUEST, "HTTP 502 with a proxy's HTML page; nothing is done"
    CALL_LIMITED = Stage.REQUEST, "the channel's rate limit answer; nothing is done"
    NO_PERMISSION = Stage.REQUEST, "the channel says that this merchant has no contract for the method; nothing is done"
    SLOW = Stage.REQUEST, "the request is carried out after N seconds (3)"

    BUYER_BALANCE_SHORT = Stage.EFFECT, "the buyer's balance does not suffice"
    SELLER_BALANCE_SHORT = Stage.EFFECT, "the merchant's balance does not suffice for a refund or transfer"
    REFUND_UNCONFIRMED = (
        Stage.EFFECT,
        "the refund is done, but its answer does not confirm it: only a refund query does",
    )
    PAYMENT_THEN_PAID = Stage.EFFECT, "a barcode payment waits for the buyer, who pays N seconds later (10)"
    PAYMENT_THEN_CLOSED = Stage.EFFECT, "a barcode payment waits for the buyer, who never pays"
    STATEMENT_EXPIRED = Stage.EFFECT, "the statement's download address has died already"
    STATEMENT_MISSING = Stage.EFFECT, "the statement of the day does not exist yet"
    STATEMENT_CREATING = Stage.EFFECT, "the statement of the day is still being made"
    STATEMENT_ALTERED = Stage.EFFECT, "the statement's file is not the one whose hash was given"
    NUMBER_USED = Stage.EFFECT, "a number that is repeated with other content is refused as 'used', not as 'different'"
    REFUND_DELAYED = Stage.EFFECT, "the accepted refund is under way for N seconds (86400)"
    REFUND_ABNORMAL = Stage.EFFECT, "the accepted refund does not reach the buyer's account and ends as abnormal"
    REFUND_CLOSED = Stage.EFFECT, "the accepted refund is closed later; the money stays with the merchant"
    TRANSFER_FAILED = Stage.EFFECT, "the accepted transfer fails later; the money comes back"

    REPLY_LOST = Stage.REPLY, "done, but the connection is dropped instead of an answer"
    REPLY_NEVER = Stage.REPLY, "done, but no answer ever comes; the connection stays open"
    REPLY_UNAVAILABLE = Stage.REPLY, "done, but the answer is 'temporarily unavailable'"
    REPLY_SYSTEM_ERROR = Stage.REPLY, "done, but the answer is the method's 'system error'"
    REPLY_BAD_SIGNATURE = Stage.REPLY, "done; the answer is signed by a stranger's key"
    REPLY_UNSIGNED = Stage.REPLY, "done; the answer is a success without a signature"
    REPLY_TAMPERED = Stage.REPLY, "done; the answer was changed after it was signed"
    REPLY_TRUNCATED = Stage.REPLY, "done; the second half of the answer is cut off"
    REPLY_NOT_JSON = Stage.REPLY, "done; the answer is a maintenance page in HTML"
    REPLY_DUPLICATE_NODE = Stage.REPLY, "done; a forged second answer is appended behind the signed one"
    REPLY_WRONG_TRADE = Stage.REPLY, "done; validly signed, but it names another merchant reference"
    REPLY_WRONG_AMOUNT = Stage.REPLY, "done; validly signed, but it states another amount"
    REPLY_SLASHES_ESCAPED = Stage.REPLY, "done; slashes are written as \\/ and signed so"
    REPLY_SLASHES_ESCAPED_AFTER = Stage.REPLY, "done; slashes are written as \\/ after the plain form was signed"
    REPLY_ERROR_NODE = Stage.REPLY, "done; the answer is an error under the node name error_response"
    REPLY_KEY_ROTATED = Stage.REPLY, "certificate mode: the answer is signed with the channel's next certificate"
    REPLY_PROBED = Stage.REPLY, "done; the answer carries a probe: a signature that the channel made false on purpose"
    REPLY_STALE = Stage.REPLY, "done; the answer is stamped N seconds ago (600)"
    REPLY_UNKNOWN_SERIAL = Stage.REPLY, "done; the answer names a key that was never published"
    REPLY_COMPRESSED = Stage.REPLY, "done; the answer is compressed, if the caller accepts gzip"

    NOTIFICATION_LOST = Stage.NOTIFICATION, "the notification is never sent"
    NOTIFICATION_DOUBLED = Stage.NOTIFICATION, "the notification is sent twice at once"
    NOTIFICATION_DELAYED = Stage.NOTIFICATION, "the notification is sent N seconds later (300)"
    NOTIFICATION_REORDERED = Stage.NOTIFICATION, "the notification is held back until the trade's next one was sent"
    NOTIFICATION_REPLAYED = Stage.NOTIFICATION, "the accepted notification is sent once more N seconds later (3600)"
    NOTIFICATION_FORGED = Stage.NOTIFICATION, "in its place comes one that a stranger signed"
    NOTIFICATION_UNSIGNED = Stage.NOTIFICATION, "in its place comes one without a signature"
    NOTIFICATION_TAMPERED = Stage.NOTIFICATION, "its amount was changed after it was signed"
    NOTIFICATION_WRONG_AMOUNT = Stage.NOTIFICATION, "validly signed, but with another amount"
    NOTIFICATION_WRONG_SELLER = Stage.NOTIFICATION, "validly signed, but naming another seller"
    NOTIFICATION_WRONG_APP = Stage.NOTIFICATION, "validly signed, but for another app"
    NOTIFICATION_WRONG_ORDER = Stage.NOTIFICATION, "validly signed, but for a merchant reference nobody made"
    NOTIFICATION_WEAK_HASH = Stage.NOTIFICATION, "signed with SHA-1 and saying so, though the app is on SHA-256"
    NOTIFICATION_UNKNOWN_FIELDS = Stage.NOTIFICATION, "true, with additional fields that no document lists"
    NOTIFICATION_PROBED = Stage.NOTIFICATION, "the first try carries a signature that the channel made false on purpose"
    NOTIFICATION_STALE = Stage.NOTIFICATION, "the first try is stamped N seconds ago (600)"
    NOTIFICATION_UNKNOWN_SERIAL = Stage.NOTIFICATION, "it names a key that was never published"
    NOTIFICATION_KEY_ROTATED = Stage.NOTIFICATION, "it is signed with the channel's next certificate"
    NOTIFICATION_OTHER_SECRET = Stage.NOTIFICATION, "validly signed, but encrypted under another merchant's secret"
    NOTIFICATION_EMPTY_FIELD = Stage.NOTIFICATION, "true, with an empty field that is part of the signed text"

    PAID_NOTICE_WITHOUT_PAYMENT = Stage.BUYER, "when the cashier opens, a forged message claims that it is paid"
    RETURN_FORGED = Stage.BUYER, "the buyer comes back with parameters that a stranger signed"
    RETURN_LOST = Stage.BUYER, "the buyer pays and never comes back"
    TRADE_EXPIRED = Stage.BUYER, "the trade's time is over when the buyer opens the cashier"

    def __init__(self, stage: Stage, description: str) -> None:
        self.stage = stage
        self.description = description

    @property
    def code(self) -> str:
        return self.name.lower()

    @classmethod
    def named(cls, code: str) -> "Fault":
        """By its lower-case name; raises ValueError that lists what there is."""
        try:
            return cls[code.strip().upper()]
        except KeyError:
            known = ", ".join(fault.code for fault in cls)
            raise ValueError(f"no fault '{code}'; there are: {known}") from None


class FaultRule(msgspec.Struct):
    """One switch. `calls_left` None holds until it is cleared; `merchant` and `method` None mean any."""

    id: str
    fault: str
    channel: str | None = None
    merchant: str | None = None
    method: str | None = None
    calls_left: int | None = 1
    argument: float | None = None


class Struck(msgspec.Struct):
    """A fault that strikes now, with its rule's argument."""

    fault: str
    argument: float | None = None

    def is_(self, fault: Fault) -> bool:
        return self.fault == fault.code

    def number(self, default: float) -> float:
        return default if self.argument is None else self.argument


class FaultBoard:
    """The rules, kept over a restart."""

    def __init__(self, journal: Journal) -> None:
        self._rules = Shelf(journal, "fault", FaultRule)
        self._next = 1 + max((int(rule.id) for rule in self._rules.values()), default=0)

    def rules(self) -> list[FaultRule]:
        return sorted(self._rules.values(), key=lambda rule: int(rule.id))

    def set(
        self,
        code: str,
        *,
        channel: str | None = None,
        merchant: str | None = None,
        method: str | None = None,
        calls: int | None = 1,
        argument: float | None = None,
    ) -> FaultRule:
        """Switches a fault on; raises ValueError for an unknown one or a number of calls below 1."""
        fault = Fault.named(code)
        if calls is not None and calls < 1:
            raise ValueError("a number of calls is at least 1; leave it away to hold until cleared")
        _check_argument(argument)
        rule = FaultRule(str(self._next), fault.code, channel, merchant, method, calls, argument)
        self._next += 1
        return self._rules.put(rule.id, rule)

    def clear(self, rule_id: str | None = None) -> int:
        """Removes one rule, or all; returns how many there were."""
        gone = [rule.id for rule in self._rules.values() if rule_id in (None, rule.id)]
        for key in gone:
            self._rules.remove(key)
        return len(gone)

    def draw_one(self, fault: Fault, channel: str, merchant: str, method: str) -> Struck | None:
        """That one fault, if it strikes now; other rules of its stage keep their calls."""
        for rule in self.rules() if len(self._rules) else ():
            if rule.fault == fault.code and _matches(rule, channel, merchant, method):
                self._use(rule)
                return Struck(rule.fault, rule.argument)
        return None

    def draw(self, stage: Stage, channel: str, merchant: str, method: str) -> list[Struck]:
        """The faults that strike this call at this stage; each uses up one of its rule's calls."""
        if not len(self._rules):
            return []
        struck = []
        for rule in self.rules():
            if Fault.named(rule.fault).stage is stage and _matches(rule, channel, merchant, method):
                struck.append(Struck(rule.fault, rule.argument))
                self._use(rule)
        return struck

    def _use(self, rule: FaultRule) -> None:
        if rule.calls_left is None:
            return
        rule.calls_left -= 1
        if rule.calls_left:
            self._rules.put(rule.id, rule)
        else:
            self._rules.remove(rule.id)


def _matches(rule: FaultRule, channel: str, merchant: str, method: str) -> bool:
    wanted = ((rule.channel, channel), (rule.merchant, merchant), (rule.method, method))
    return all(want in (None, "", have) for want, have in wanted)


def _check_argument(argument: float | None) -> None:
    if argument is not None and not 0 <= argument <= ARGUMENT_MAX:
        raise ValueError(f"N is a number of seconds from 0 to {ARGUMENT_MAX}")


def from_header(text: str) -> list[Struck]:
    """Faults named in a request header: `reply_lost, notification_delayed=60`. Raises ValueError for an unknown one."""
    struck = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        code, _, number = part.partition("=")
        argument = float(number) if number else None
        _check_argument(argument)
        struck.append(Struck(Fault.named(code).code, argument))
    return struck


def at(stage: Stage, struck: Iterable[Struck]) -> list[Struck]:
    return [one for one in struck if Fault.named(one.fault).stage is stage]


def find(struck: Iterable[Struck], fault: Fault) -> Struck | None:
    return next((one for one in struck if one.is_(fault)), None)
