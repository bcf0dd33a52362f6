"""WeChat Pay's tables, every member: error codes, states, amounts and times both ways, texts."""

import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.channels.wechatpay import mapping, values
from tongbao.channels.wechatpay.doctor import _ADVICE_FROM_CODE, _CODE_FROM_PARAM
from tongbao.channels.wechatpay.errors import (
    ERROR_FROM_CODE,
    ERROR_FROM_CODE_START,
    ERROR_FROM_PATH_AND_CODE,
    ERROR_FROM_STATUS,
    NextStep,
    Ruling,
    WechatPayDeclined,
    WechatPayError,
    WechatPayOutcomeUnknown,
    WechatPayUnavailable,
    error_from_answer,
    plain,
    ruling_for,
)
from tongbao.channels.wechatpay.mapping import (
    BUYER_PAYING,
    NOT_CLOSABLE,
    REFUND_NOT_EXIST,
    REFUND_PERHAPS_DONE,
    STATUS_FROM_REFUND_STATUS,
    STATUS_FROM_TRADE_STATE,
    TRADE_EXISTS,
    TRADE_NOT_EXIST,
    event_from_refund,
    event_from_trade,
    trade_from_transaction,
)
from tongbao.channels.wechatpay.statement import DIRECTION_FROM_KIND, KIND_FROM_TRADE_STATE
from tongbao.domain.errors import ChannelDeclined, ChannelUnavailable, InvalidInput, OutcomeUnknown
from tongbao.domain.money import CNY, Money
from tongbao.domain.report import Accepted, Closed, Declined, Paid, RefundAccepted, RefundDone, RefundRejected

# --- error codes -------------------------------------------------------------------------------------------------

RULINGS: dict[str, Ruling] = {
    **{f"code {code}": ruling for code, ruling in ERROR_FROM_CODE.items()},
    **{f"{start}*": ruling for start, ruling in ERROR_FROM_CODE_START.items()},
    **{f"status {status}": ruling for status, ruling in ERROR_FROM_STATUS.items()},
    **{f"{path} {code}": ruling for path, rows in ERROR_FROM_PATH_AND_CODE.items() for code, ruling in rows.items()},
}
PAY, REFUND = "/v3/pay/transactions/native", "/v3/refund/domestic/refunds"


def test_every_row_is_whole() -> None:
    assert len(RULINGS) > 60
    for name, ruling in RULINGS.items():
        assert ruling.error in (WechatPayDeclined, WechatPayUnavailable, WechatPayOutcomeUnknown), name
        assert set(ruling.code) <= set(string.ascii_lowercase + string.digits + "_"), name


def test_every_next_step_is_advised_somewhere() -> None:
    assert {ruling.next_step for ruling in RULINGS.values()} == set(NextStep)


def test_each_class_is_its_neighbour_in_the_tree() -> None:
    assert issubclass(WechatPayDeclined, ChannelDeclined)
    assert issubclass(WechatPayUnavailable, ChannelUnavailable)
    assert issubclass(WechatPayOutcomeUnknown, OutcomeUnknown)


