"""Alipay's statement files: the real layout, GBK, commas in texts, broken files, and a file read as a stream."""

import io
import itertools
import tracemalloc
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tongbao.channels.alipay.statement import (
    KIND_FROM_BUSINESS_TYPE,
    read_balance,
    read_summary,
    read_trades,
)
from tongbao.domain.errors import StatementBroken
from tongbao.domain.money import CNY, Money
from tongbao.domain.statement import LineKind

HEADS = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,"
    "支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,"
    "退款批次号/请求号,服务费（元）,分润（元）,备注"
)
TITLE = "#支付宝业务明细查询"
BEGIN = "\r\n".join(
    [
        TITLE,
        "#账号：[20880211096256330156]",
        "#起始日期：[2026年01月02日 00:00:00]   终止日期：[2026年01月03日 00:00:00]",
        "#" + "-" * 41 + "业务明细列表" + "-" * 40,
        HEADS,
        "",
    ]
)
PAYMENT = (
    "2026010222001400000000000001\t,T1\t,交易\t,{subject},2026-01-02 03:04:05,2026-01-02 03:04:09,\t,,\t,\t,"
    "tea***@example.com\t,12.34,12.30,0.00,0.00,0.04,0.00,0.00,,0.00\t,0.00,\t,0.07,0.00,{memo}\r\n"
)
REFUND = (
    "2026010222001400000000000001\t,T1\t,退款\t,茶,2026-01-02 03:04:05,2026-01-02 09:00:00,\t,,\t,\t,"
    "tea***@example.com\t,-2.34,-2.34,0.00,0.00,0.00,0.00,0.00,,0.00\t,0.00,R1\t,-0.01,0.00,\r\n"
)


def end(payments: str = "1笔，商家实收共12.30元", refunds: str = "1笔，商家实收退款共-2.34元") -> str:
    return (
        "#" + "-" * 41 + "业务明细列表结束" + "-" * 40 + "\r\n"
        f"#交易合计：{payments}，商家优惠共0.00元\r\n"
        f"#退款合计：{refunds}，商家优惠退款共0.00元\r\n"
        "#导出时间：[2026年01月03日 05:46:49]\r\n"
    )


def trades(subject: str = "茶", memo: str = "") -> str:
    return BEGIN + PAYMENT.format(subject=subject, memo=memo) + REFUND + end()


SUMMARY = (
    "#支付宝业务汇总查询\r\n#账号：[20880211096256330156]\r\n"
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,"
    "卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）\r\n"
    ",,1,1,10.00,9.96,0.04,0.00,0.00,-0.06,0.00,9.90\r\n合计,,1,1,10.00,9.96,0.04,0.00,0.00,-0.06,0.00,9.90\r\n#----\r\n"
)


