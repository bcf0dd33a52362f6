"""Bills: /v3/bill/tradebill, /v3/bill/fundflowbill, /v3/profitsharing/bills, and the file behind their address.

Rule: a day in Beijing, ready at 09:00 of the next one, at most three months back. UTF-8, `\\r\\n`, no byte order mark,
a backtick before every value, an ASCII comma in free text as backslash and blank. The hash is of the uncompressed file.
The address lives five minutes, needs an Authorization, and its answer is not signed. The columns of SUCCESS and REFUND
bills in v3 are not verified; they are made here as the sheet infers them.
"""

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tongbao.simulators.faults import Fault
from tongbao.simulators.wechatpay import bill_rows
from tongbao.simulators.wechatpay.bill_rows import Day
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import Text, check
from tongbao.simulators.wechatpay.model import BillAddress
from tongbao.simulators.wechatpay.replies import File
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import CHINA

PATH = "/v3/billdownload/file"
LIFE, READY_AFTER, BACK_MAX = timedelta(minutes=5), timedelta(hours=9), timedelta(days=92)
DATE = Text("账单日期", 10, 10, pattern=r"^\d{4}-\d{2}-\d{2}$")
TAR = Text("压缩类型", 32, required=False, one_of=("GZIP",))
SUB = Text("子商户号", 32, required=False)
TRADE_KINDS = ("ALL", "SUCCESS", "REFUND")
NEVER_FILLED = ("RECHARGE_REFUND", "ALL_SPECIAL", "SUC_SPECIAL", "REF_SPECIAL")
ACCOUNTS = ("BASIC", "OPERATION", "FEES")


Whose = tuple[str, str]
"""A merchant, and one of its sub-merchants or empty."""


@dataclass(frozen=True, slots=True)
class Table:
    """Header and rows, then the summary's."""

    head: str
    rows: list[list[str]]
    summary_head: str
    summary: list[str]

    def content(self) -> bytes:
        lines = [self.head, *(_line(row) for row in self.rows), self.summary_head, _line(self.summary)]
        return "".join(f"{line}\r\n" for line in lines).encode()


def trade(book: Book, call: Call) -> Mapping[str, Any]:
    """GET /v3/bill/tradebill."""
    kinds = Text("账单类型", 32, required=False, one_of=(*TRADE_KINDS, *NEVER_FILLED))
    check(call.query, {"bill_date": DATE, "bill_type": kinds, "tar_type": TAR, "sub_mchid": SUB}, "query")
    return _address(book, call, "trade", call.query.get("bill_type") or "ALL")


def fund_flow(book: Book, call: Call) -> Mapping[str, Any]:
    """GET /v3/bill/fundflowbill; only the basic account moves here."""
    accounts = Text("资金账户类型", 32, required=False, one_of=ACCOUNTS)
    check(call.query, {"bill_date": DATE, "account_type": accounts, "tar_type": TAR}, "query")
    return _address(book, call, "funds", call.query.get("account_type") or "BASIC")


def sharing(book: Book, call: Call) -> Mapping[str, Any]:
    """GET /v3/profitsharing/bills."""
    check(call.query, {"bill_date": DATE, "tar_type": TAR, "sub_mchid": SUB}, "query")
    return _address(book, call, "sharing", "ALL")


def _address(book: Book, call: Call, kind: str, variant: str) -> Mapping[str, Any]:
    day = _day(call.query["bill_date"])
    if day is None or day.end > call.now.astimezone(UTC) or call.now - day.start > BACK_MAX:
        raise Refusal("bill_date")
    if call.now < day.end + READY_AFTER or book.strikes(call, Fault.STATEMENT_CREATING):
        raise Refusal("bill_creating")
    sub_mchid = call.query.get("sub_mchid", "")
    content = _content(book, (call.merchant.mchid, sub_mchid), kind, variant, day)
    if content is None or book.strikes(call, Fault.STATEMENT_MISSING):
        raise Refusal("no_bill")
    made = BillAddress(
        token=book.bank.token(48),
        mchid=call.merchant.mchid,
        kind=kind,
        variant=variant,
        date=call.query["bill_date"],
        zipped=call.query.get("tar_type") == "GZIP",
        altered=book.strikes(call, Fault.STATEMENT_ALTERED) is not None,
        expires_at=call.now - LIFE if book.strikes(call, Fault.STATEMENT_EXPIRED) else call.now + LIFE,
        sub_mchid=sub_mchid,
    )
    book.bills.put(made.token, made)
    return {
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
        "download_url": f"{call.base_url}{PATH}?token={made.token}",
    }


def download(book: Book, call: Call) -> File:
    """GET /v3/billdownload/file."""
    found = book.bills.get(call.query.get("token", ""))
    if found is None or call.now >= found.expires_at:
        raise Refusal("bill_token")
    if found.mchid != call.merchant.mchid:
        raise Refusal("bill_other")
    day = _day(found.date)
    assert day is not None, "the address was made for a day"
    content = _content(book, (found.mchid, found.sub_mchid), found.kind, found.variant, day) or b""
    if found.altered:
        content = content.replace(b"\r\n`", b"\r\n`0", 1)
    return File("application/x-gzip", _zipped(content)) if found.zipped else File("text/plain; charset=utf-8", content)


def _zipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _content(book: Book, whose: Whose, kind: str, variant: str, day: Day) -> bytes | None:
    """The file, None when nothing happened on that day."""
    table = _TABLES[kind](book, whose, variant, day)
    return table.content() if table.rows else None


def _trade_table(book: Book, whose: Whose, variant: str, day: Day) -> Table:
    rows = bill_rows.trades(book, *whose, day) if variant in TRADE_KINDS else []
    shown = [row.cells(variant) for row in rows if row.belongs(variant)]
    belonging = [row for row in rows if row.belongs(variant)]
    return Table(bill_rows.HEADS.get(variant, ""), shown, bill_rows.SUMMARY, bill_rows.summary(belonging))


def _funds_table(book: Book, whose: Whose, variant: str, day: Day) -> Table:
    moves = [one for one in book.ledger.movements.values() if one.mchid == whose[0] and day.has(one.at)]
    moves = moves if variant == "BASIC" else []
    return Table(bill_rows.FUNDS_HEAD, bill_rows.funds(moves), bill_rows.FUNDS_SUMMARY, bill_rows.funds_summary(moves))


def _sharing_table(book: Book, whose: Whose, _: str, day: Day) -> Table:
    rows = bill_rows.sharings(book, whose[0], day)
    return Table(bill_rows.SHARING_HEAD, rows, bill_rows.SHARING_SUMMARY, bill_rows.sharing_summary(rows))


_TABLES = {"trade": _trade_table, "funds": _funds_table, "sharing": _sharing_table}


def _day(text: str) -> Day | None:
    try:
        start = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=CHINA)
        return Day(start.astimezone(UTC), (start + timedelta(days=1)).astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _line(values: Iterable[str]) -> str:
    return ",".join(f"`{value}" for value in values)
