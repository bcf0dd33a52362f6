"""Alipay's statement files as streams of lines: `trade` (payments and refunds) and `signcustomer` (the balance). Pure.

Rule: nothing is guessed. Columns are found by their heads, a row that does not fit is an error with its line number,
and a file that ends early or whose closing totals differ from its rows is broken - told at the end of the stream, so
believe the lines only when the stream has ended. Memory does not grow with the file. Source: bill files of the
protocol: a ZIP of two CSV files in GBK, without quoting, amounts in yuan, times in China time.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO, TextIO, TypeVar

from tongbao.channels.alipay.values import instant_from_china, money_from_yuan
from tongbao.domain.errors import StatementBroken
from tongbao.domain.money import CNY, Money
from tongbao.domain.statement import LineKind

T = TypeVar("T")

Source = bytes | Path | BinaryIO
"""The ZIP as downloaded, or one of its CSV files."""

TRADE_DETAIL = "#支付宝业务明细查询"
TRADE_SUMMARY = "#支付宝业务汇总查询"
BALANCE_DETAIL = "#支付宝账务明细查询"
LINE_CHARACTERS_MAX = 65_536
ENTRIES_MAX = 16
KIND_FROM_BUSINESS_TYPE = {"交易": LineKind.PAYMENT, "退款": LineKind.REFUND}


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A payment or a refund. Amounts are positive; the kind tells the direction (a refund's fee is one given back)."""

    kind: LineKind
    channel_reference: str
    """支付宝交易号: the trade, also in a refund's line."""
    reference: str
    """商户订单号: the merchant's number of the trade."""
    refund_reference: str | None
    """退款批次号/请求号: the merchant's number of the refund."""
    amount: Money
    """订单金额: what the buyer was charged, or given back."""
    received: Money
    """商家实收: what of it is the merchant's, before the fee."""
    fee: Money
    royalty: Money
    created_at: datetime
    """When the trade was made, also in a refund's line."""
    finished_at: datetime
    """When the money moved."""
    subject: str
    line_number: int


@dataclass(frozen=True, slots=True)
class BalanceLine:
    """One movement of the merchant's balance: exactly one of `income` and `expense` is not zero."""

    entry_reference: str
    """账务流水号: the movement's own number."""
    channel_reference: str
    reference: str
    income: Money
    expense: Money
    balance: Money
    occurred_at: datetime
    business_type: str
    memo: str
    line_number: int


@dataclass(frozen=True, slots=True)
class StoreTotal:
    """A row of the summary file; `store_id` is empty for trades without a store, `合计` for the sum of all."""

    store_id: str
    payments: int
    refunds: int
    amount: Money
    received: Money
    fee: Money
    net: Money


# --- reading -------------------------------------------------------------------------------------------------------


def read_trades(source: Source) -> Iterator[StatementLine]:
    """The payments and refunds of a `trade` statement, in file order; raises StatementBroken, also at the end."""
    return _checked(_rows(source, TRADE_DETAIL), _statement_line, _TRADE_FOOTERS, _trade_total)


def read_balance(source: Source) -> Iterator[BalanceLine]:
    """The movements of a `signcustomer` statement, in file order; raises StatementBroken, also at the end."""
    return _checked(_rows(source, BALANCE_DETAIL), _balance_line, _BALANCE_FOOTERS, _balance_total)


def read_summary(source: Source) -> list[StoreTotal]:
    """The rows of a `trade` statement's summary file, one per store and the sum."""
    return [_store_total(row) for row in _rows(source, TRADE_SUMMARY) if isinstance(row, _Row)]


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    cells: Mapping[str, str]

    def text(self, head: str) -> str:
        return self.cells.get(head, "")

    def money(self, head: str) -> Money:
        found = money_from_yuan(self.text(head) or "0")
        if found is None:
            raise StatementBroken(f"line {self.number}: {head} is no amount: {self.text(head)[:40]!r}")
        return found

    def instant(self, head: str) -> datetime:
        found = instant_from_china(self.text(head))
        if found is None:
            raise StatementBroken(f"line {self.number}: {head} is no time: {self.text(head)[:40]!r}")
        return found

    def count(self, head: str) -> int:
        text = self.text(head)
        if not text.isascii() or not text.isdigit():
            raise StatementBroken(f"line {self.number}: {head} is no number: {text[:40]!r}")
        return int(text)


@dataclass(frozen=True, slots=True)
class _Remark:
    """A line that begins with #."""

    text: str


