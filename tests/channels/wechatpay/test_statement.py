"""WeChat Pay's bills: the real layout, commas in texts, broken files, and a file read as a stream."""

import gzip
import io
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.channels.wechatpay.statement import read_balance, read_trades
from tongbao.domain.errors import StatementBroken
from tongbao.domain.money import CNY, Money
from tongbao.domain.statement import LineKind

HEADS = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
    "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,"
    "申请退款金额,费率备注"
)
PAYMENT = (
    "`2026-01-02 03:04:05,`wx0000000000000001,`1900000109,`0,`,`4200001234202601021234567890,`ORDER1,`oAAAA,`NATIVE,"
    "`SUCCESS,`OTHERS,`CNY,`12.30,`0.04,`0,`0,`0.00,`0.00,`,`,`{subject},`{attach},`0.07400,`0.60%,`12.34,`0.00,`"
)
REFUND = (
    "`2026-01-02 09:00:00,`wx0000000000000001,`1900000109,`0,`,`4200001234202601021234567890,`ORDER1,`oAAAA,`NATIVE,"
    "`REFUND,`OTHERS,`CNY,`0.00,`0.00,`50300001232026010212345678901,`R1,`2.30,`0.00,`ORIGINAL,`SUCCESS,`tea,`,"
    "`-0.01380,`0.60%,`0.00,`2.34,`"
)
TOTAL_HEADS = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
TOTALS = "`2,`12.30,`2.30,`0.00,`0.06000,`12.34,`2.34"


def bill(subject: str = "tea", attach: str = "", *, end: str = "\n", totals: str = TOTALS) -> bytes:
    lines = [HEADS, PAYMENT.format(subject=subject, attach=attach), REFUND, TOTAL_HEADS, totals, ""]
    return end.join(lines).encode()


# --- the real layout ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_real_layout(end: str, mark: bytes, packed: bool) -> None:
    data = mark + bill(end=end)
    payment, refund = read_trades(gzip.compress(data) if packed else data)
    assert (payment.kind, refund.kind) == (LineKind.PAYMENT, LineKind.REFUND)
    assert payment.channel_reference == refund.channel_reference == "4200001234202601021234567890"
    assert payment.reference == refund.reference == "ORDER1"
    assert (payment.refund_reference, payment.refund_channel_reference, payment.refund_state) == (None, None, None)
    assert (refund.refund_reference, refund.refund_channel_reference) == ("R1", "50300001232026010212345678901")
    assert refund.refund_state == "SUCCESS"
    assert (payment.amount, payment.received) == (Money(1234, CNY), Money(1230, CNY))
    assert (refund.amount, refund.received) == (Money(234, CNY), Money(230, CNY))
    assert (payment.fee, refund.fee) == (Decimal("0.074"), Decimal("-0.0138"))
    assert payment.finished_at == datetime(2026, 1, 1, 19, 4, 5, tzinfo=UTC)
    assert (payment.subject, payment.attach) == ("tea", "")
    assert (payment.line_number, refund.line_number) == (2, 3)


def test_the_captured_row() -> None:
    """A pay row of the live service, identifiers shortened."""
    row = (
        "`2021-01-28 17:07:11,`wx1,`1601959334,`0,`,`4200,`S2021,`of1,`NATIVE,`SUCCESS,`OTHERS,`CNY,`0.01,`0.00,`0,`0,"
        "`0.00,`0.00,`,`,`for testing,`cipher code,`0.00000,`1.00%,`0.01,`0.00,`"
    )
    data = f"{HEADS}\n{row}\n{TOTAL_HEADS}\n`1,`0.01,`0.00,`0.00,`0.00000,`0.01,`0.00\n".encode()
    [line] = read_trades(data)
    assert (line.amount, line.subject, line.attach) == (Money(1, CNY), "for testing", "cipher code")


def test_from_a_path_and_an_open_file(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv.gz"
    path.write_bytes(gzip.compress(bill()))
    assert len(list(read_trades(path))) == 2
    with path.open("rb") as file:
        assert len(list(read_trades(file))) == 2
        assert not file.closed
    assert len(list(read_trades(io.BytesIO(bill())))) == 2


def test_a_reversed_barcode_payment_is_money_that_went_back() -> None:
    revoked = REFUND.replace("`REFUND,", "`REVOKED,").replace("`R1,", "`0,")
    data = f"{HEADS}\n{revoked}\n{TOTAL_HEADS}\n`1,`0.00,`2.30,`0.00,`0.00,`0.00,`2.34\n".encode()
    [line] = read_trades(data)
    assert (line.kind, line.refund_reference, line.amount) == (LineKind.REFUND, None, Money(234, CNY))


# --- texts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["a,b", "a`b", "\\ tea", "茶,`水", ",`", "1.00"])
def test_commas_and_backticks_in_a_subject(subject: str) -> None:
    payment, _ = read_trades(bill(subject=subject))
    assert (payment.subject, payment.amount) == (subject, Money(1234, CNY))


def test_marks_in_two_texts_side_by_side() -> None:
    """Where one text ends is lost; the money is not."""
    payment, _ = read_trades(bill(subject="a,`b", attach="c,`d"))
    assert (payment.subject, payment.attach, payment.amount) == ("a,`b,`c", "d", Money(1234, CNY))


def test_a_mark_where_no_text_is() -> None:
    with pytest.raises(StatementBroken, match="28 cells"):
        list(read_trades(bill().replace(b"`CNY,", b"`CNY,`CNY,", 1)))


@given(subject=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=20))
def test_any_subject(subject: str) -> None:
    payment, refund = read_trades(bill(subject=subject))
    assert (payment.subject, payment.amount, refund.amount) == (subject, Money(1234, CNY), Money(234, CNY))


