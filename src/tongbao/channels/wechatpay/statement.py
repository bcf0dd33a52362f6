"""WeChat Pay's bill files as streams of lines: the trade bill (payments and refunds) and the fund flow. Pure.

Rule: nothing is guessed. Columns are found by their heads, a row that does not fit is an error with its line number,
and a file that ends without its totals, or whose totals differ from its rows, is broken - told at the end of the
stream, so believe the lines only when the stream has ended. Memory does not grow with the file. Source: bill files of
the protocol: CSV in UTF-8 without quoting, each value behind a backtick, amounts in yuan, times in China time.
"""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from tongbao.channels.wechatpay.values import instant_from_text
from tongbao.domain.errors import InvalidInput, StatementBroken
from tongbao.domain.money import CNY, Money
from tongbao.domain.statement import LineKind

T = TypeVar("T")

Source = bytes | Path | BinaryIO
"""The file as `download_bill` returns it, or packed with gzip."""

LINE_CHARACTERS_MAX = 65_536
KIND_FROM_TRADE_STATE = {"SUCCESS": LineKind.PAYMENT, "REFUND": LineKind.REFUND, "REVOKED": LineKind.REFUND}
"""REVOKED: a barcode payment that was reversed, so money that went back."""


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A payment or a refund. Amounts are positive; the kind tells the direction."""

    kind: LineKind
    channel_reference: str
    """微信订单号: the trade, also in a refund's line."""
    reference: str
    """商户订单号: the merchant's number of the trade."""
    refund_reference: str | None
    """商户退款单号: the merchant's number of the refund."""
    refund_channel_reference: str | None
    """微信退款单号."""
    amount: Money
    """订单金额, or 申请退款金额: what the buyer was charged, or given back, with coupons."""
    received: Money
    """应结订单金额, or 退款金额: what of it is the merchant's, before the fee."""
    fee: Decimal
    """手续费 in yuan with up to five decimals, signed: a refund's is one given back."""
    refund_state: str | None
    """退款状态: SUCCESS, PROCESSING, FAIL or CHANGE."""
    finished_at: datetime
    """交易时间."""
    subject: str
    attach: str
    line_number: int


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """One movement of the merchant's money: exactly one of `income` and `expense` is not zero."""

    entry_reference: str
    """资金流水单号: the movement's own number."""
    channel_reference: str
    """微信支付业务单号."""
    reference: str
    """业务凭证号."""
    income: Money
    expense: Money
    balance: Money
    occurred_at: datetime
    business_name: str
    business_type: str
    memo: str
    line_number: int


# --- reading -------------------------------------------------------------------------------------------------------


def read_trades(source: Source) -> Iterator[StatementLine]:
    """The payments and refunds of a trade bill, in file order; raises StatementBroken, also at the end."""
    return _checked(_rows(source, "交易时间", "总交易单数"), _statement_line, _trade_totals)


def read_balance(source: Source) -> Iterator[BalanceLine]:
    """The movements of a fund-flow bill, in file order; raises StatementBroken, also at the end."""
    return _checked(_rows(source, "记账时间", "资金流水总笔数"), _balance_line, _balance_totals)


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    cells: Mapping[str, str]
    is_total: bool = False

    def text(self, head: str) -> str:
        return self.cells.get(head, "")

    def money(self, *heads: str) -> Money:
        """The amount under the first of the heads that the file has; zero where it is empty."""
        text = next((self.cells[head] for head in heads if head in self.cells), "")
        try:
            return Money.from_major(text or "0", CNY)
        except InvalidInput:
            raise StatementBroken(f"line {self.number}: {heads[0]} is no amount: {text[:40]!r}") from None

    def decimal(self, head: str) -> Decimal:
        text = self.text(head) or "0"
        if not _DECIMAL.fullmatch(text):
            raise StatementBroken(f"line {self.number}: {head} is no amount: {text[:40]!r}")
        return Decimal(text)

    def instant(self, head: str) -> datetime:
        found = instant_from_text(self.text(head))
        if found is None:
            raise StatementBroken(f"line {self.number}: {head} is no time: {self.text(head)[:40]!r}")
        return found

    def count(self, head: str) -> int:
        text = self.text(head)
        if not text.isascii() or not text.isdigit():
            raise StatementBroken(f"line {self.number}: {head} is no number: {text[:40]!r}")
        return int(text)