def _rows(source: Source, title: str) -> Iterator[_Row | _Remark]:
    """Rows and remarks of the file that has this title."""
    with _opened(source, title) as file:
        heads: list[str] | None = None
        for number, line in _lines(file):
            if line.startswith("#"):
                yield _Remark(line)
            elif heads is None:
                heads = [head.strip() for head in line.split(",")]
            elif line.strip():
                yield _Row(number, _fitted(heads, line, number))
        if heads is None:
            raise StatementBroken("the file ends before its column heads")


def _lines(file: TextIO) -> Iterator[tuple[int, str]]:
    number = 0
    while True:
        number += 1
        try:
            line = file.readline(LINE_CHARACTERS_MAX)
        except UnicodeDecodeError:
            raise StatementBroken(f"line {number}: not GBK text") from None
        except (zipfile.BadZipFile, EOFError, OSError) as error:
            raise StatementBroken(f"line {number}: the archive is damaged ({error})") from None
        if not line:
            return
        if len(line) >= LINE_CHARACTERS_MAX:
            raise StatementBroken(f"line {number}: longer than any line of a statement")
        yield number, line.rstrip("\r\n")


@contextmanager
def _opened(source: Source, title: str) -> Iterator[io.TextIOWrapper]:
    """The text of the archive's file that begins with `title` (names and order inside are not relied upon)."""
    raw = _binary(source)
    try:
        if not zipfile.is_zipfile(raw):
            raw.seek(0)
            text = _titled(raw, title)
            yield text
            text.detach()  # who opened the file closes it
            return
        with zipfile.ZipFile(raw, metadata_encoding="gbk") as archive:
            yield _entry(archive, title)
    except zipfile.BadZipFile as error:
        raise StatementBroken(f"the archive is damaged ({error})") from None
    finally:
        if raw is not source:
            raw.close()


def _binary(source: Source) -> BinaryIO:
    if isinstance(source, Path):
        return source.open("rb")
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _entry(archive: zipfile.ZipFile, title: str) -> io.TextIOWrapper:
    entries = archive.infolist()
    if len(entries) > ENTRIES_MAX:
        raise StatementBroken(f"{len(entries)} files in the archive; a statement has two")
    for entry in entries:
        try:
            return _titled(archive.open(entry), title)
        except StatementBroken:
            continue
        except (NotImplementedError, RuntimeError, OSError) as error:
            raise StatementBroken(f"the archive cannot be read ({error})") from None
    raise StatementBroken(f"no file in the archive begins with {title}")


def _titled(raw: IO[bytes], title: str) -> io.TextIOWrapper:
    text = io.TextIOWrapper(raw, encoding="gb18030", newline="")
    try:
        first = text.readline(LINE_CHARACTERS_MAX)
    except UnicodeDecodeError:
        first = ""
    if not first.startswith(title):
        text.detach()
        raise StatementBroken(f"the file does not begin with {title}")
    return text


_FREE_TEXT = ("商品名称", "备注", "门店名称", "券名称", "业务描述")
_AMOUNT = re.compile(r"-?\d+\.\d\d")


def _fitted(heads: list[str], line: str, number: int) -> dict[str, str]:
    """The row's cells by head. The files do not quote: commas inside a text make too many cells, and the text column is
    the only one for which every time and every amount comes to stand under its head."""
    cells = [cell.strip() for cell in line.split(",")]
    spare = len(cells) - len(heads)
    if spare == 0:
        return dict(zip(heads, cells, strict=True))
    fits = []
    for name in _FREE_TEXT if spare > 0 else ():
        if name in heads:
            at = heads.index(name)
            joined = [*cells[:at], ",".join(cells[at : at + spare + 1]), *cells[at + spare + 1 :]]
            row = dict(zip(heads, joined, strict=True))
            if all(_stands_right(head, cell) for head, cell in row.items()):
                fits.append(row)
    if len(fits) != 1:
        raise StatementBroken(f"line {number}: {len(cells)} cells under {len(heads)} heads")
    return fits[0]


def _stands_right(head: str, cell: str) -> bool:
    if head.endswith("时间"):
        return instant_from_china(cell) is not None
    return not head.endswith("元）") or _AMOUNT.fullmatch(cell) is not None


# --- lines ---------------------------------------------------------------------------------------------------------