@pytest.mark.parametrize(
    ("path", "status", "code", "error", "step"),
    [
        (PAY, 400, "PARAM_ERROR", WechatPayDeclined, NextStep.FIX),
        (PAY, 400, "INVALID_REQUEST", WechatPayDeclined, NextStep.FIX),
        (PAY, 400, "APPID_MCHID_NOT_MATCH", WechatPayUnavailable, NextStep.FIX),
        (PAY, 400, "MCH_NOT_EXISTS", WechatPayUnavailable, NextStep.FIX),
        (PAY, 400, "ORDER_CLOSED", WechatPayDeclined, NextStep.NEW_NUMBER),
        (PAY, 401, "SIGN_ERROR", WechatPayUnavailable, NextStep.FIX),
        (PAY, 403, "NO_AUTH", WechatPayUnavailable, NextStep.OPERATIONS),
        (PAY, 403, "NOAUTH", WechatPayUnavailable, NextStep.OPERATIONS),
        (PAY, 403, "OUT_TRADE_NO_USED", WechatPayDeclined, NextStep.QUERY),
        (PAY, 403, "RULELIMIT", WechatPayDeclined, NextStep.OPERATIONS),
        (PAY, 403, "TRADE_ERROR", WechatPayDeclined, NextStep.BUYER),
        (PAY, 403, "ACCOUNTERROR", WechatPayDeclined, NextStep.BUYER),
        (PAY, 404, "ORDERNOTEXIST", WechatPayDeclined, NextStep.QUERY),
        (PAY, 429, "FREQUENCY_LIMITED", WechatPayUnavailable, NextStep.BACK_OFF),
        (REFUND, 429, "FREQUENCY_LIMITED", WechatPayOutcomeUnknown, NextStep.QUERY),
        (
            "/v3/fund-app/mch-transfer/transfer-bills",
            429,
            "RATELIMIT_EXCEEDED",
            WechatPayOutcomeUnknown,
            NextStep.QUERY,
        ),
        (PAY, 500, "SYSTEMERROR", WechatPayOutcomeUnknown, NextStep.REPEAT),
        (PAY, 500, "BANKERROR", WechatPayOutcomeUnknown, NextStep.REPEAT),
        (PAY, 500, "OPENID_MISMATCH", WechatPayDeclined, NextStep.BUYER),
        (PAY, 503, "SERVICE_UNAVAILABLE", WechatPayOutcomeUnknown, NextStep.QUERY),
        (PAY, 202, "USERPAYING", WechatPayOutcomeUnknown, NextStep.QUERY),
        (PAY, 403, "NOT_ENOUGH", WechatPayDeclined, NextStep.BUYER),
        (REFUND, 403, "NOT_ENOUGH", WechatPayUnavailable, NextStep.OPERATIONS),
        (REFUND, 403, "USER_ACCOUNT_ABNORMAL", WechatPayDeclined, NextStep.GIVE_UP),
        (PAY, 400, "AUTH_CODE_INVALID", WechatPayDeclined, NextStep.BUYER),
        ("/v3/bill/tradebill", 400, "STATEMENT_CREATING", WechatPayUnavailable, NextStep.BACK_OFF),
        ("/v3/bill/tradebill", 400, "NO_STATEMENT_EXIST", WechatPayDeclined, NextStep.GIVE_UP),
        (PAY, 400, "BRAND_NEW", WechatPayOutcomeUnknown, NextStep.QUERY),
        (PAY, 404, "BRAND_NEW", WechatPayOutcomeUnknown, NextStep.QUERY),
        (PAY, 400, "", WechatPayOutcomeUnknown, NextStep.QUERY),
        (PAY, 404, "", WechatPayUnavailable, NextStep.FIX),
        (PAY, 502, "", WechatPayOutcomeUnknown, NextStep.QUERY),
    ],
)
def test_the_most_specific_row_rules(
    path: str, status: int, code: str, error: type[WechatPayError], step: NextStep
) -> None:
    ruling = ruling_for(path, status, code)
    assert (ruling.error, ruling.next_step) == (error, step)


@given(code=st.text(max_size=40), status=st.integers(300, 599), signed=st.booleans())
def test_no_code_at_all_breaks_the_table(code: str, status: int, signed: bool) -> None:
    error = error_from_answer("POST /", PAY, status, {"code": code}, signed=signed, request_id=None)
    known = plain(code) in ERROR_FROM_CODE or plain(code).startswith(tuple(ERROR_FROM_CODE_START))
    if not known and (plain(code) or status not in ERROR_FROM_STATUS):
        assert isinstance(error, WechatPayOutcomeUnknown)


@pytest.mark.parametrize("codes", [TRADE_EXISTS, NOT_CLOSABLE, REFUND_NOT_EXIST, REFUND_PERHAPS_DONE, TRADE_NOT_EXIST])
def test_what_is_followed_by_a_question_is_a_known_no(codes: frozenset[str]) -> None:
    for code in codes:
        assert ERROR_FROM_CODE[code].error is WechatPayDeclined


def test_a_waiting_buyer_is_an_unknown_outcome() -> None:
    for code in BUYER_PAYING:
        assert ERROR_FROM_CODE[code].error is WechatPayOutcomeUnknown


def test_an_unsigned_business_error_is_unknown() -> None:
    for code in ERROR_FROM_CODE:
        error = error_from_answer("POST /", PAY, 400, {"code": code}, signed=False, request_id=None)
        assert isinstance(error, WechatPayOutcomeUnknown), code


# --- states ------------------------------------------------------------------------------------------------------


TRADE_STATES = [
    ("NOTPAY", Accepted),
    ("USERPAYING", Accepted),
    ("ACCEPT", Accepted),
    ("SUCCESS", Paid),
    ("REFUND", Paid),
    ("CLOSED", Closed),
    ("REVOKED", Closed),
    ("PAYERROR", Declined),
]


@pytest.mark.parametrize(("state", "kind"), TRADE_STATES)
def test_trade_states(state: str, kind: type) -> None:
    assert isinstance(event_from_trade(trade_from_transaction({"trade_state": state}, None)), kind)


