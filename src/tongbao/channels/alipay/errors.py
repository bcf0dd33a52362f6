"""What an error answer of Alipay means: which error it is, what is certain, and what to do next. Tables and classes.

AlipayError (a ChannelError)     public_code, sub_code, sub_message, trace id, next_step, signed
├── AlipayDeclined               a definite no, nothing was executed (a ChannelDeclined)
├── AlipayUnavailable            certainly not executed: later, or once something is put right (a ChannelUnavailable)
└── AlipayOutcomeUnknown         perhaps executed: ask before anything else (an OutcomeUnknown)

Rule: a code that is in no table is never a no; it is an unknown outcome. Source: the error model of the protocol
(public codes, and sub-codes per method). Texts are never looked at, only codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tongbao.domain.errors import ChannelDeclined, ChannelError, ChannelUnavailable, OutcomeUnknown


class NextStep(StrEnum):
    """The advised next step. The value is a sentence for the person who reads the error."""

    QUERY = "Query the trade, then decide; do not start another one before that."
    REPEAT = "Repeat the same request with the same numbers."
    NEW_NUMBER = "Start again under a new out_trade_no."
    BUYER = "The buyer must act: another code, another means of payment, or a lifted limit."
    FIX = "Correct the request or the configuration; repeating it unchanged will fail again."
    OPERATIONS = "Settle it with Alipay or in its merchant console, then repeat."
    GIVE_UP = "Final; do not repeat it."
    RENEW_TOKEN = "Have the merchant authorise again, and use the new token."  # noqa: S105 - advice, not a token
    BACK_OFF = "Called too often; wait, then repeat."
    USE_REFUND = "It can no longer be cancelled; refund it."


class AlipayError(ChannelError):
    """Alipay answered with an error.

    `code` is Tongbao's and stable, `channel_code` is the sub-code (or the public code where there is none),
    `channel_request_id` is Alipay's trace id; `signed` tells whether the answer carried a valid signature.
    """

    def __init__(self, *, method: str, ruling: "Ruling", node: Mapping[str, Any], trace_id: str | None, signed: bool):
        self.method = method
        self.public_code = str(node.get("code", ""))
        self.public_message = str(node.get("msg", ""))
        self.sub_code = str(node.get("sub_code", ""))
        self.sub_message = str(node.get("sub_msg", ""))
        self.next_step = ruling.next_step
        self.signed = signed
        self.node = dict(node)
        channel_code = self.sub_code or self.public_code
        super().__init__(
            f"Alipay answered {method} with {channel_code or 'an error without a code'}"
            f" ({self.sub_message or self.public_message}). {ruling.next_step.value}",
            code=ruling.code,
            channel_code=channel_code,
            channel_message=self.sub_message or self.public_message,
            channel_request_id=trace_id,
        )


class AlipayDeclined(AlipayError, ChannelDeclined):
    """Alipay refused; nothing was executed."""


class AlipayUnavailable(AlipayError, ChannelUnavailable):
    """Alipay did not execute it; it may be repeated later, or once the cause is put right."""


class AlipayOutcomeUnknown(AlipayError, OutcomeUnknown):
    """Alipay does not tell whether it was executed."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """How one wire code is understood."""

    error: type[AlipayError]
    next_step: NextStep
    code: str


def _no(next_step: NextStep, code: str) -> Ruling:
    return Ruling(AlipayDeclined, next_step, code)


def _later(next_step: NextStep, code: str) -> Ruling:
    return Ruling(AlipayUnavailable, next_step, code)


def _unknown(next_step: NextStep, code: str = "outcome_unknown") -> Ruling:
    return Ruling(AlipayOutcomeUnknown, next_step, code)


def _rows(*rows: tuple[Ruling, str]) -> dict[str, Ruling]:
    return {code: ruling for ruling, codes in rows for code in codes.split()}


UNKNOWN = _unknown(NextStep.QUERY)
_CREDENTIALS = _later(NextStep.FIX, "channel_credentials_invalid")
_REQUEST = _no(NextStep.FIX, "channel_request_invalid")
_PERMISSION = _later(NextStep.OPERATIONS, "channel_permission_missing")
_SELLER = _no(NextStep.OPERATIONS, "seller_restricted")
_BUYER = _no(NextStep.BUYER, "buyer_restricted")
_REFUND = _no(NextStep.GIVE_UP, "refund_not_allowed")
_REFUND_AMOUNT = _no(NextStep.FIX, "refund_amount_invalid")
_AGREEMENT = _no(NextStep.BUYER, "agreement_not_usable")
_ROYALTY = _no(NextStep.OPERATIONS, "royalty_not_possible")
_PAYEE = _no(NextStep.GIVE_UP, "payee_not_payable")
_PAYER_BALANCE = _later(NextStep.OPERATIONS, "payer_balance_insufficient")
_TRANSFER_LIMIT = _no(NextStep.OPERATIONS, "transfer_limit_exceeded")

ERROR_FROM_CODE: dict[str, Ruling] = {
    "20000": UNKNOWN,
    "20001": _later(NextStep.RENEW_TOKEN, "channel_authorisation_expired"),
    "40001": _later(NextStep.FIX, "channel_request_invalid"),
    "40002": _later(NextStep.FIX, "channel_request_invalid"),
    "40003": _later(NextStep.OPERATIONS, "channel_credentials_invalid"),
    "40004": UNKNOWN,
    "40005": _later(NextStep.BACK_OFF, "channel_rate_limited"),
    "40006": _PERMISSION,
}
"""By public code, for a sub-code that no other table lists."""

ERROR_FROM_GATEWAY_CODE: dict[str, Ruling] = _rows(
    (
        _CREDENTIALS,
        "isv.missing-signature isv.missing-signature-type isv.missing-signature-key isv.missing-app-id "
        "isv.missing-timestamp isv.invalid-signature isv.invalid-signature-type isv.invalid-app-id isv.invalid-digest "
        "isv.invalid-timestamp isv.invalid-charset isv.missing-signature-config isv.invalid-encrypt-type "
        "isv.invalid-encrypt isv.decryption-error-missing-encrypt-type isv.decryption-error-not-valid-encrypt-type "
        "isv.decryption-error-not-valid-encrypt-key isv.decryption-error-unknown isv.missing-app-cert-sn "
        "isv.missing-alipay-root-cert-sn isv.invalid-alipay-root-cert-sn isv.app-cert-expired isv.app-cert-not-exist",
    ),
    (
        _REQUEST,
        "isv.missing-method isv.missing-version isv.invalid-parameter isv.invalid-method isv.invalid-format "
        "isv.illegal-json isv.suspected-attack isv.upload-fail isv.invalid-file-extension isv.invalid-file-size",
    ),
    (
        _PERMISSION,
        "isv.not-support-app-auth isv.forbidden-api isv.invalid-auth-relations isv.insufficient-isv-permissions "
        "isv.insufficient-user-permissions isv.self-invoke-forbidden isv.route-no-permissions isv.access-forbidden",
    ),
    (
        ERROR_FROM_CODE["20001"],
        "aop.invalid-auth-token aop.auth-token-time-out aop.invalid-app-auth-token aop.invalid-app-auth-token-no-api "
        "aop.app-auth-token-time-out aop.no-product-reg-by-partner",
    ),
    (ERROR_FROM_CODE["40005"], "isv.app-call-limited isv.method-call-limited"),
    (UNKNOWN, "isp.unknow-error aop.unknow-error"),
)
"""Refused by the gateway before the method ran, spelled as Alipay spells it."""

ERROR_FROM_SUB_CODE: dict[str, Ruling] = _rows(
    (UNKNOWN, "SYSTEM_ERROR UNKNOWN_ERROR APPLY_PC_MERCHANT_CODE_ERROR REQUEST_PROCESSING TRANS_ORDER_DEALING"),
    (_REQUEST, "INVALID_PARAMETER TOTAL_FEE_EXCEED EXIST_FORBIDDEN_WORD SUB_GOODS_SIZE_MAX_COUNT"),
    (_REQUEST, "NOW_TIME_AFTER_EXPIRE_TIME_ERROR DEFAULT_SETTLE_RULE_NOT_EXIST AMOUNT_OR_CURRENCY_ERROR"),
    (_PERMISSION, "ACCESS_FORBIDDEN PARTNER_ERROR PRODUCT_UNSIGN PRODUCT_NOT_SIGN NO_ORDER_PERMISSION"),
    (_no(NextStep.QUERY, "trade_not_found"), "TRADE_NOT_EXIST ORDER_NOT_EXIST"),
    (_no(NextStep.QUERY, "trade_already_paid"), "TRADE_HAS_SUCCESS"),
    (_no(NextStep.NEW_NUMBER, "trade_already_closed"), "TRADE_HAS_CLOSE"),
    (_no(NextStep.NEW_NUMBER, "trade_conflict"), "CONTEXT_INCONSISTENT TRADE_BUYER_NOT_MATCH"),
    (
        _no(NextStep.QUERY, "trade_status_conflict"),
        "TRADE_STATUS_ERROR REASON_TRADE_STATUS_INVALID REASON_ILLEGAL_STATUS",
    ),
    (_no(NextStep.GIVE_UP, "trade_finished"), "TRADE_HAS_FINISHED"),
    (_no(NextStep.BUYER, "auth_code_invalid"), "PAYMENT_AUTH_CODE_INVALID AUTH_TOKEN_IS_NOT_EXIST"),
    (
        _no(NextStep.BUYER, "buyer_balance_insufficient"),
        "BUYER_BALANCE_NOT_ENOUGH BUYER_BANKCARD_BALANCE_NOT_ENOUGH",
    ),
    (
        _no(NextStep.BUYER, "buyer_limit_exceeded"),
        "BUYER_LIMIT_EXCEEDED BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR BUYER_PAYMENT_AMOUNT_MONTH_LIMIT_ERROR",
    ),
    (
        _BUYER,
        "BUYER_BANKCARD_INVALID BUYER_BANKCARD_DECLINED ERROR_BALANCE_PAYMENT_DISABLE "
        "NO_PAYMENT_INSTRUMENTS_AVAILABLE MOBILE_PAYMENT_SWITCH_OFF USER_FACE_PAYMENT_SWITCH_OFF NOT_CERTIFIED_USER "
        "BUYER_NOT_MAINLAND_CERT NOT_SUPPORT_PAYMENT_INST PAYER_UNMATCHED PULL_MOBILE_CASHIER_FAIL PAYMENT_FAIL "
        "BUYER_SELLER_EQUAL BUYER_ENABLE_STATUS_FORBID BUYER_NOT_EXIST BUYER_ERROR CUSTOMER_VALIDATE_ERROR "
        "ERROR_BUYER_CERTIFY_LEVEL_LIMIT USER_LOGONID_DUP CERT_EXPIRED SMILE_PAY_MERCHANT_NOT_MATCH",
    ),
    (
        _no(NextStep.GIVE_UP, "risk_refused"),
        "PAYMENT_REQUEST_HAS_RISK RISK_MERCHANT_IP_NOT_EXIST UN_SUPPORT_TRADE_SCENE RESTRICTED_MERCHANT_INDUSTRY "
        "SECURITY_CHECK_FAILED MERCHANT_RISK_LIMIT",
    ),
    (
        _SELLER,
        "SELLER_BEEN_BLOCKED SELLER_NOT_EXIST INVALID_RECEIVE_ACCOUNT INVALID_STORE_ID MERCHANT_STATUS_NOT_NORMAL "
        "MERCHANT_AGREEMENT_NOT_EXIST MERCHANT_AGREEMENT_INVALID BEYOND_PAY_RESTRICTION BEYOND_PER_RECEIPT_RESTRICTION "
        "BEYOND_PER_RECEIPT_DAY_RESTRICTION BEYOND_PER_RECEIPT_SINGLE_RESTRICTION MERCHANT_PERM_RECEIPT_SUSPEND_LIMIT "
        "MERCHANT_PERM_RECEIPT_SINGLE_LIMIT MERCHANT_PERM_RECEIPT_DAY_LIMIT PRODUCT_AMOUNT_LIMIT_ERROR "
        "CURRENCY_NOT_SUPPORT PLATFORM_BUSINESS_ACQUIRE_MODE_MUST_MERCHANT_ID TRADE_SETTLE_ERROR "
        "REFUND_ACCOUNT_NOT_EXIST",
    ),
    (
        _AGREEMENT,
        "AUTH_NO_ERROR AUTH_AMOUNT_NOT_ENOUGH AUTH_ORDER_NOT_PAID AUTH_ORDER_HAS_FINISHED AUTH_ORDER_HAS_CLOSED "
        "PRE_AUTH_PROD_CODE_INCONSISTENT REQUEST_AMOUNT_EXCEED",
    ),
    (_later(NextStep.OPERATIONS, "seller_balance_insufficient"), "SELLER_BALANCE_NOT_ENOUGH"),
    (_later(NextStep.REPEAT, "channel_busy"), "REFUND_CHARGE_ERROR ENTERPRISE_PAY_BIZ_ERROR"),
    (_later(NextStep.BACK_OFF, "channel_rate_limited"), "FREQUENCY_LIMITED SYSTEM_RATE_LIMIT USER_RATE_LIMIT"),
    (_no(NextStep.OPERATIONS, "trade_frozen"), "REASON_TRADE_BEEN_FREEZEN USER_ACCOUNT_HAD_FREEZEN"),
    (_no(NextStep.USE_REFUND, "cancel_not_possible"), "TRADE_CANCEL_TIME_OUT CANCEL_NOT_ALLOWED"),
    (_REFUND_AMOUNT, "REFUND_AMT_NOT_EQUAL_TOTAL REFUND_FEE_ERROR REASON_TRADE_REFUND_FEE_ERR"),
    (_no(NextStep.QUERY, "request_number_reused"), "DISCORDANT_REPEAT_REQUEST PAYMENT_INFO_INCONSISTENCY"),
    (
        _REFUND,
        "TRADE_NOT_ALLOW_REFUND NOT_ALLOW_PARTIAL_REFUND ONLINE_TRADE_VOUCHER_NOT_ALLOW_REFUND USER_NOT_MATCH_ERR",
    ),
    (
        _ROYALTY,
        "ALLOC_AMOUNT_VALIDATE_ERROR REFUND_ROYALTY_PAYEE_ACCOUNT_NOT_EXIST REFUNDALLOC_UNAUTH_LIMIT "
        "NOT_SUPPORT_ROYALTY TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH DUP_OUT_REQUEST_NO ALREADY_FINISH_ALLOC "
        "ALLOC_REFUSE_BEFORE_SETTLE ALLOC_REFUSE_AFTER_REFUND ILLEGAL_SETTLE_STATE SETTLE_SCENE_NOT_SUPPORT "
        "ASYNC_ALLOC_NOT_SUPPORT_IN_PERIOD MUST_ALLOC_FROM_ROOT_ACCOUNT UN_SUPPORT_BIZ_TYPE "
        "CHARGE_PUNISH_SERVICE_REFUSE RELATION_QUANTITY_LIMIT USER_NOT_EXIST USERNAME_NOT_MATCH OPENID_APPID_NOT_MATCH",
    ),
    (_no(NextStep.GIVE_UP, "statement_not_found"), "NO_BILL_DATA BILL_NOT_EXIST BILL_DATE_BEFORE_REGISTRATION"),
    (_REQUEST, "INVAILID_ARGUMENTS TYPE_NOT_SUPPORTED"),
    (_PAYER_BALANCE, "PAYER_BALANCE_NOT_ENOUGH BALANCE_IS_NOT_ENOUGH"),
    (
        _PAYEE,
        "PAYEE_NOT_EXIST PAYEE_USERINFO_ERROR PAYEE_ACC_OCUPIED PAYEE_ACCOUNT_STATUS_ERROR PERM_AML_NOT_REALNAME_REV "
        "PERMIT_NON_BANK_LIMIT_PAYEE RELEASE_USER_FORBBIDEN_RECIEVE BLOCK_USER_FORBBIDEN_RECIEVE "
        "PAYER_PAYEE_CANNOT_SAME",
    ),
    (_REQUEST, "MEMO_REQUIRED_IN_TRANSFER_ERROR REMARK_HAS_SENSITIVE_WORD"),
    (_REQUEST, "TRANSFER_SCENE_NAME_BLANK TRANSFER_SCENE_NAME_ILLEGAL"),
    (_PERMISSION, "NO_ACCOUNT_PAYMENT_PERMISSION PAYER_STATUS_ERROR"),
)
"""By business sub-code without its `ACQ.` prefix, for every method that has no row of its own below."""

ERROR_FROM_SUB_CODE_START: dict[str, Ruling] = _rows(
    (_SELLER, "SECONDARY_MERCHANT_ SUB_MERCHANT_ OVERDRAFT_"),
    (_AGREEMENT, "AGREEMENT_ CYCLE_PAY_ OVER_ ZM_ CARD_"),
    (_ROYALTY, "ROYALTY_ RECEIVER_ INVALID_RECEIVER_"),
    (_TRANSFER_LIMIT, "EXCEED_LIMIT_"),
)
"""Families of sub-codes that the protocol lists with a star; the first that matches."""

_SAME_AGAIN = _rows((_unknown(NextStep.REPEAT), "SYSTEM_ERROR"))
ERROR_FROM_METHOD_AND_SUB_CODE: dict[str, dict[str, Ruling]] = {
    "alipay.trade.pay": _rows((_no(NextStep.GIVE_UP, "trade_status_conflict"), "TRADE_STATUS_ERROR")),
    "alipay.trade.query": _SAME_AGAIN,
    "alipay.trade.close": _SAME_AGAIN,
    "alipay.trade.fastpay.refund.query": _SAME_AGAIN,
    "alipay.trade.cancel": _SAME_AGAIN
    | _rows((_no(NextStep.USE_REFUND, "cancel_not_possible"), "REASON_TRADE_REFUND_FEE_ERR")),
    "alipay.trade.refund": _SAME_AGAIN
    | _rows(
        (_REFUND, "TRADE_STATUS_ERROR REASON_TRADE_STATUS_INVALID TRADE_HAS_CLOSE TRADE_HAS_FINISHED"),
        (
            _no(NextStep.OPERATIONS, "refund_not_possible"),
            "BUYER_ERROR BUYER_NOT_EXIST BUYER_ENABLE_STATUS_FORBID CUSTOMER_VALIDATE_ERROR",
        ),
    ),
}
"""Where one method means something else by a sub-code."""

SUCCESS, IN_PROGRESS = "10000", "10003"
_BUSINESS = "40004"


def error_from_answer(method: str, node: Mapping[str, Any], *, signed: bool, trace_id: str | None) -> AlipayError:
    """The error that an answer other than success stands for.

    A business failure (40004) without a signature could be anyone's words, so it is an unknown outcome; what the
    gateway refuses before it runs the method comes unsigned and is believed.
    """
    ruling = ruling_for(method, str(node.get("code", "")), str(node.get("sub_code", "")))
    if not signed and str(node.get("code", "")) == _BUSINESS:
        ruling = UNKNOWN
    return ruling.error(method=method, ruling=ruling, node=node, trace_id=trace_id, signed=signed)


def ruling_for(method: str, code: str, sub_code: str) -> Ruling:
    """The most specific row: gateway code, method and sub-code, sub-code, family of sub-codes, public code."""
    name = business_code(sub_code)
    for found in (
        ERROR_FROM_GATEWAY_CODE.get(sub_code),
        ERROR_FROM_METHOD_AND_SUB_CODE.get(method, {}).get(name),
        ERROR_FROM_SUB_CODE.get(name),
    ):
        if found is not None:
            return found
    for start, ruling in ERROR_FROM_SUB_CODE_START.items():
        if name.startswith(start):
            return ruling
    return ERROR_FROM_CODE.get(code, UNKNOWN)


def business_code(sub_code: str) -> str:
    """`ACQ.TRADE_NOT_EXIST` -> `TRADE_NOT_EXIST`, also where Alipay misspells the prefix or puts `aop.` before it."""
    return sub_code.removeprefix("aop.").removeprefix("ACQ.").removeprefix("AQC.")
