"""Statements ("bills"): alipay.data.dataservice.bill.downloadurl.query and the file behind its address.

Rule: the real layout: a ZIP with two GBK text files whose names are GBK without the UTF-8 flag, TAB-padded cells,
comments behind `#`. A day is ready at 09:00 (China) of the next one; the address lives 30 seconds. `trade` lists
payments and refunds of the day, `signcustomer` the account's movements. Fees are zero here; their sign is not
documented.
"""

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.model import Trade
from tongbao.simulators.alipay.orders import required
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import CHINA, china_time, masked, yuan
from tongbao.simulators.bank import MERCHANT_BALANCE_MINOR
from tongbao.simulators.faults import Fault

PATH = "/alipay/downloadBillFile.resource"
LIFE = timedelta(seconds=30)
READY_AFTER = timedelta(hours=9)
KINDS = ("trade", "signcustomer")
_DETAIL_HEADS = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,"
    "券核销金额（元）,券名称,商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
_SUMMARY_HEADS = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,"
    "支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)
_ACCOUNT_HEADS = (
    "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,"
    "收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,业务类型,备注"
)


@dataclass(frozen=True, slots=True)
class Period:
    """From midnight to midnight in China; `label` is the date as file names write it."""

    start: datetime
    end: datetime
    label: str

    def has(self, moment: datetime | None) -> bool:
        return moment is not None and self.start <= moment < self.end


def download_url(book: Book, call: Call) -> dict[str, object]:
    """alipay.data.dataservice.bill.downloadurl.query; raises Failure with the method's own codes."""
    kind, date = required(call, "bill_type", 20), required(call, "bill_date", 15)
    if kind not in KINDS:
        raise Failure("TYPE_NOT_SUPPORTED")
    period = read_period(date)
    if period is None:
        raise Failure("INVAILID_ARGUMENTS")
    if call.now < period.end + READY_AFTER or book.strikes(call, Fault.STATEMENT_MISSING):
        raise Failure("BILL_NOT_EXIST")
    if not rows(book, call.app.seller_id, period, kind):
        raise Failure("NO_BILL_DATA")
    made_at = call.now - (LIFE * 2 if book.strikes(call, Fault.STATEMENT_EXPIRED) else timedelta())
    token = book.bank.token(32)
    book.addresses[token] = (call.app.seller_id, kind, date, made_at + LIFE)
    name = f"{call.app.seller_id}0156_{period.label}.csv.zip"
    query = {"bizType": kind, "userId": f"{call.app.seller_id}0156", "fileType": "csv.zip", "bizDates": period.label}
    more = {"downloadFileName": name, "timestamp": str(int(made_at.timestamp() * 1000)), "token": token}
    return {"bill_download_url": f"{call.base_url}{PATH}?{urlencode({**query, **more})}"}


def download(book: Book, token: str) -> tuple[str, bytes] | None:
    """Name and content of the file behind an address, None when it does not live (any more)."""
    found = book.addresses.get(token)
    if found is None or book.bank.clock.now() >= found[3]:
        return None
    seller_id, kind, date, _ = found
    period = read_period(date)
    assert period is not None, "the address was made for a period"
    return f"{seller_id}0156_{period.label}.csv.zip", statement(book, seller_id, period, kind)


def read_period(text: str) -> Period | None:
    """`yyyy-MM-dd` or `yyyy-MM`."""
    for form, label in (("%Y-%m-%d", "%Y%m%d"), ("%Y-%m", "%Y%m")):
        try:
            start = datetime.strptime(text, form).replace(tzinfo=CHINA)
        except ValueError:
            continue
        following = (start + timedelta(days=32)).replace(day=1) if form == "%Y-%m" else start + timedelta(days=1)
        return Period(start.astimezone(UTC), following.astimezone(UTC), start.strftime(label))
    return None


