"""What stands in the bills: columns, rows and sums, read from orders, refunds, movements and sharings.

Rule: a payment stands on the day it was paid, a refund on the day it was accepted. Yuan with two decimals, fees with
five, negative when they come back.
"""

from dataclasses import dataclass
from datetime import datetime

from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.model import REVOKED, SUCCESS, Movement, Order, Refund
from tongbao.simulators.wechatpay.shapes import BANK_TYPE
from tongbao.simulators.wechatpay.wire import bill_time, yuan

_FIRST = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,"
    "应结订单金额,代金券金额"
)
_REFUND = "微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态"
_LAST = "商品名称,商户数据包,手续费,费率"
HEADS = {
    "ALL": f"{_FIRST},{_REFUND},{_LAST},订单金额,申请退款金额,费率备注",
    "SUCCESS": f"{_FIRST},{_LAST},订单金额,费率备注",
    "REFUND": f"{_FIRST},退款申请时间,退款成功时间,{_REFUND},{_LAST},订单金额,申请退款金额,费率备注",
}
SUMMARY = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
FUNDS_HEAD = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
    "资金变更提交申请人,备注,业务凭证号"
)
FUNDS_SUMMARY = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
SHARING_HEAD = "分账时间,分账发起方,分账方,微信订单号,微信分账/回退单号,分账明细单号,商户分账/回退单号,订单金额(元),分账接收方,分账金额(元),业务类型,处理状态,分账描述,备注"  # noqa: E501 - one line of the file
SHARING_SUMMARY = "总条数,分账总金额(元)"
_STATES = {"PROCESSING": "PROCESSING", "SUCCESS": "SUCCESS", "CLOSED": "FAIL", "ABNORMAL": "CHANGE"}


