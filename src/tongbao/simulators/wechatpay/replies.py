"""What is sent back: signed answers, unsigned refusals, and every way in which an answer can be wrong.

Rule: an answer is signed by the key that the request named, over time, nonce and the bytes of the body; an error too.
Faults that make it say something else strike before it is signed, the others after.
"""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tongbao.crypto import RsaPrivateKey
from tongbao.simulators.bank import Bank
from tongbao.simulators.door import Answer, Ending
from tongbao.simulators.faults import Fault, find
from tongbao.simulators.wechatpay.errors import Refusal, Unsigned
from tongbao.simulators.wechatpay.merchants import UNPUBLISHED, Merchants
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import SCHEME, encoded, signature

JSON = "application/json; charset=utf-8"
MAINTENANCE = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
PROBE = "WECHATPAY/SIGNTEST/"
_COMMON = {
    "Cache-Control": "no-cache, must-revalidate",
    "X-Content-Type-Options": "nosniff",
    "Content-Language": "zh-CN",
}
_ENDINGS = {Fault.REPLY_LOST: Ending.DROPPED, Fault.REPLY_NEVER: Ending.NEVER}
_REFUSALS = {
    Fault.CALL_LIMITED: "limited",
    Fault.NO_PERMISSION: "no_permission",
    Fault.REPLY_SYSTEM_ERROR: "system",
}
_NUMBERS = ("out_trade_no", "out_refund_no", "out_bill_no", "out_batch_no", "out_order_no", "combine_out_trade_no")


def _other_number(body: dict[str, Any]) -> None:
    for name in _NUMBERS:
        if name in body:
            body[name] = f"X{body[name]}"[:32]


def _other_amount(body: dict[str, Any]) -> None:
    amount = body.get("amount")
    if isinstance(amount, dict):
        body["amount"] = {name: value + 100 if isinstance(value, int) else value for name, value in amount.items()}
    for name in ("transfer_amount", "total_amount"):
        if name in body:
            body[name] += 100


_CHANGES: Mapping[Fault, Callable[[dict[str, Any]], None]] = {
    Fault.REPLY_WRONG_TRADE: _other_number,
    Fault.REPLY_WRONG_AMOUNT: _other_amount,
}