def test_every_trade_state_is_tried_here() -> None:
    assert {state for state, _ in TRADE_STATES} == set(STATUS_FROM_TRADE_STATE)


@given(state=st.text(max_size=20).filter(lambda text: text not in STATUS_FROM_TRADE_STATE))
def test_any_other_state_is_pending(state: str) -> None:
    assert isinstance(event_from_trade(trade_from_transaction({"trade_state": state}, None)), Accepted)


@pytest.mark.parametrize("name", ["status", "refund_status"])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("SUCCESS", RefundDone),
        ("CLOSED", RefundRejected),
        ("PROCESSING", RefundAccepted),
        ("ABNORMAL", RefundAccepted),
        ("NEW", RefundAccepted),
    ],
)
def test_refund_states(name: str, status: str, kind: type) -> None:
    assert isinstance(event_from_refund({name: status}), kind)
    assert set(STATUS_FROM_REFUND_STATUS) == {"SUCCESS", "CLOSED", "PROCESSING", "ABNORMAL"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    node=st.dictionaries(
        st.sampled_from(
            ["amount", "payer", "trade_state", "transaction_id", "success_time", "mchid", "appid", "status"]
        ),
        JSON,
    )
)
def test_no_content_breaks_the_reader(node: Mapping[str, Any]) -> None:
    event_from_trade(trade_from_transaction(node, "wx1"))
    event_from_refund(node)


def test_small_tables() -> None:
    assert set(KIND_FROM_TRADE_STATE) == {"SUCCESS", "REFUND", "REVOKED"}
    assert set(DIRECTION_FROM_KIND) == {"收入", "支出"}
    assert all(len(row) == 3 for row in _ADVICE_FROM_CODE.values())
    assert all(code and advice for code, advice in _CODE_FROM_PARAM.values())
    assert {"amount", "account"} == mapping.NOTIFICATION_STATES


# --- amounts, times, texts ---------------------------------------------------------------------------------------


@given(minor=st.integers(values.FEN_MIN, values.FEN_MAX))
def test_amounts_both_ways(minor: int) -> None:
    assert values.money_from_fen(values.fen(Money(minor, CNY)), "CNY") == Money(minor, CNY)
    assert values.money_from_fen(values.fen(minor)) == Money(minor, CNY)


@pytest.mark.parametrize("number", [None, "1", 1.0, True, [], {}])
def test_what_is_no_amount(number: object) -> None:
    assert values.money_from_fen(number, "CNY") is None
    assert values.money_from_fen(1, "XXX_UNKNOWN") is None


@given(
    instant=st.datetimes(
        datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC) | st.just(timezone(timedelta(hours=-5)))
    )
)
def test_times_both_ways(instant: datetime) -> None:
    text = values.china_text(instant)
    assert text.endswith("+08:00")
    assert values.instant_from_text(text) == instant.replace(microsecond=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05+08:00", datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)),
        ("2026-01-01T19:04:05Z", datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.678+08:00", datetime(2026, 1, 1, 19, 4, 5, 678_000, tzinfo=UTC)),
        ("2026-01-02 03:04:05", datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)),
        ("2026-01-02", None),
        ("2026-13-02T03:04:05+08:00", None),
        ("", None),
        (None, None),
        (20260102, None),
    ],
)
def test_times_of_every_form(text: object, expected: datetime | None) -> None:
    assert values.instant_from_text(text) == expected


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InvalidInput):
        values.china_text(datetime(2026, 1, 1))


@given(text=st.text(max_size=200), limit=st.sampled_from([values.DESCRIPTION_BYTES_MAX, values.REASON_BYTES_MAX]))
def test_any_text_is_made_to_fit(text: str, limit: int) -> None:
    fitted = values.fitting_text(text, limit)
    assert 1 <= len(fitted.encode()) <= limit
    assert fitted.isprintable() or "\u3000" in fitted
    assert values.wire_value(fitted) == fitted
    assert values.fitting_text(fitted, limit) == fitted


def test_bodies() -> None:
    assert values.body_bytes({"a": None, "b": {"c": Money(1, CNY), "d": None}, "e": ["茶", True]}) == (
        '{"b":{"c":1},"e":["茶",true]}'.encode()
    )
    for wrong in ({"a": [1.5]}, {"a": {1, 2}}, {"a": b"x"}, {"a": "\ud800"}, {"a": "\U0001f375"}, {"a": float("nan")}):
        with pytest.raises(InvalidInput):
            values.body_bytes(wrong)
