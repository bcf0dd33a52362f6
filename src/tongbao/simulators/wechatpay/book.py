"""The book of orders: how they are found, paid, closed and reversed, and what time does to them.

Rule: one order per owner and merchant number. A code that is handed out again kills the older one; an older prepay id
lives until its time is over. An order is looked at again whenever somebody asks and when its timer rings, whichever
comes first; everything is synchronous, so nothing is ever seen halfway.
"""

from collections.abc import Iterable
from datetime import datetime

from tongbao.simulators.bank import BalanceShort, Bank, Buyer
from tongbao.simulators.faults import Fault, Struck, find
from tongbao.simulators.journal import Shelf
from tongbao.simulators.wechatpay import shapes
from tongbao.simulators.wechatpay.ledger import Ledger
from tongbao.simulators.wechatpay.merchants import Merchants
from tongbao.simulators.wechatpay.model import (
    CLOSED,
    NOTPAY,
    OPEN_STATES,
    PAID_STATES,
    PAYERROR,
    SUCCESS,
    Batch,
    BillAddress,
    Burnt,
    Media,
    Order,
    Receiver,
    Refund,
    Return,
    Sharing,
    Transfer,
)
from tongbao.simulators.wechatpay.notifications import CHANNEL, Message, Notices
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.timers import Timers
from tongbao.simulators.wechatpay.wire import openid_of, transaction_number

__all__ = ["CHANNEL", "Book", "NotPayable"]