@dataclass(frozen=True, slots=True)
class Done:
    """Another success than 200 with a body: 202, 204."""

    status: int
    fields: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A download."""

    kind: str
    content: bytes


Result = Mapping[str, Any] | Done | File


class Writer:
    """Signs and spoils."""

    def __init__(self, bank: Bank, merchants: Merchants) -> None:
        self._bank = bank
        self._merchants = merchants

    def done(self, call: Call, status: int, fields: Mapping[str, Any] | None) -> Answer:
        """An answer with a body, or without one (204)."""
        body = b""
        if fields is not None:
            shown = dict(fields)
            for fault, change in _CHANGES.items() if call.faults else ():
                if find(call.faults, fault):
                    change(shown)
            body = encoded(shown)
        return self._spoilt(call, self._signed(call, status, body, 0))

    def refused(self, call: Call, refusal: Refusal) -> Answer:
        return self._spoilt(call, self._signed(call, refusal.status, encoded(refusal.body()), refusal.number))

    def file(self, call: Call, kind: str, body: bytes) -> Answer:
        """A download: never signed."""
        answer = Answer(200, {"Content-Type": kind, **_COMMON, "Request-ID": self.request_id(0)}, body)
        return self._spoilt(call, answer)

    def unsigned(self, error: Unsigned) -> Answer:
        """A refusal from before the signature was believed."""
        if not error.code:
            return Answer(error.status)
        body: dict[str, object] = {"code": error.code, "message": error.message}
        if error.detail is not None:
            body["detail"] = error.detail
        headers = {"Content-Type": JSON, **_COMMON}
        if error.named:
            headers["Request-ID"] = self.request_id(268443699 if error.status == 401 else 268435461)
        return Answer(error.status, headers, encoded(body))

    def before(self, call: Call) -> Answer | None:
        """What a fault answers before anything is done; None when it lets the call through."""
        if find(call.faults, Fault.UNREACHABLE):
            return Answer(ending=Ending.DROPPED)
        if find(call.faults, Fault.BAD_GATEWAY):
            return Answer(502, {"Content-Type": "text/html"}, MAINTENANCE)
        if find(call.faults, Fault.UNAVAILABLE):
            return self._unavailable()
        for fault in (Fault.CALL_LIMITED, Fault.NO_PERMISSION):
            if find(call.faults, fault):
                return self.refused(call, Refusal(_REFUSALS[fault]))
        return None

    def request_id(self, number: int) -> str:
        """Long upper-case hex, then the internal result."""
        return f"08{self._bank.chance(160):040X}-{number}"

    def _unavailable(self) -> Answer:
        body = encoded(Refusal("unavailable").body())
        return Answer(503, {"Content-Type": JSON, **_COMMON}, body)

    def _signed(self, call: Call, status: int, body: bytes, number: int) -> Answer:
        stale = find(call.faults, Fault.REPLY_STALE)
        stamp = call.stamp - timedelta(seconds=stale.number(600)) if stale else call.stamp
        serial, key = self._key(call)
        seconds, nonce = str(int(stamp.timestamp())), f"{self._bank.chance(128):032x}"
        proof = signature(key, (seconds.encode(), nonce.encode(), body))
        headers = {"Content-Type": JSON} if body else {}
        headers |= _COMMON
        headers["Request-ID"] = self.request_id(number)
        headers["Wechatpay-Nonce"] = nonce
        headers["Wechatpay-Signature"] = PROBE + proof if find(call.faults, Fault.REPLY_PROBED) else proof
        headers["Wechatpay-Signature-Type"] = SCHEME
        headers["Wechatpay-Timestamp"] = seconds
        headers["Wechatpay-Serial"] = serial
        return Answer(status, headers, body)

    def _key(self, call: Call) -> tuple[str, RsaPrivateKey]:
        if call.faults and find(call.faults, Fault.REPLY_KEY_ROTATED):
            following = self._merchants.next_certificate()
            return following.serial, self._merchants.key_of(following)
        serial, key = self._merchants.signer(call.merchant, call.serial)
        if call.faults and find(call.faults, Fault.REPLY_BAD_SIGNATURE):
            return serial, self._merchants.stranger_key
        if call.faults and find(call.faults, Fault.REPLY_UNKNOWN_SERIAL):
            return UNPUBLISHED, self._merchants.stranger_key
        return serial, key

    def _spoilt(self, call: Call, answer: Answer) -> Answer:
        if not call.faults:
            return answer
        if find(call.faults, Fault.REPLY_UNAVAILABLE):
            answer = self._unavailable()
        if find(call.faults, Fault.REPLY_SYSTEM_ERROR):
            refusal = Refusal("system")
            answer = self._signed(call, refusal.status, encoded(refusal.body()), refusal.number)
        for fault, spoil in _SPOILING.items():
            if find(call.faults, fault):
                spoil(answer)
        if find(call.faults, Fault.REPLY_COMPRESSED) and call.takes_gzip and answer.body:
            answer.body = gzip.compress(answer.body)
            answer.headers["Content-Encoding"] = "gzip"
        answer.ending = next((end for fault, end in _ENDINGS.items() if find(call.faults, fault)), answer.ending)
        return answer


def _strip(answer: Answer) -> None:
    answer.headers = {name: value for name, value in answer.headers.items() if not name.startswith("Wechatpay-")}


def _tamper(answer: Answer) -> None:
    answer.body = answer.body.replace(b'":', b'": ', 1)
    if not answer.body:
        answer.headers["Wechatpay-Nonce"] = "0" * 32


def _cut(answer: Answer) -> None:
    answer.body = answer.body[: len(answer.body) // 2]


def _html(answer: Answer) -> None:
    answer.status, answer.body = 200, MAINTENANCE
    answer.headers = {"Content-Type": "text/html"}


_SPOILING: Mapping[Fault, Callable[[Answer], None]] = {
    Fault.REPLY_UNSIGNED: _strip,
    Fault.REPLY_TAMPERED: _tamper,
    Fault.REPLY_TRUNCATED: _cut,
    Fault.REPLY_NOT_JSON: _html,
}