def statement(book: Book, seller_id: str, period: Period, kind: str) -> bytes:
    """The ZIP."""
    lines = rows(book, seller_id, period, kind)
    title, head = ("业务", _DETAIL_HEADS) if kind == "trade" else ("账务", _ACCOUNT_HEADS)
    opening = _opening(seller_id, period, f"#支付宝{title}明细查询")
    rule = f"#{'-' * 41}{title}明细列表{'-' * 40}"
    finish = f"#{'-' * 41}{title}明细列表结束{'-' * 38}"
    made = f"#导出时间：[{_written(book.bank.clock.now())}]"
    detail = [*opening, rule, head, *(line for _, line in lines), finish, *_totals(lines, kind), made]
    base = f"{seller_id}0156_{period.label}_{title}明细"
    summary = [*_opening(seller_id, period, f"#支付宝{title}汇总查询"), *_summary(lines, kind), made]
    return _zipped({f"{base}.csv": detail, f"{base}(汇总).csv": summary})


Line = tuple[int, str]
"""Signed amount in fen, and the row's text."""


def rows(book: Book, seller_id: str, period: Period, kind: str) -> list[Line]:
    """The rows of a period in the order of time; empty when nothing happened."""
    return _trade_rows(book, seller_id, period) if kind == "trade" else _account_rows(book, seller_id, period)


def _trade_rows(book: Book, seller_id: str, period: Period) -> list[Line]:
    found: list[tuple[datetime, Line]] = []
    for trade in _trades_of(book, seller_id):
        if trade.paid_at is not None and period.has(trade.paid_at):
            amount = trade.order.amount_minor
            row = _trade_row(book, trade, "交易", china_time(trade.paid_at), amount, "")
            found.append((trade.paid_at, (amount, row)))
        for refund in trade.refunds.values():
            if period.has(refund.refunded_at):
                amount, at = -refund.amount_minor, china_time(refund.refunded_at)
                row = _trade_row(book, trade, "退款", at, amount, refund.out_request_no)
                found.append((refund.refunded_at, (amount, row)))
    return [line for _, line in sorted(found, key=lambda pair: pair[0])]


def _trades_of(book: Book, seller_id: str) -> list[Trade]:
    return [trade for trade in book.trades.values() if trade.order.seller_id == seller_id]


@dataclass(frozen=True, slots=True)
class Movement:
    """What moved the account's balance: `amount_minor` is negative for money that left."""

    at: datetime
    amount_minor: int
    number: str
    reference: str
    subject: str
    kind: str


def _account_rows(book: Book, seller_id: str, period: Period) -> list[Line]:
    """Every movement has its own serial number and the balance that it left behind."""
    balance, found = MERCHANT_BALANCE_MINOR, []
    for index, one in enumerate(_movements(book, seller_id), 1):
        balance += one.amount_minor
        if period.has(one.at):
            serial = f"{one.at.astimezone(CHINA):%Y%m%d}{index:010d}"
            found.append((one.amount_minor, _account_row(one, serial, balance)))
    return found


def _movements(book: Book, seller_id: str) -> list[Movement]:
    """All that ever moved the balance, in the order of time."""
    found = []
    for trade in _trades_of(book, seller_id):
        names = (trade.trade_no, trade.order.out_trade_no, trade.order.subject)
        if trade.paid_at is not None:
            found.append(Movement(trade.paid_at, trade.order.amount_minor, *names, "在线支付"))
        found += [Movement(one.refunded_at, -one.amount_minor, *names, "交易退款") for one in trade.refunds.values()]
    for made in book.transfers.values():
        if made.seller_id == seller_id:
            found.append(Movement(made.made_at, -made.amount_minor, made.order_id, made.out_biz_no, "转账", "转账"))
    mine = {trade.trade_no: trade.order for trade in _trades_of(book, seller_id)}
    for split in book.settlements.values():
        if (order := mine.get(split.trade_no)) is not None:
            given = -sum(share.amount_minor for share in split.shares)
            found.append(Movement(split.made_at, given, split.trade_no, order.out_trade_no, order.subject, "交易分账"))
    return sorted(found, key=lambda one: one.at)