# --- the fund flow -----------------------------------------------------------------------------------------------

FLOW_HEADS = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
    "资金变更提交申请人,备注,业务凭证号"
)
FLOW_TOTAL_HEADS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
FLOW = [
    FLOW_HEADS,
    "`2026-01-02 03:04:05,`4200,`10001,`交易,`交易,`收入,`12.34,`100.00,`system,`结算, 茶,`ORDER1",
    "`2026-01-02 09:00:00,`5030,`10002,`退款,`退款,`支出,`2.34,`97.66,`1900000109API,`,`R1",
    FLOW_TOTAL_HEADS,
    "`2,`1,`12.34,`1,`2.34",
    "",
]


def test_the_fund_flow() -> None:
    income, expense = read_balance("\n".join(FLOW).encode())
    assert (income.income, income.expense) == (Money(1234, CNY), Money(0, CNY))
    assert (expense.income, expense.expense, expense.balance) == (Money(0, CNY), Money(234, CNY), Money(9766, CNY))
    assert (income.entry_reference, income.channel_reference, income.reference) == ("10001", "4200", "ORDER1")
    assert (income.memo, expense.memo) == ("结算, 茶", "")
    assert (expense.business_name, expense.business_type) == ("退款", "退款")
    assert expense.occurred_at == datetime(2026, 1, 2, 1, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "old", "new"),
    [
        (1, "收入", "送的"),
        (1, "12.34", "12.35"),
        (1, "12.34", "12,34"),
        (4, "`2,`1", "`3,`1"),
        (4, "`2,`1", "`2,`2"),
        (4, "`2.34", "`2.35"),
    ],
)
def test_a_broken_fund_flow(at: int, old: str, new: str) -> None:
    lines = [line.replace(old, new) if number == at else line for number, line in enumerate(FLOW)]
    with pytest.raises(StatementBroken):
        list(read_balance("\n".join(lines).encode()))


# --- broken files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "ends before"),
        (b"\n", "does not begin"),
        (b'{"code":"NO_STATEMENT_EXIST"}', "does not begin"),
        (HEADS.encode(), "without its totals"),
        (bill().replace(b"`SUCCESS,`OTHERS", b"`NEW,`OTHERS"), "unknown 交易状态"),
        (bill().replace(b"`4200001234202601021234567890", b"`", 1), "no 微信订单号"),
        (bill().replace(b"2026-01-02 03:04:05", b"yesterday"), "no time"),
        (bill().replace(b"`12.34,`0.00,`", b"`1e3,`0.00,`"), "no amount"),
        (bill().replace(b"`0.07400", b"`7%"), "no amount"),
        (bill().replace(b"`0.07400", b"0.07400"), "cells under"),
        (bill().replace(b"`2026-01-02 03", b"2026-01-02 03"), "without its backtick"),
        (bill(totals=TOTALS.replace("`2,", "`3,")), "总交易单数"),
        (bill(totals=TOTALS.replace("`2,", "`many,")), "no number"),
        (bill(totals=TOTALS.replace("`12.34", "`12.35")), "订单总金额"),
        (bill(totals=TOTALS.replace("`2.30", "`2.31")), "退款总金额"),
        (bill() + REFUND.encode(), "cells under"),
        (bill()[: bill().index("总交易单数".encode())], "without its totals"),
        (b"\xff\xfe" + bill(), "UTF-8"),
        (bill().replace(b"tea", b"\xd2\xff"), "UTF-8"),
        (bill(subject="x" * 70_000), "longer than any line"),
        (gzip.compress(bill())[:-10], "damaged"),
        (b"\x1f\x8bnonsense", "damaged"),
    ],
)
def test_a_broken_bill(data: bytes, told: str) -> None:
    with pytest.raises(StatementBroken, match=told):
        list(read_trades(data))


def test_a_row_behind_the_totals() -> None:
    data = bill() + f"{HEADS}\n{REFUND}\n".encode()
    with pytest.raises(StatementBroken, match="behind the totals"):
        list(read_trades(data))


def test_a_day_without_anything() -> None:
    data = f"{HEADS}\n{TOTAL_HEADS}\n`0,`0.00,`0.00,`0.00,`0.00,`0.00,`0.00\n".encode()
    assert list(read_trades(data)) == []


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    rows = 40_000
    path = tmp_path / "bill.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8", compresslevel=1) as file:
        file.write(HEADS + "\n")
        for _ in range(rows):
            file.write(PAYMENT.format(subject="tea", attach="") + "\n")
        yuan = f"{rows * 1234 // 100}.{rows * 1234 % 100:02}"
        received = f"{rows * 1230 // 100}.{rows * 1230 % 100:02}"
        file.write(f"{TOTAL_HEADS}\n`{rows},`{received},`0.00,`0.00,`0.00,`{yuan},`0.00\n")
    tracemalloc.start()
    count = sum(1 for _ in read_trades(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == rows
    assert peak < 2 * 1024 * 1024