_DECIMAL = re.compile(r"-?\d{1,15}(?:\.\d{1,8})?", re.ASCII)


def _rows(source: Source, first_head: str, total_head: str) -> Iterator[_Row]:
    """Rows of the bill that begins with `first_head`; the last one is its total."""
    with _opened(source) as file:
        heads: list[str] | None = None
        is_total = False
        for number, line in _lines(file):
            if line.startswith((first_head + ",", total_head + ",")) and not line.startswith("`"):
                heads, is_total = [head.strip() for head in line.split(",")], line.startswith(total_head)
            elif heads is None:
                raise StatementBroken(f"the file does not begin with the column {first_head}")
            elif line.strip():
                yield _Row(number, _fitted(heads, line, number), is_total)
        if heads is None:
            raise StatementBroken("the file ends before its column heads")


def _lines(file: io.TextIOWrapper) -> Iterator[tuple[int, str]]:
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(LINE_CHARACTERS_MAX)
        except UnicodeDecodeError:
            raise StatementBroken(f"line {number}: not UTF-8 text") from None
        except (EOFError, OSError, zlib.error) as error:
            raise StatementBroken(f"line {number}: the archive is damaged ({error})") from None
        if not line:
            return
        if len(line) >= LINE_CHARACTERS_MAX:
            raise StatementBroken(f"line {number}: longer than any line of a bill")
        yield number, line.rstrip("\r\n")


@contextmanager
def _opened(source: Source) -> Iterator[io.TextIOWrapper]:
    """The file's text, unpacked where it is packed."""
    raw = source.open("rb") if isinstance(source, Path) else source
    raw = io.BytesIO(raw) if isinstance(raw, bytes) else raw
    start = raw.read(2)
    raw.seek(-len(start), io.SEEK_CUR)
    plain = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if start == b"\x1f\x8b" else raw
    text = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="\n")
    try:
        yield text
    finally:
        text.detach()  # who opened the file closes it
        if raw is not source:
            raw.close()


_FREE_TEXT = ("商品名称", "商户数据包", "备注", "业务名称")


def _fitted(heads: list[str], line: str, number: int) -> dict[str, str]:
    """The row's cells by head. A comma and a backtick inside a text make too many cells; they are its, where every time
    and every amount then comes to stand under its head. Between two texts side by side the border is lost: the first
    gets what is too much, and nothing that money depends on differs."""
    if not line.startswith("`"):
        raise StatementBroken(f"line {number}: a value without its backtick")
    cells = [cell.strip() for cell in line[1:].split(",`")]
    spare = len(cells) - len(heads)
    if spare == 0:
        return dict(zip(heads, cells, strict=True))
    fits = []
    for name in _FREE_TEXT if spare > 0 else ():
        if name in heads:
            at = heads.index(name)
            joined = [*cells[:at], ",`".join(cells[at : at + spare + 1]), *cells[at + spare + 1 :]]
            row = dict(zip(heads, joined, strict=True))
            if all(_stands_right(head, cell) for head, cell in row.items()):
                fits.append(row)
    if len({_without_texts(row) for row in fits}) != 1:
        raise StatementBroken(f"line {number}: {len(cells)} cells under {len(heads)} heads")
    return fits[0]


