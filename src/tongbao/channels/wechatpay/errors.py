"""What an error answer of WeChat Pay means: which error it is, what is certain, what to do next. Tables and classes.

WechatPayError (a ChannelError)     http_status, channel_code, detail, next_step, signed
├── WechatPayDeclined               a definite no, nothing was executed (a ChannelDeclined)
├── WechatPayUnavailable            certainly not executed: later, or once something is put right (a ChannelUnavailable)
└── WechatPayOutcomeUnknown         perhaps executed: ask before anything else (an OutcomeUnknown)

Rule: the HTTP status says whether it is an error, the code says which; a code that is in no table is never a no, it is
an unknown outcome. Texts are never looked at. Spellings vary (`ORDER_NOT_EXIST`, `ORDERNOTEXIST`), so codes are
compared without underscores. Source: the error model and the error lists of each call of the protocol.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tongbao.domain.errors import ChannelDeclined, ChannelError, ChannelUnavailable, OutcomeUnknown


class NextStep(StrEnum):
    """The advised next step. The value is a sentence for the person who reads the error."""

    QUERY = "Query the order, then decide; do not start another one before that."
    REPEAT = "Repeat the same request with the same numbers."
    NEW_NUMBER = "Start again under a new out_trade_no."
    BUYER = "The buyer must act: another code, another means of payment, or a lifted limit."
    FIX = "Correct the request or the configuration; repeating it unchanged will fail again."
    OPERATIONS = "Settle it with WeChat Pay or in its merchant console, then repeat."
    GIVE_UP = "Final; do not repeat it."
    BACK_OFF = "Called too often or too early; wait, then repeat."


class WechatPayError(ChannelError):
    """WeChat Pay answered with an error.

    `code` is Tongbao's and stable, `channel_code` is WeChat's as it was sent, `channel_request_id` its Request-ID;
    `signed` tells whether the answer carried a valid signature, `detail` where a field is at fault.
    """

    def __init__(
        self, *, call: str, ruling: "Ruling", status: int, body: Mapping[str, Any], request_id: str | None, signed: bool
    ) -> None:
        self.call = call
        self.http_status = status
        self.next_step = ruling.next_step
        self.signed = signed
        self.body = dict(body)
        detail = body.get("detail")
        self.detail: dict[str, Any] = dict(detail) if isinstance(detail, Mapping) else {}
        told, text = str(body.get("code") or ""), str(body.get("message") or "")
        super().__init__(
            f"WeChat Pay answered {call} with HTTP {status} {told or 'without a code'}"
            f"{f' ({text})' if text else ''}. {ruling.next_step.value}",
            code=ruling.code,
            channel_code=told or f"http_{status}",
            channel_message=text,
            channel_request_id=request_id,
        )


class WechatPayDeclined(WechatPayError, ChannelDeclined):
    """WeChat Pay refused; nothing was executed."""


class WechatPayUnavailable(WechatPayError, ChannelUnavailable):
    """WeChat Pay did not execute it; it may be repeated later, or once the cause is put right."""


class WechatPayOutcomeUnknown(WechatPayError, OutcomeUnknown):
    """WeChat Pay does not tell whether it was executed."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """How one wire code is understood."""

    error: type[WechatPayError]
    next_step: NextStep
    code: str


def _no(next_step: NextStep, code: str) -> Ruling:
    return Ruling(WechatPayDeclined, next_step, code)


def _later(next_step: NextStep, code: str) -> Ruling:
    return Ruling(WechatPayUnavailable, next_step, code)


def _unknown(next_step: NextStep, code: str = "outcome_unknown") -> Ruling:
    return Ruling(WechatPayOutcomeUnknown, next_step, code)


def plain(code: str) -> str:
    """A code in the spelling that is compared: `ORDER_NOT_EXIST` and `ORDERNOTEXIST` are one."""
    return code.replace("_", "").upper()


def _rows(*rows: tuple[Ruling, str]) -> dict[str, Ruling]:
    return {plain(code): ruling for ruling, codes in rows for code in codes.split()}


UNKNOWN = _unknown(NextStep.QUERY)
_CREDENTIALS = _later(NextStep.FIX, "channel_credentials_invalid")
_RATE = _later(NextStep.BACK_OFF, "channel_rate_limited")
_RATE_CODES = "FREQUENCY_LIMITED FREQUENCY_LIMIT_EXCEED RATELIMIT_EXCEED RATELIMIT_EXCEEDED RATE_LIMITED"

ERROR_FROM_CODE: dict[str, Ruling] = _rows(
    (_no(NextStep.FIX, "channel_request_invalid"), "PARAM_ERROR INVALID_REQUEST USER_ERROR"),
    (_CREDENTIALS, "SIGN_ERROR APPID_MCHID_NOT_MATCH MCH_NOT_EXISTS"),
    (_later(NextStep.OPERATIONS, "channel_permission_missing"), "NO_AUTH"),
    (_no(NextStep.NEW_NUMBER, "trade_closed"), "ORDER_CLOSED"),
    (_no(NextStep.QUERY, "request_number_reused"), "OUT_TRADE_NO_USED ALREADY_EXISTS"),
    (_no(NextStep.QUERY, "trade_status_conflict"), "ORDER_PAID ORDER_REVERSED TRADE_STATE_ERROR"),
    (_no(NextStep.QUERY, "trade_not_found"), "ORDER_NOT_EXIST"),
    (_no(NextStep.QUERY, "not_found_at_channel"), "RESOURCE_NOT_EXISTS NOT_FOUND"),
    (_no(NextStep.BUYER, "buyer_balance_insufficient"), "NOT_ENOUGH"),
    (_no(NextStep.OPERATIONS, "risk_refused"), "RULE_LIMIT"),
    (_no(NextStep.BUYER, "trade_refused"), "TRADE_ERROR"),
    (_no(NextStep.BUYER, "buyer_restricted"), "ACCOUNT_ERROR USER_ACCOUNT_ABNORMAL OPENID_MISMATCH"),
    (_no(NextStep.FIX, "trade_not_found"), "INVALID_TRANSACTIONID"),
    (_no(NextStep.GIVE_UP, "statement_not_found"), "NO_STATEMENT_EXIST"),
    (_later(NextStep.BACK_OFF, "statement_not_ready"), "STATEMENT_CREATING"),
    (_no(NextStep.GIVE_UP, "refund_not_allowed"), "TRADE_OVERDUE"),
    (_no(NextStep.FIX, "refund_amount_invalid"), "REFUND_FEE_MISMATCH"),
    (_RATE, _RATE_CODES),
    (_unknown(NextStep.QUERY, "buyer_paying"), "USER_PAYING"),
    (_unknown(NextStep.REPEAT), "SYSTEM_ERROR BANK_ERROR"),
    (UNKNOWN, "SERVICE_UNAVAILABLE"),
)
"""By code, for every call that has no row of its own below."""

ERROR_FROM_CODE_START: dict[str, Ruling] = _rows((_no(NextStep.BUYER, "auth_code_invalid"), "AUTH_CODE_"))
"""Families of codes; the first that matches. The names that code pay uses are not all known."""

_MONEY_OUT = _rows(
    (_later(NextStep.OPERATIONS, "seller_balance_insufficient"), "NOT_ENOUGH"),
    (_unknown(NextStep.QUERY, "channel_rate_limited"), _RATE_CODES),
)
ERROR_FROM_PATH_AND_CODE: dict[str, dict[str, Ruling]] = {
    "/v3/refund/": _MONEY_OUT | _rows((_no(NextStep.GIVE_UP, "refund_not_possible"), "USER_ACCOUNT_ABNORMAL")),
    "/v3/fund-app/": _MONEY_OUT,
    "/v3/transfer/": _MONEY_OUT,
    "/v3/profitsharing/": _rows((_later(NextStep.OPERATIONS, "seller_balance_insufficient"), "NOT_ENOUGH")),
    "/v3/pay/transactions/codepay": _rows((UNKNOWN, _RATE_CODES)),
    "/v3/pay/partner/transactions/codepay": _rows((UNKNOWN, _RATE_CODES)),
}
"""Where one call means something else by a code. A refund or transfer that was throttled may be in progress."""

ERROR_FROM_STATUS: dict[int, Ruling] = {
    401: _CREDENTIALS,
    404: _later(NextStep.FIX, "channel_request_invalid"),
    405: _later(NextStep.FIX, "channel_request_invalid"),
    429: _RATE,
}
"""Without any code: these come from the gateway, before the call is looked at. Every other status is unknown."""

_GATEWAYS_OWN = _rows((_CREDENTIALS, "SIGN_ERROR"), (_RATE, _RATE_CODES))
"""Codes that come without a signature and are believed: refused before anything ran."""


def error_from_answer(
    call: str, path: str, status: int, body: Mapping[str, Any], *, signed: bool, request_id: str | None
) -> WechatPayError:
    """The error that an answer other than 2xx stands for.

    A business error without a signature could be anyone's words, so it is an unknown outcome; what the gateway refuses
    before it runs the call comes unsigned and is believed.
    """
    ruling = ruling_for(path, status, str(body.get("code") or ""))
    if not signed and not _is_gateways_own(status, body):
        ruling = UNKNOWN
    return ruling.error(call=call, ruling=ruling, status=status, body=body, request_id=request_id, signed=signed)


def _is_gateways_own(status: int, body: Mapping[str, Any]) -> bool:
    code = str(body.get("code") or "")
    if not code:
        return status in ERROR_FROM_STATUS
    return plain(code) in _GATEWAYS_OWN and status in ERROR_FROM_STATUS


def ruling_for(path: str, status: int, code: str) -> Ruling:
    """The most specific row: path and code, code, family of codes, status (only where there is no code)."""
    name = plain(code)
    if not name:
        return ERROR_FROM_STATUS.get(status, UNKNOWN)
    for start, rows in ERROR_FROM_PATH_AND_CODE.items():
        if path.startswith(start) and name in rows:
            return rows[name]
    if name in ERROR_FROM_CODE:
        return ERROR_FROM_CODE[name]
    return next((ruling for start, ruling in ERROR_FROM_CODE_START.items() if name.startswith(start)), UNKNOWN)
