"""Alipay's tables, every member: error codes, statuses, amounts and times both ways, subjects."""

import string
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.channels.alipay import errors, mapping, values
from tongbao.channels.alipay.errors import (
    ERROR_FROM_CODE,
    ERROR_FROM_GATEWAY_CODE,
    ERROR_FROM_METHOD_AND_SUB_CODE,
    ERROR_FROM_SUB_CODE,
    ERROR_FROM_SUB_CODE_START,
    UNKNOWN,
    AlipayDeclined,
    AlipayError,
    AlipayOutcomeUnknown,
    AlipayUnavailable,
    NextStep,
    Ruling,
    error_from_answer,
    ruling_for,
)
from tongbao.channels.alipay.mapping import (
    EVENT_FROM_CANCEL_ACTION,
    NOT_CANCELABLE,
    NOT_CLOSABLE,
    REFUND_PERHAPS_DONE,
    STATUS_FROM_REFUND_STATUS,
    STATUS_FROM_TRADE_STATUS,
    TRADE_EXISTS,
    event_from_trade,
    trade_from_query,
)
from tongbao.domain.errors import ChannelDeclined, ChannelUnavailable, InvalidInput, OutcomeUnknown
from tongbao.domain.money import CNY, Money
from tongbao.domain.report import Accepted, Closed, NotFound, Paid

# --- error codes -----------------------------------------------------------------------------------------------------

RULINGS: dict[str, Ruling] = {
    **{f"code {code}": ruling for code, ruling in ERROR_FROM_CODE.items()},
    **{f"gateway {code}": ruling for code, ruling in ERROR_FROM_GATEWAY_CODE.items()},
    **{f"sub-code {code}": ruling for code, ruling in ERROR_FROM_SUB_CODE.items()},
    **{f"{start}*": ruling for start, ruling in ERROR_FROM_SUB_CODE_START.items()},
    **{
        f"{method} {code}": ruling
        for method, rows in ERROR_FROM_METHOD_AND_SUB_CODE.items()
        for code, ruling in rows.items()
    },
}


def test_every_row_is_whole() -> None:
    assert len(RULINGS) > 200
    for name, ruling in RULINGS.items():
        assert ruling.error in (AlipayDeclined, AlipayUnavailable, AlipayOutcomeUnknown), name
        assert set(ruling.code) <= set(string.ascii_lowercase + "_"), name


def test_every_next_step_is_advised_somewhere() -> None:
    assert {ruling.next_step for ruling in RULINGS.values()} == set(NextStep)


def test_each_class_is_its_neighbour_in_the_tree() -> None:
    assert issubclass(AlipayDeclined, ChannelDeclined)
    assert issubclass(AlipayUnavailable, ChannelUnavailable)
    assert issubclass(AlipayOutcomeUnknown, OutcomeUnknown)