def zipped(*texts: str) -> bytes:
    """As Alipay does: names in GBK without the UTF-8 flag, the summary first or last."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, text in enumerate(texts):
            archive.writestr(zipfile.ZipInfo(f"20880211096256330156_20260102_{number}.csv"), text.encode("gbk"))
    data = raw.getvalue()
    # the same length in GBK: four bytes in place of `_0.c`
    return data.replace(b"_20260102_0", "_业务明细2".encode("gbk")[:11].ljust(11, b"0"))


# --- the real layout -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order", list(itertools.permutations([trades(), SUMMARY])), ids=["detail first", "summary first"]
)
def test_the_real_layout(order: tuple[str, str]) -> None:
    payment, refund = read_trades(zipped(*order))
    assert (payment.kind, refund.kind) == (LineKind.PAYMENT, LineKind.REFUND)
    assert payment.channel_reference == refund.channel_reference == "2026010222001400000000000001"
    assert payment.reference == refund.reference == "T1"
    assert (payment.refund_reference, refund.refund_reference) == (None, "R1")
    assert (payment.amount, payment.received, payment.fee) == (Money(1234, CNY), Money(1230, CNY), Money(7, CNY))
    assert (refund.amount, refund.received, refund.fee) == (Money(234, CNY), Money(234, CNY), Money(1, CNY))
    assert payment.finished_at == datetime(2026, 1, 1, 19, 4, 9, tzinfo=UTC)
    assert refund.finished_at == datetime(2026, 1, 2, 1, 0, tzinfo=UTC)
    assert refund.created_at == payment.created_at
    assert payment.subject == "茶"
    assert (payment.line_number, refund.line_number) == (5, 6)


def test_the_summary_beside_it() -> None:
    store, total = read_summary(zipped(trades(), SUMMARY))
    assert (store.store_id, total.store_id) == ("", "合计")
    assert (total.payments, total.refunds, total.net) == (1, 1, Money(990, CNY))


def test_from_a_path_an_open_file_and_a_bare_csv(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv.zip"
    path.write_bytes(zipped(trades(), SUMMARY))
    assert len(list(read_trades(path))) == 2
    with path.open("rb") as file:
        assert len(list(read_trades(file))) == 2
        assert not file.closed
    assert len(list(read_trades(trades().encode("gbk")))) == 2


def test_an_empty_day() -> None:
    empty = BEGIN + end("0笔，商家实收共0.00元", "0笔，商家实收退款共0.00元")
    assert list(read_trades(zipped(empty))) == []


@pytest.mark.parametrize(("subject", "memo"), [("茶, 大, 小", ""), ("茶", "a,b,c"), ("㐀 rare", "")])
def test_commas_in_texts(subject: str, memo: str) -> None:
    payment, _ = read_trades(trades(subject, memo).encode("gb18030"))
    assert payment.subject.replace(" ", "") == subject.replace(" ", "")
    assert payment.amount == Money(1234, CNY)


@given(st.text(st.characters(codec="gbk", exclude_characters="\r\n\x85\u2028\u2029"), max_size=30))
def test_any_subject(subject: str) -> None:
    payment, refund = read_trades(trades(subject).encode("gbk"))
    assert payment.amount == Money(1234, CNY)
    assert refund.refund_reference == "R1"


def test_columns_are_found_by_their_heads() -> None:
    text = trades().replace(HEADS, "新列," + HEADS).replace("\r\n2026", "\r\nx,2026")
    payment, _ = read_trades(text.encode("gbk"))
    assert payment.reference == "T1"


def test_every_business_type() -> None:
    assert KIND_FROM_BUSINESS_TYPE == {"交易": LineKind.PAYMENT, "退款": LineKind.REFUND}


# --- broken files ----------------------------------------------------------------------------------------------------

GOOD = zipped(trades(), SUMMARY)
BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "not a statement": b"<html>expired</html>",
    "cut archive": GOOD[: len(GOOD) // 2],
    "archive without a statement": zipped("hello"),
    "too many files": zipped(*["x"] * 17),
    "summary only": zipped(SUMMARY),
    "cut in a row": trades().encode("gbk")[:900],
    "cut before the totals": trades().split("#交易合计")[0].encode("gbk"),
    "cut before the heads": BEGIN.split("支付宝交易号")[0].encode("gbk"),
    "a row missing": (BEGIN + REFUND + end()).encode("gbk"),
    "a row twice": (BEGIN + PAYMENT.format(subject="茶", memo="") * 2 + REFUND + end()).encode("gbk"),
    "another amount": trades().replace("12.30,0.00", "12.31,0.00").encode("gbk"),
    "no amount": trades().replace("12.34", "12,34").encode("gbk"),
    "no time": trades().replace("2026-01-02 03:04:09", "yesterday").encode("gbk"),
    "unknown type": trades().replace("退款\t", "赠送\t").encode("gbk"),
    "no trade number": trades().replace("2026010222001400000000000001\t", "\t").encode("gbk"),
    "UTF-8": trades().encode("utf-8"),
    "bytes of no charset": trades().encode("gbk").replace("茶".encode("gbk"), b"\xff\xff"),
    "an endless line": (BEGIN + "x" * 70_000).encode("gbk"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files(kind: str) -> None:
    with pytest.raises(StatementBroken) as caught:
        list(read_trades(BROKEN[kind]))
    assert caught.value.code == "statement_broken"


def test_a_flipped_byte_in_the_archive() -> None:
    start = GOOD.index(b"\x78") if b"\x78" in GOOD else 60
    damaged = bytearray(GOOD)
    damaged[start + 90] ^= 0xFF
    with pytest.raises(StatementBroken):
        list(read_trades(bytes(damaged)))


def test_a_summary_that_does_not_count() -> None:
    with pytest.raises(StatementBroken):
        read_summary(zipped(SUMMARY.replace(",,1,1,10", ",,one,1,10")))


# --- the balance -----------------------------------------------------------------------------------------------------

BALANCE = (
    "#支付宝账务明细查询\r\n#账号：[20880211096256330156]\r\n"
    "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,业务类型,备注\r\n"
    "E1\t,2026\t,T1\t,茶,2026-01-02 03:04:09,x\t,12.30,0.00,112.30,支付宝,在线支付,\r\n"
    "E2\t,2026\t,T1\t,茶,2026-01-02 03:04:09,x\t,0.00,-0.07,112.23,支付宝,收费,服务费\r\n"
    "#---结束---\r\n#支出合计：1笔，共-0.07元\r\n#收入合计：1笔，共12.30元\r\n"
)


def test_the_balance() -> None:
    income, expense = read_balance(zipped(BALANCE))
    assert (income.income, income.expense, income.balance) == (Money(1230, CNY), Money(0, CNY), Money(11230, CNY))
    assert (expense.income, expense.expense, expense.business_type) == (Money(0, CNY), Money(7, CNY), "收费")
    assert (income.entry_reference, expense.memo) == ("E1", "服务费")
    with pytest.raises(StatementBroken):
        list(read_balance(BALANCE.replace("E2\t", "\t").encode("gbk")))


# --- a stream --------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    rows = 5_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("detail.csv", "w") as file:
        file.write(BEGIN.encode("gbk"))
        row = PAYMENT.format(subject="茶", memo="").encode("gbk")
        for _ in range(rows):
            file.write(row)
        total = Money(1230 * rows, CNY).major()
        file.write(end(f"{rows}笔，商家实收共{total}元", "0笔，商家实收退款共0.00元").encode("gbk"))
    tracemalloc.start()
    count = sum(1 for _ in read_trades(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == rows
    assert peak < 700_000