class NotPayable(Exception):
    """The buyer cannot pay this: WeChat's code and a sentence for the page."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Book:
    """Every document of the simulator, and the orders' own rules."""

    def __init__(self, bank: Bank, merchants: Merchants) -> None:
        self.bank = bank
        self.merchants = merchants
        self.notices = Notices(bank, merchants)
        self.ledger = Ledger(bank, merchants)
        self.timers = Timers(bank.clock)
        journal = bank.journal
        self.orders = Shelf(journal, "wechatpay_order", Order)
        self.burnt = Shelf(journal, "wechatpay_burnt", Burnt)
        self.refunds = Shelf(journal, "wechatpay_refund", Refund)
        self.transfers = Shelf(journal, "wechatpay_transfer", Transfer)
        self.batches = Shelf(journal, "wechatpay_batch", Batch)
        self.receivers = Shelf(journal, "wechatpay_receiver", Receiver)
        self.sharings = Shelf(journal, "wechatpay_sharing", Sharing)
        self.returns = Shelf(journal, "wechatpay_return", Return)
        self.bills = Shelf(journal, "wechatpay_bill", BillAddress)
        self.media = Shelf(journal, "wechatpay_media", Media)
        self.used_codes = Shelf(journal, "wechatpay_auth_code", Burnt)
        self._by_transaction: dict[str, str] = {}
        self._by_handle: dict[str, str] = {}
        self._by_token: dict[str, str] = {}
        self.timers.on("order", self._look)
        for order in self.orders.values():
            self._index(order)

    # --- finding

    def order(self, owner: str, number: str) -> Order | None:
        """By merchant number, as it is now."""
        return self.by_key(f"{owner}/{number}")

    def by_key(self, key: str) -> Order | None:
        found = self.orders.get(key)
        return None if found is None else self.refreshed(found)

    def by_transaction(self, number: str) -> Order | None:
        key = self._by_transaction.get(number)
        return self.by_key(key) if key else None

    def by_handle(self, handle: str) -> Order | None:
        """By prepay id or code, as long as that lives."""
        key = self._by_handle.get(handle)
        order = self.by_key(key) if key else None
        if order is None:
            return None
        until = order.handles.get(handle)
        return order if until is not None and self.bank.clock.now() < until else None

    def knows_handle(self, handle: str) -> bool:
        """Whether it was ever handed out (in this run)."""
        return handle in self._by_handle

    def by_token(self, token: str) -> Order | None:
        key = self._by_token.get(token)
        return self.by_key(key) if key else None

    def parts(self, order: Order) -> list[Order]:
        """The orders that are paid with this one: itself, or a combined order's parts."""
        return [part for key in order.subs if (part := self.orders.get(key)) is not None] if order.subs else [order]

    # --- faults

    def strikes(self, call: Call, fault: Fault) -> Struck | None:
        """A fault of the effect, from the request's header or the board."""
        found = find(call.faults, fault) if call.faults else None
        return found or self.bank.faults.draw_one(fault, CHANNEL, call.merchant.mchid, call.route)

    def buyer_strikes(self, order: Order, fault: Fault) -> Struck | None:
        """A fault on the buyer's side, from the order's own request or the board."""
        found = find(order.faults, fault) if order.faults else None
        return found or self.bank.faults.draw_one(fault, CHANNEL, order.mchid, order.product)

    # --- what happens to an order

    def put(self, order: Order) -> Order:
        self._index(order)
        return self.orders.put(order.key, order)

    def add_handle(self, order: Order, handle: str, until: datetime, *, replaces: bool) -> None:
        """A new way to the order; `replaces` kills the older ones."""
        kept = {} if replaces else dict(list(order.handles.items())[-4:])
        order.handles = {**kept, handle: until}

    def refreshed(self, order: Order) -> Order:
        """The order after what time has done to it."""
        now = self.bank.clock.now()
        if order.due_at is not None and order.due_at <= now and order.status in OPEN_STATES:
            self._decide(order)
        if order.status == NOTPAY and order.expires_at <= now and not order.combine:
            self.close(order)
        return order

    def check_payable(self, order: Order) -> None:
        """Raises NotPayable."""
        if order.status in PAID_STATES:
            raise NotPayable("ORDERPAID", "该订单已支付")
        if order.status not in OPEN_STATES:
            raise NotPayable("ORDERCLOSED", "该订单已关闭")

    def opened(self, order: Order) -> None:
        """A buyer looks at it: faults of the buyer's side strike. Raises NotPayable."""
        if order.status == NOTPAY and self.buyer_strikes(order, Fault.TRADE_EXPIRED):
            self.close(order)
        if self.buyer_strikes(order, Fault.PAID_NOTICE_WITHOUT_PAYMENT):
            self._notify(order, forged=True)
        self.check_payable(order)

    def pay(self, order: Order, buyer: Buyer) -> None:
        """The buyer's money moves; raises NotPayable, and then nothing happened."""
        order = self.refreshed(order)
        self.check_payable(order)
        short = self.buyer_strikes(order, Fault.BUYER_BALANCE_SHORT)
        if short or buyer.balance_minor < order.amount_minor:
            raise NotPayable("NOTENOUGH", "余额不足")
        now = self.bank.clock.now()
        for part in self.parts(order):
            self._paid(part, buyer, now)
        if order.subs:
            order.status, order.paid_at, order.buyer_id = SUCCESS, now, buyer.user_id
            order.openid = openid_of(order.appid, buyer.user_id)
            order.transaction_id = transaction_number(self.bank, now)
            self.put(order)
        if order.product != "MICROPAY":
            self._notify(order)

    def _paid(self, order: Order, buyer: Buyer, now: datetime) -> None:
        number = transaction_number(self.bank, now)
        try:
            order.fee_minor = self.ledger.paid(buyer, order.payee, order.amount_minor, number, order.out_trade_no)
        except BalanceShort:
            raise NotPayable("NOTENOUGH", "余额不足") from None
        order.status, order.paid_at, order.transaction_id, order.buyer_id = SUCCESS, now, number, buyer.user_id
        order.openid = order.openid or openid_of(order.appid, buyer.user_id)
        order.due_at, order.then = None, ""
        self.put(order)

    def close(self, order: Order, status: str = CLOSED) -> None:
        """Makes an unpaid order unpayable, with its parts."""
        for one in (order, *self.parts(order)) if order.subs else (order,):
            one.status, one.closed_at, one.due_at = status, self.bank.clock.now(), None
            self.orders.put(one.key, one)

    def _decide(self, order: Order) -> None:
        """A buyer who was asked for the password does what the script says."""
        buyer = self.bank.buyer(order.buyer_id)
        then, order.due_at, order.then = order.then, None, ""
        try:
            if then != "paid" or buyer is None:
                raise NotPayable("USERCANCEL", "用户取消支付")
            self.pay(order, buyer)
        except NotPayable:
            self.close(order, PAYERROR)

    def _notify(self, order: Order, *, forged: bool = False) -> None:
        shown = shapes.claimed(order, self.bank.clock.now()) if forged else order
        fields = shapes.combined(shown, self.parts(shown)) if order.subs else shapes.transaction(shown)
        message = Message(
            mchid=order.mchid,
            url=order.notify_url,
            about=order.key,
            label=f"{'forged' if forged else 'paid'} {order.out_trade_no}",
            event="TRANSACTION.SUCCESS",
            summary="支付成功",
            kind="transaction",
            fields=fields,
        )
        left = self.notices.send(message, order.faults, forged=forged)
        if not forged and len(left) != len(order.faults):
            order.faults = left
            self.orders.put(order.key, order)

    # --- time

    def _look(self, key: str) -> None:
        self.by_key(key)

    def _index(self, order: Order) -> None:
        self._by_token[order.token] = order.key
        if order.transaction_id:
            self._by_transaction[order.transaction_id] = order.key
        for handle in order.handles:
            self._by_handle[handle] = order.key
        if order.status in OPEN_STATES and not order.combine:
            self._remind(order, (order.expires_at, order.due_at))

    def _remind(self, order: Order, moments: Iterable[datetime | None]) -> None:
        for moment in moments:
            self.timers.set(moment, "order", order.key)