@dataclass(frozen=True, slots=True)
class Day:
    """From midnight to midnight in Beijing."""

    start: datetime
    end: datetime

    def has(self, moment: datetime | None) -> bool:
        return moment is not None and self.start <= moment < self.end


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A payment, a refund of it, or its reversal."""

    order: Order
    at: datetime
    rate: int
    refund: Refund | None = None
    revoked: bool = False

    def belongs(self, variant: str) -> bool:
        back = self.refund is not None or self.revoked
        return variant == "ALL" or (variant == "REFUND") == back

    @property
    def settled_minor(self) -> int:
        return 0 if self.refund or self.revoked else self.order.amount_minor

    @property
    def back_minor(self) -> int:
        if self.refund is not None:
            return self.refund.amount_minor
        return self.order.amount_minor if self.revoked else 0

    @property
    def fee_minor(self) -> int:
        if self.refund is not None:
            return -self.refund.fee_minor
        return -self.order.fee_minor if self.revoked else self.order.fee_minor

    def cells(self, variant: str) -> list[str]:
        first, last, sums = self._first(), self._last(), [yuan(self.settled_minor)]
        if variant == "SUCCESS":
            return [*first, *last, *sums, ""]
        times = [bill_time(self.at), _finished(self.refund)] if variant == "REFUND" else []
        return [*first, *times, *self._refund(), *last, *sums, yuan(self.back_minor), ""]

    def _first(self) -> list[str]:
        order = self.order
        state = "REVOKED" if self.revoked else "REFUND" if self.refund else SUCCESS
        who = [order.appid, order.mchid, order.sub_mchid or "0", _free(order.device_id)]
        numbers = [order.transaction_id, order.out_trade_no, order.openid, order.product, state]
        return [bill_time(self.at), *who, *numbers, BANK_TYPE, "CNY", yuan(self.settled_minor), "0.00"]

    def _refund(self) -> list[str]:
        if self.refund is not None:
            made = self.refund
            numbers = [made.refund_id, made.out_refund_no]
            return [*numbers, yuan(made.amount_minor), "0.00", "ORIGINAL", _STATES[made.status]]
        if self.revoked:
            return ["0", self.order.out_trade_no, yuan(self.order.amount_minor), "0.00", "ORIGINAL", SUCCESS]
        return ["0", "0", "0.00", "0.00", "", ""]

    def _last(self) -> list[str]:
        return [
            _free(self.order.description),
            _free(self.order.attach),
            five(self.fee_minor),
            f"{self.rate // 100}.{self.rate % 100:02d}%",
        ]


def trades(book: Book, mchid: str, sub_mchid: str, day: Day) -> list[TradeRow]:
    """All rows of a day in the order of time: a merchant's, or a provider's (of one sub-merchant, if one is named)."""
    mine = [order for order in book.orders.values() if order.mchid == mchid and order.paid_at and not order.subs]
    mine = [order for order in mine if sub_mchid in ("", order.sub_mchid)]
    back: dict[str, list[Refund]] = {}
    for refund in book.refunds.values():
        if day.has(refund.created_at):
            back.setdefault(refund.order_key, []).append(refund)
    found = []
    for order in mine:
        merchant = book.merchants.get(order.payee)
        rate = merchant.fee_rate if merchant else 0
        if order.paid_at is not None and day.has(order.paid_at):
            found.append(TradeRow(order, order.paid_at, rate))
        if order.status == REVOKED and order.closed_at is not None and day.has(order.closed_at):
            found.append(TradeRow(order, order.closed_at, rate, revoked=True))
        found += [TradeRow(order, one.created_at, rate, one) for one in back.get(order.key, ())]
    return sorted(found, key=lambda row: row.at)


def summary(rows: list[TradeRow]) -> list[str]:
    settled, back = sum(row.settled_minor for row in rows), sum(row.back_minor for row in rows)
    fees = five(sum(row.fee_minor for row in rows))
    return [str(len(rows)), yuan(settled), yuan(back), "0.00", fees, yuan(settled), yuan(back)]


def funds(moves: list[Movement]) -> list[list[str]]:
    return [
        [
            bill_time(one.at),
            one.number,
            one.id,
            one.name,
            one.kind,
            "收入" if one.amount_minor > 0 else "支出",
            yuan(abs(one.amount_minor)),
            yuan(one.balance_minor),
            one.by,
            _free(one.note),
            one.voucher,
        ]
        for one in moves
    ]


def funds_summary(moves: list[Movement]) -> list[str]:
    income = [one.amount_minor for one in moves if one.amount_minor > 0]
    spent = [-one.amount_minor for one in moves if one.amount_minor < 0]
    return [str(len(moves)), str(len(income)), yuan(sum(income)), str(len(spent)), yuan(sum(spent))]


def sharings(book: Book, mchid: str, day: Day) -> list[list[str]]:
    rows = []
    for made in book.sharings.values():
        order = book.orders.get(made.order_key)
        if made.mchid != mchid or order is None or not day.has(made.created_at):
            continue
        numbers = [made.mchid, order.payee, made.transaction_id, made.order_id]
        for part in made.parts:
            what = [yuan(order.amount_minor), part.account, yuan(part.amount_minor), "分账", part.result]
            ids = [part.detail_id, made.out_order_no]
            rows.append([bill_time(made.created_at), *numbers, *ids, *what, _free(part.description), ""])
    return rows


def sharing_summary(rows: list[list[str]]) -> list[str]:
    total = sum(int(row[9].replace(".", "")) for row in rows)
    return [str(len(rows)), yuan(total)]


def five(amount_minor: int) -> str:
    """Fees have five decimals."""
    return f"{yuan(amount_minor)}000"


def _finished(made: Refund | None) -> str:
    return bill_time(made.finished_at) if made is not None and made.finished_at is not None else ""


def _free(text: str) -> str:
    """Free text: an ASCII comma becomes backslash and blank, a line end a blank."""
    return text.replace(",", "\\ ").replace("\r", " ").replace("\n", " ")