def _statement_line(row: _Row) -> StatementLine:
    kind = KIND_FROM_BUSINESS_TYPE.get(row.text("业务类型"))
    if kind is None:
        raise StatementBroken(f"line {row.number}: unknown 业务类型 {row.text('业务类型')[:20]!r}")
    if not row.text("支付宝交易号"):
        raise StatementBroken(f"line {row.number}: no 支付宝交易号")
    return StatementLine(
        kind=kind,
        channel_reference=row.text("支付宝交易号"),
        reference=row.text("商户订单号"),
        refund_reference=(row.text("退款批次号/请求号") or None) if kind is LineKind.REFUND else None,
        amount=_size(row.money("订单金额（元）")),
        received=_size(row.money("商家实收（元）")),
        fee=_size(row.money("服务费（元）")),
        royalty=_size(row.money("分润（元）")),
        created_at=row.instant("创建时间"),
        finished_at=row.instant("完成时间"),
        subject=row.text("商品名称"),
        line_number=row.number,
    )


def _balance_line(row: _Row) -> BalanceLine:
    if not row.text("账务流水号"):
        raise StatementBroken(f"line {row.number}: no 账务流水号")
    return BalanceLine(
        entry_reference=row.text("账务流水号"),
        channel_reference=row.text("业务流水号"),
        reference=row.text("商户订单号"),
        income=_size(row.money("收入金额（+元）")),
        expense=_size(row.money("支出金额（-元）")),
        balance=row.money("账户余额（元）"),
        occurred_at=row.instant("发生时间"),
        business_type=row.text("业务类型"),
        memo=row.text("备注"),
        line_number=row.number,
    )


def _store_total(row: _Row) -> StoreTotal:
    return StoreTotal(
        store_id=row.text("门店编号"),
        payments=row.count("交易订单总笔数"),
        refunds=row.count("退款订单总笔数"),
        amount=row.money("订单金额（元）"),
        received=row.money("商家实收（元）"),
        fee=row.money("服务费（元）"),
        net=row.money("实收净额（元）"),
    )


def _size(money: Money) -> Money:
    return Money(abs(money.minor), CNY)


# --- closing totals ------------------------------------------------------------------------------------------------

_COUNT_AND_SUM = r"合计：\s*(\d+)\s*笔，(?:商家实收(?:退款)?)?共\s*(-?[\d.]+)\s*元"
_TRADE_FOOTERS = {
    LineKind.PAYMENT.value: re.compile("#交易" + _COUNT_AND_SUM),
    LineKind.REFUND.value: re.compile("#退款" + _COUNT_AND_SUM),
}
_BALANCE_FOOTERS = {
    "income": re.compile("#收入" + _COUNT_AND_SUM),
    "expense": re.compile("#支出" + _COUNT_AND_SUM),
}


@dataclass(slots=True)
class _Totals:
    counted: dict[str, tuple[int, int]] = field(default_factory=dict)
    told: dict[str, tuple[int, int]] = field(default_factory=dict)

    def count(self, name: str, money: Money) -> None:
        number, minor = self.counted.get(name, (0, 0))
        self.counted[name] = number + 1, minor + money.minor

    def tell(self, text: str, footers: Mapping[str, re.Pattern[str]]) -> None:
        for name, pattern in footers.items():
            found = pattern.match(text)
            money = money_from_yuan(found[2]) if found else None
            if found and money is not None:
                self.told[name] = int(found[1]), abs(money.minor)

    def check(self, footers: Mapping[str, re.Pattern[str]]) -> None:
        for name in footers:
            if name not in self.told:
                raise StatementBroken(f"the file ends without its total of {name}; it is cut off")
            rows = self.counted.get(name, (0, 0))
            if rows != self.told[name]:
                raise StatementBroken(f"{name}: the rows (count, fen) {rows} are not the total {self.told[name]}")


def _trade_total(line: StatementLine) -> tuple[str, Money]:
    return line.kind.value, line.received


def _balance_total(line: BalanceLine) -> tuple[str, Money]:
    return ("income", line.income) if line.income.minor else ("expense", line.expense)


def _checked(
    rows: Iterator[_Row | _Remark],
    read: Callable[[_Row], T],
    footers: Mapping[str, re.Pattern[str]],
    total: Callable[[T], tuple[str, Money]],
) -> Iterator[T]:
    """The rows as lines, and at the end the file's own totals."""
    totals = _Totals()
    for row in rows:
        if isinstance(row, _Remark):
            totals.tell(row.text, footers)
            continue
        line = read(row)
        totals.count(*total(line))
        yield line
    totals.check(footers)