@pytest.mark.parametrize(
    ("method", "code", "sub_code", "error", "step"),
    [
        ("alipay.trade.pay", "40004", "ACQ.SYSTEM_ERROR", AlipayOutcomeUnknown, NextStep.QUERY),
        ("alipay.trade.refund", "40004", "ACQ.SYSTEM_ERROR", AlipayOutcomeUnknown, NextStep.REPEAT),
        ("alipay.trade.cancel", "40004", "AQC.SYSTEM_ERROR", AlipayOutcomeUnknown, NextStep.REPEAT),
        ("alipay.trade.pay", "20000", "aop.ACQ.SYSTEM_ERROR", AlipayOutcomeUnknown, NextStep.QUERY),
        ("alipay.trade.pay", "20000", "isp.unknow-error", AlipayOutcomeUnknown, NextStep.QUERY),
        ("alipay.trade.close", "40004", "ACQ.TRADE_STATUS_ERROR", AlipayDeclined, NextStep.QUERY),
        ("alipay.trade.refund", "40004", "ACQ.TRADE_STATUS_ERROR", AlipayDeclined, NextStep.GIVE_UP),
        ("alipay.trade.cancel", "40004", "ACQ.REASON_TRADE_REFUND_FEE_ERR", AlipayDeclined, NextStep.USE_REFUND),
        ("alipay.trade.refund", "40004", "ACQ.REASON_TRADE_REFUND_FEE_ERR", AlipayDeclined, NextStep.FIX),
        ("alipay.trade.pay", "40004", "ACQ.SUB_MERCHANT_SOMETHING_NEW", AlipayDeclined, NextStep.OPERATIONS),
        ("alipay.trade.pay", "40004", "ACQ.BRAND_NEW", AlipayOutcomeUnknown, NextStep.QUERY),
        ("alipay.trade.pay", "40004", "", AlipayOutcomeUnknown, NextStep.QUERY),
        ("alipay.trade.pay", "99999", "", AlipayOutcomeUnknown, NextStep.QUERY),
        ("alipay.trade.pay", "", "", AlipayOutcomeUnknown, NextStep.QUERY),
        ("alipay.trade.pay", "40002", "isv.brand-new", AlipayUnavailable, NextStep.FIX),
        ("alipay.trade.pay", "40005", "", AlipayUnavailable, NextStep.BACK_OFF),
        ("alipay.fund.trans.common.query", "40004", "ORDER_NOT_EXIST", AlipayDeclined, NextStep.QUERY),
    ],
)
def test_the_most_specific_row_rules(
    method: str, code: str, sub_code: str, error: type[AlipayError], step: NextStep
) -> None:
    ruling = ruling_for(method, code, sub_code)
    assert (ruling.error, ruling.next_step) == (error, step)


@given(code=st.text(max_size=8), sub_code=st.text(max_size=40), signed=st.booleans())
def test_no_code_at_all_breaks_the_table(code: str, sub_code: str, signed: bool) -> None:
    error = error_from_answer("alipay.trade.pay", {"code": code, "sub_code": sub_code}, signed=signed, trace_id=None)
    known = sub_code in ERROR_FROM_GATEWAY_CODE or errors.business_code(sub_code) in ERROR_FROM_SUB_CODE
    starts = errors.business_code(sub_code).startswith(tuple(ERROR_FROM_SUB_CODE_START))
    if not known and not starts and code not in ERROR_FROM_CODE:
        assert isinstance(error, AlipayOutcomeUnknown)


@pytest.mark.parametrize("codes", [TRADE_EXISTS, NOT_CLOSABLE, NOT_CANCELABLE, REFUND_PERHAPS_DONE])
def test_what_is_followed_by_a_question_is_a_known_no(codes: frozenset[str]) -> None:
    for code in codes:
        assert ERROR_FROM_SUB_CODE[code].error is AlipayDeclined


def test_what_a_rejected_refund_may_be() -> None:
    """Nothing that may be repeated later, and nothing unknown, is a rejection."""
    for code in ("SELLER_BALANCE_NOT_ENOUGH", "REFUND_CHARGE_ERROR", "ENTERPRISE_PAY_BIZ_ERROR", "SYSTEM_ERROR", "NEW"):
        assert ruling_for("alipay.trade.refund", "40004", f"ACQ.{code}").error is not AlipayDeclined


def test_an_unsigned_business_failure_is_unknown() -> None:
    node = {"code": "40004", "sub_code": "ACQ.TRADE_HAS_FINISHED"}
    assert isinstance(error_from_answer("alipay.trade.refund", node, signed=False, trace_id=None), AlipayOutcomeUnknown)
    assert isinstance(error_from_answer("alipay.trade.refund", node, signed=True, trace_id=None), AlipayDeclined)
    assert UNKNOWN.error is AlipayOutcomeUnknown


# --- statuses --------------------------------------------------------------------------------------------------------


class TradeStatus(StrEnum):
    """As the protocol lists them."""

    WAIT_BUYER_PAY = "WAIT_BUYER_PAY"
    TRADE_SUCCESS = "TRADE_SUCCESS"
    TRADE_FINISHED = "TRADE_FINISHED"
    TRADE_CLOSED = "TRADE_CLOSED"


