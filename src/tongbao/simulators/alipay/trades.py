"""The book of trades: how they come to be, are paid, close and finish.

Rule: one trade per merchant and `out_trade_no`. A trade whose time is over is closed lazily whenever it is looked at,
and by the timer (`expire_due`), whichever comes first. Everything here is synchronous: no trade is ever seen halfway.
"""

import heapq
from contextlib import suppress
from datetime import datetime, timedelta

from tongbao.simulators.alipay.apps import Apps
from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.holdings import Agreement, Freeze, Relation, Settlement, Token, Transfer, UsedCode
from tongbao.simulators.alipay.model import CLOSED, FINISHED, PAID_STATES, SUCCESS, WAIT, Order, Trade
from tongbao.simulators.alipay.notifications import Notices
from tongbao.simulators.alipay.orders import trade_deadline
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.wire import CHINA
from tongbao.simulators.bank import BalanceShort, Bank, Buyer
from tongbao.simulators.faults import Fault, Struck, find
from tongbao.simulators.journal import Shelf

REFUND_WINDOW = timedelta(days=365)
_SAME_TERMS = ("amount_minor", "subject")


class Book:
    """Orders by token, trades by trade number, and what closes when."""

    def __init__(self, bank: Bank, apps: Apps, notices: Notices) -> None:
        self.bank = bank
        self.apps = apps
        self.notices = notices
        self.orders = Shelf(bank.journal, "alipay_order", Order)
        self.trades = Shelf(bank.journal, "alipay_trade", Trade)
        self.freezes = Shelf(bank.journal, "alipay_freeze", Freeze)
        self.agreements = Shelf(bank.journal, "alipay_agreement", Agreement)
        self.transfers = Shelf(bank.journal, "alipay_transfer", Transfer)
        self.relations = Shelf(bank.journal, "alipay_relation", Relation)
        self.settlements = Shelf(bank.journal, "alipay_settlement", Settlement)
        self.tokens = Shelf(bank.journal, "alipay_token", Token)
        self.addresses: dict[str, tuple[str, str, str, datetime]] = {}
        self._used_codes = Shelf(bank.journal, "alipay_used_code", UsedCode)
        self._by_reference: dict[tuple[str, str], str] = {}
        self._codes: dict[tuple[str, str], str] = {}
        self._timers: list[tuple[datetime, str]] = []
        for order in self.orders.values():
            self._remember_code(order)
        for trade in self.trades.values():
            self._remember(trade)

    # --- orders

    def add_order(self, order: Order) -> Order:
        """Keeps an order whose cashier a buyer may open; refuses one whose trade cannot take it (raises Failure)."""
        existing = self.trade_of(order)
        if existing is not None:
            self.check_repeat(existing, order)
        self._remember_code(order)
        return self.orders.put(order.token, order)

    def live_code(self, order: Order) -> Order | None:
        """The QR that was handed out for the same merchant reference and can still be scanned."""
        token = self._codes.get((order.seller_id, order.out_trade_no))
        older = self.orders.get(token) if token else None
        return older if older is not None and self.bank.clock.now() < older.pay_until else None

    def code_used(self, code: str, number: str) -> bool:
        """Whether an auth code was shown before, for another merchant number."""
        used = self._used_codes.get(code)
        return used is not None and used.used_for != number

    def use_code(self, code: str, number: str) -> None:
        self._used_codes.put(code, UsedCode(code, number))

    def _remember_code(self, order: Order) -> None:
        if order.product == "qr":
            self._codes[order.seller_id, order.out_trade_no] = order.token

    # --- finding

    def trade_of(self, order: Order) -> Trade | None:
        """The trade of the order's merchant reference, as it is now."""
        trade_no = self._by_reference.get((order.seller_id, order.out_trade_no))
        trade = self.trades.get(trade_no) if trade_no else None
        return None if trade is None else self.refreshed(trade)

    def find(self, call: Call) -> Trade | None:
        """The calling merchant's trade by `trade_no` (which wins) or `out_trade_no`."""
        trade_no, out_trade_no = call.text("trade_no"), call.text("out_trade_no")
        if not trade_no and not out_trade_no:
            raise Failure("ACQ.INVALID_PARAMETER")
        number = trade_no or self._by_reference.get((call.app.seller_id, out_trade_no), "")
        trade = self.trades.get(number)
        if trade is None or trade.order.seller_id != call.app.seller_id:
            return None
        return self.refreshed(trade)

    def refreshed(self, trade: Trade) -> Trade:
        """The trade after what time has done to it."""
        now = self.bank.clock.now()
        if trade.status == WAIT and trade.paid_later_at is not None and trade.paid_later_at <= now:
            self._pay_later(trade)
        if trade.status == WAIT and trade.expires_at <= now:
            self.close(trade)
        elif trade.status == SUCCESS and trade.paid_at is not None and trade.paid_at + REFUND_WINDOW <= now:
            trade.status = FINISHED
            self._store(trade)
            self.notices.send(trade, "finished")
        return trade

    def check_repeat(self, trade: Trade, order: Order, buyer_id: str = "") -> None:
        """Whether a further request under the same merchant reference may go on with the trade; raises Failure."""
        if trade.status in PAID_STATES:
            raise Failure("ACQ.TRADE_HAS_SUCCESS")
        if trade.status == CLOSED:
            raise Failure("ACQ.TRADE_HAS_CLOSE")
        if any(getattr(trade.order, name) != getattr(order, name) for name in _SAME_TERMS):
            raise Failure("ACQ.CONTEXT_INCONSISTENT")
        if trade.buyer_id and buyer_id and trade.buyer_id != buyer_id:
            raise Failure("ACQ.TRADE_BUYER_NOT_MATCH")

    # --- what happens to a trade

    def open(self, order: Order, buyer: Buyer | None) -> Trade:
        """The buyer has reached the cashier: the trade comes to be, or goes on. Raises Failure."""
        trade = self.trade_of(order)
        if trade is not None:
            self.check_repeat(trade, order, buyer.user_id if buyer else "")
            if buyer and not trade.buyer_id:
                trade.buyer_id = buyer.user_id
                self._store(trade)
            return trade
        now = self.bank.clock.now()
        if now >= order.pay_until or self.buyer_fault(order, Fault.TRADE_EXPIRED):
            raise Failure("ACQ.TRADE_HAS_CLOSE")
        buyer_id = buyer.user_id if buyer else order.buyer_id
        trade = Trade(self._trade_no(now), order, WAIT, now, trade_deadline(order, now), buyer_id)
        self._store(trade)
        self._remember(trade)
        if self.buyer_fault(order, Fault.PAID_NOTICE_WITHOUT_PAYMENT):
            self.notices.send_forged(trade)
        return trade

    def pay(self, trade: Trade, buyer: Buyer) -> Trade:
        """The buyer's money moves; raises Failure when it cannot, and then nothing happened."""
        trade = self.refreshed(trade)
        self.check_repeat(trade, trade.order, buyer.user_id)
        order = trade.order
        if self._drawn(order, Fault.BUYER_BALANCE_SHORT):
            raise Failure("ACQ.BUYER_BALANCE_NOT_ENOUGH")
        try:
            self.bank.move_to_merchant(buyer, order.seller_id, order.amount_minor)
        except BalanceShort:
            raise Failure("ACQ.BUYER_BALANCE_NOT_ENOUGH") from None
        trade.buyer_id, trade.status, trade.paid_at = buyer.user_id, SUCCESS, self.bank.clock.now()
        trade.paid_later_at = None
        self._store(trade)
        self._remember(trade)
        self.notices.send(trade, "paid")
        return trade

    def close(self, trade: Trade, *, cancelled: bool = False) -> None:
        """Makes an unpaid trade unpayable."""
        trade.status, trade.closed_at, trade.cancelled = CLOSED, self.bank.clock.now(), cancelled
        self._store(trade)
        self.notices.send(trade, "closed")

    def save(self, trade: Trade) -> None:
        self._store(trade)
        self._remember(trade)

    # --- time

    def expire_due(self) -> int:
        """Closes, finishes and pays what its time has come for; returns how many trades were looked at."""
        now, count = self.bank.clock.now(), 0
        while self._timers and self._timers[0][0] <= now:
            trade = self.trades.get(heapq.heappop(self._timers)[1])
            if trade is not None:
                self.refreshed(trade)
                count += 1
        return count

    def next_due_at(self) -> datetime | None:
        return self._timers[0][0] if self._timers else None

    # --- faults

    def strikes(self, call: Call, fault: Fault) -> Struck | None:
        """A fault that changes the call's effect: from its own header, or drawn from the board."""
        return find(call.faults, fault) or self.bank.faults.draw_one(fault, "alipay", call.app.app_id, call.method)

    def buyer_fault(self, order: Order, fault: Fault) -> Struck | None:
        """A fault on the buyer's pages: from the order's own request, or drawn from the board."""
        return find(order.faults, fault) or self._drawn(order, fault)

    def _drawn(self, order: Order, fault: Fault) -> Struck | None:
        return self.bank.faults.draw_one(fault, "alipay", order.app_id, order.product)

    def _pay_later(self, trade: Trade) -> None:
        buyer = self.bank.buyer(trade.buyer_id)
        trade.paid_later_at = None
        self._store(trade)
        if buyer is not None:
            with suppress(Failure):  # who cannot pay when the time has come leaves the trade waiting
                self.pay(trade, buyer)

    def _store(self, trade: Trade) -> None:
        self.trades.put(trade.trade_no, trade)

    def _remember(self, trade: Trade) -> None:
        order = trade.order
        self._by_reference[order.seller_id, order.out_trade_no] = trade.trade_no
        if trade.status == WAIT:
            heapq.heappush(self._timers, (trade.paid_later_at or trade.expires_at, trade.trade_no))
            if trade.paid_later_at is not None:
                heapq.heappush(self._timers, (trade.expires_at, trade.trade_no))
        elif trade.status == SUCCESS and trade.paid_at is not None:
            heapq.heappush(self._timers, (trade.paid_at + REFUND_WINDOW, trade.trade_no))

    def _trade_no(self, now: datetime) -> str:
        """28 digits: the day in China, 22001, 15 digits."""
        while True:
            number = f"{now.astimezone(CHINA):%Y%m%d}22001{self.bank.digits(15)}"
            if number not in self.trades:
                return number