def _trade_row(book: Book, trade: Trade, kind: str, at: str, amount: int, number: str) -> str:
    order, buyer = trade.order, book.bank.buyer(trade.buyer_id)
    other = f"{buyer.name[:1]}*({masked(buyer.logon_id)})" if buyer else ""
    money, nothing = yuan(amount), "0.00"
    cells = [
        *_padded(trade.trade_no, order.out_trade_no, kind),
        _cell(order.subject),
        china_time(trade.created_at),
        at,
        *_padded(order.store_id, "", order.operator_id, order.terminal_id, other),
        *(money, money, nothing, nothing, nothing, nothing, nothing, ""),
        *_padded(nothing),
        nothing,
        *_padded(number),
        *(nothing, nothing, _cell(order.body)),
    ]
    return ",".join(cells)


def _account_row(one: Movement, serial: str, balance: int) -> str:
    amount = one.amount_minor
    income, expense = (yuan(amount), "") if amount > 0 else ("", yuan(amount))
    head = (*_padded(serial, one.number, one.reference), _cell(one.subject), china_time(one.at), "")
    return ",".join((*head, income, expense, yuan(balance), "支付宝", one.kind, ""))


def _padded(*values: str) -> list[str]:
    return [f"{_cell(value)}\t" for value in values]


def _cell(text: str) -> str:
    """There is no quoting: what would end a cell becomes a space."""
    return "".join(" " if char in ",\r\n\t" else char for char in text)


def _opening(seller_id: str, period: Period, title: str) -> list[str]:
    dates = f"#起始日期：[{_written(period.start)}]   终止日期：[{_written(period.end)}]"
    return [title, f"#账号：[{seller_id}0156]", dates]


def _written(moment: datetime) -> str:
    return moment.astimezone(CHINA).strftime("%Y年%m月%d日 %H:%M:%S")


def _totals(lines: Iterable[Line], kind: str) -> list[str]:
    income, back = [amount for amount, _ in lines if amount > 0], [amount for amount, _ in lines if amount < 0]
    if kind == "signcustomer":
        return [
            f"#支出合计：{len(back)}笔，共{yuan(sum(back))}元",
            f"#收入合计：{len(income)}笔，共{yuan(sum(income))}元",
        ]
    return [
        f"#交易合计：{len(income)}笔，商家实收共{yuan(sum(income))}元，商家优惠共0.00元",
        f"#退款合计：{len(back)}笔，商家实收退款共{yuan(sum(back))}元，商家优惠退款共0.00元",
    ]


def _summary(lines: Iterable[Line], kind: str) -> list[str]:
    income, back = [amount for amount, _ in lines if amount > 0], [amount for amount, _ in lines if amount < 0]
    net = yuan(sum(income) + sum(back))
    if kind == "signcustomer":
        heads = "类型,收入笔数,收入金额（+元）,支出笔数,支出金额（-元）,总金额（元）"
        return [heads, f"合计,{len(income)},{yuan(sum(income))},{len(back)},{yuan(sum(back))},{net}"]
    row = f"{len(income)},{len(back)},{net},{net},0.00,0.00,0.00,0.00,0.00,{net}"
    return [_SUMMARY_HEADS, f",,{row}", f"合计,,{row}"]


class _GbkName(zipfile.ZipInfo):
    """An entry whose name is written in GBK, without the flag that says UTF-8, as the real archives are."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's own name
        return self.filename.encode("gbk"), self.flag_bits


def _zipped(files: dict[str, list[str]]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file_name, lines in files.items():
            entry = _GbkName(file_name, date_time=(2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, ("\r\n".join(lines) + "\r\n").encode("gbk", "replace"))
    return target.getvalue()