EVENTS = {
    TradeStatus.WAIT_BUYER_PAY: Accepted,
    TradeStatus.TRADE_SUCCESS: Paid,
    TradeStatus.TRADE_FINISHED: Paid,
    TradeStatus.TRADE_CLOSED: Closed,
}


def test_every_trade_status() -> None:
    assert STATUS_FROM_TRADE_STATUS.keys() == set(TradeStatus) == EVENTS.keys()
    for status, kind in EVENTS.items():
        assert isinstance(event_from_trade(trade_from_query({"trade_status": status.value})), kind)


def test_every_refund_status_and_cancel_action() -> None:
    assert STATUS_FROM_REFUND_STATUS.keys() == {"", "REFUND_SUCCESS"}
    assert EVENT_FROM_CANCEL_ACTION.keys() == {"", "close", "refund"}
    assert isinstance(mapping.event_from_cancel({}, Money(1, CNY)), NotFound)


@given(status=st.text(max_size=20))
def test_an_unknown_status_leaves_it_pending(status: str) -> None:
    event = event_from_trade(trade_from_query({"trade_status": status}))
    assert status in set(TradeStatus) or isinstance(event, Accepted)


# --- amounts ---------------------------------------------------------------------------------------------------------


@given(st.integers(values.FEN_MIN, values.FEN_MAX))
def test_amounts_both_ways(fen: int) -> None:
    money = Money(fen, CNY)
    text = values.yuan_from_money(money)
    assert values.money_from_yuan(text) == money
    assert values.yuan(text) == values.yuan(Decimal(text)) == values.yuan(money) == text


@pytest.mark.parametrize("text", ["", None, "one", "1.234", 1.5, True, [], {}])
def test_what_is_no_amount(text: object) -> None:
    assert values.money_from_yuan(text) is None


@pytest.mark.parametrize(("told", "fen"), [("0.01", 1), ("88", 8800), (88, 8800), ("88.8", 8880), ("-0.04", -4)])
def test_amounts_as_alipay_spells_them(told: object, fen: int) -> None:
    assert values.money_from_yuan(told) == Money(fen, CNY)


# --- times -----------------------------------------------------------------------------------------------------------


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.integers(-12, 14),
)
def test_times_both_ways_from_any_zone(instant: datetime, hours: int) -> None:
    text = values.china_text(instant.astimezone(timezone(timedelta(hours=hours))))
    assert len(text) == 19
    assert values.instant_from_china(text) == instant.replace(microsecond=0)


@pytest.mark.parametrize("text", ["", "soon", "2026-01-02", "2026-13-02 03:04:05", None, 5])
def test_what_is_no_time(text: object) -> None:
    assert values.instant_from_china(text) is None


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(InvalidInput):
        values.china_text(datetime(2026, 1, 2))


# --- subjects and business parameters --------------------------------------------------------------------------------


@given(st.text(max_size=400))
def test_any_subject_becomes_one_that_alipay_takes(text: str) -> None:
    subject = values.subject_text(text)
    assert 1 <= len(subject) <= 256
    assert not set(subject) & set("/=&\n\r\t\x00")
    subject.encode()


@pytest.mark.parametrize(
    ("text", "subject"),
    [("a/b=c&d", "a／b＝c＆d"), ("茶 叶", "茶 叶"), ("", "-"), ("  \n ", "-"), ("a\nb", "a b"), ("x" * 300, "x" * 256)],
)
def test_subjects(text: str, subject: str) -> None:
    assert values.subject_text(text) == subject


def test_business_parameters() -> None:
    class Kind(StrEnum):
        ONE = "one"

    business = {
        "a": Decimal("1.10"),
        "b": Money(5, CNY),
        "c": datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC),
        "d": None,
        "e": [1, True, Kind.ONE, {"f": None, "g": "茶"}],
    }
    text = values.business_text(business, "utf-8")
    assert text == '{"a":"1.10","b":"0.05","c":"2026-01-02 03:04:05","e":[1,true,"one",{"g":"茶"}]}'
    assert values.business_text({"a": "😀"}, "gbk") == '{"a":"\\ud83d\\ude00"}'