def _without_texts(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(cell for head, cell in row.items() if head not in _FREE_TEXT)


def _stands_right(head: str, cell: str) -> bool:
    if head.endswith("时间"):
        return not cell or instant_from_text(cell) is not None
    return not (head.endswith("金额") or head == "手续费") or _DECIMAL.fullmatch(cell) is not None


# --- lines ---------------------------------------------------------------------------------------------------------


def _statement_line(row: _Row) -> StatementLine:
    kind = KIND_FROM_TRADE_STATE.get(row.text("交易状态"))
    if kind is None:
        raise StatementBroken(f"line {row.number}: unknown 交易状态 {row.text('交易状态')[:20]!r}")
    if not row.text("微信订单号"):
        raise StatementBroken(f"line {row.number}: no 微信订单号")
    is_refund = kind is LineKind.REFUND
    amount = row.money("申请退款金额", "退款金额") if is_refund else row.money("订单金额", "应结订单金额")
    received = row.money("退款金额") if is_refund else row.money("应结订单金额")
    return StatementLine(
        kind=kind,
        channel_reference=row.text("微信订单号"),
        reference=row.text("商户订单号"),
        refund_reference=_number(row.text("商户退款单号")) if is_refund else None,
        refund_channel_reference=_number(row.text("微信退款单号")) if is_refund else None,
        amount=_size(amount),
        received=_size(received),
        fee=row.decimal("手续费"),
        refund_state=(row.text("退款状态") or None) if is_refund else None,
        finished_at=row.instant("交易时间"),
        subject=row.text("商品名称"),
        attach=row.text("商户数据包"),
        line_number=row.number,
    )


def _number(text: str) -> str | None:
    """Empty and `0` stand for none."""
    return text if text not in ("", "0") else None


DIRECTION_FROM_KIND = {"收入": "income", "支出": "expense"}


def _balance_line(row: _Row) -> BalanceLine:
    direction = DIRECTION_FROM_KIND.get(row.text("收支类型"))
    if direction is None:
        raise StatementBroken(f"line {row.number}: unknown 收支类型 {row.text('收支类型')[:20]!r}")
    amount, nothing = _size(row.money("收支金额(元)", "收支金额（元）")), Money(0, CNY)
    return BalanceLine(
        entry_reference=row.text("资金流水单号"),
        channel_reference=row.text("微信支付业务单号"),
        reference=row.text("业务凭证号"),
        income=amount if direction == "income" else nothing,
        expense=amount if direction == "expense" else nothing,
        balance=row.money("账户结余(元)", "账户结余（元）"),
        occurred_at=row.instant("记账时间"),
        business_name=row.text("业务名称"),
        business_type=row.text("业务类型"),
        memo=row.text("备注"),
        line_number=row.number,
    )


def _size(money: Money) -> Money:
    return Money(abs(money.minor), CNY)


# --- totals --------------------------------------------------------------------------------------------------------

_TRADE_SUMS = {
    "应结订单总金额": "应结订单金额",
    "退款总金额": "退款金额",
    "订单总金额": "订单金额",
    "申请退款总金额": "申请退款金额",
}
"""The total's column -> the column that it sums over every row. (The fees' total is rounded: not compared.)"""

Totals = dict[str, int]


def _trade_totals(row: _Row) -> Totals:
    if row.is_total:
        told = {total: row.money(total).minor for total in _TRADE_SUMS if total in row.cells}
        return {"总交易单数": row.count("总交易单数"), **told}
    return {"总交易单数": 1, **{total: row.money(head).minor for total, head in _TRADE_SUMS.items()}}


def _balance_totals(row: _Row) -> Totals:
    if row.is_total:
        counts = {name: row.count(name) for name in ("资金流水总笔数", "收入笔数", "支出笔数")}
        return {**counts, **{name: row.money(name).minor for name in ("收入金额", "支出金额")}}
    line = _balance_line(row)
    is_income = DIRECTION_FROM_KIND[row.text("收支类型")] == "income"
    return {
        "资金流水总笔数": 1,
        "收入笔数": int(is_income),
        "支出笔数": int(not is_income),
        "收入金额": line.income.minor,
        "支出金额": line.expense.minor,
    }


def _checked(rows: Iterator[_Row], read: Callable[[_Row], T], totals: Callable[[_Row], Totals]) -> Iterator[T]:
    """The rows as lines, and at the end the file's own totals."""
    summed: Totals = {}
    told: Totals | None = None
    for row in rows:
        if row.is_total:
            told = totals(row)
            continue
        if told is not None:
            raise StatementBroken(f"line {row.number}: a row behind the totals")
        yield read(row)
        for name, value in totals(row).items():
            summed[name] = summed.get(name, 0) + value
    if told is None:
        raise StatementBroken("the file ends without its totals; it is cut off")
    for name, value in told.items():
        if summed.get(name, 0) != value:
            raise StatementBroken(f"{name}: the rows make {summed.get(name, 0)}, the total says {value}")
