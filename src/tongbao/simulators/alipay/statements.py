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
from tongbao.simulators.alipay.holdings import Transfer
from tongbao.simulators.alipay.model import Refund, Trade
from tongbao.simulators.alipay.orders import required
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import CHINA, china_time, masked, yuan
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
    mine = [trade for trade in book.trades.values() if trade.order.seller_id == seller_id]
    found: list[tuple[datetime, Line]] = []
    for trade in mine:
        if period.has(trade.paid_at) and trade.paid_at is not None:
            found.append((trade.paid_at, _payment(book, trade, kind)))
        for refund in trade.refunds.values():
            if period.has(refund.refunded_at):
                found.append((refund.refunded_at, _refund(book, trade, refund, kind)))
    if kind == "signcustomer":
        sent = [one for one in book.transfers.values() if one.seller_id == seller_id and period.has(one.made_at)]
        found += [(one.made_at, _sent(one)) for one in sent]
    return [line for _, line in sorted(found, key=lambda pair: pair[0])]


def _payment(book: Book, trade: Trade, kind: str) -> Line:
    amount, at = trade.order.amount_minor, china_time(trade.paid_at or trade.created_at)
    if kind == "trade":
        return amount, _trade_row(book, trade, "交易", at, amount, "")
    return amount, _account_row(trade.trade_no, trade.order.out_trade_no, trade.order.subject, at, amount, "在线支付")


def _refund(book: Book, trade: Trade, refund: Refund, kind: str) -> Line:
    amount, at = -refund.amount_minor, china_time(refund.refunded_at)
    if kind == "trade":
        return amount, _trade_row(book, trade, "退款", at, amount, refund.out_request_no)
    return amount, _account_row(trade.trade_no, trade.order.out_trade_no, trade.order.subject, at, amount, "交易退款")


def _sent(made: Transfer) -> Line:
    row = _account_row(made.order_id, made.out_biz_no, "转账", china_time(made.made_at), -made.amount_minor, "转账")
    return -made.amount_minor, row


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


def _account_row(serial: str, number: str, subject: str, at: str, amount: int, kind: str) -> str:
    income, expense = (yuan(amount), "") if amount > 0 else ("", yuan(amount))
    cells = (*_padded(serial, serial, number), _cell(subject), at, "", income, expense, "", "支付宝", kind, "")
    return ",".join(cells)


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
