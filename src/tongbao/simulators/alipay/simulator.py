"""Alipay in the sandbox: composes apps, book, gateway and pages, and plays the buyer's side of its cashier."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from starlette.routing import BaseRoute

from tongbao.crypto import same
from tongbao.simulators.alipay import accounts, cashier, in_app, oauth
from tongbao.simulators.alipay.apps import Apps
from tongbao.simulators.alipay.certificates import Authority
from tongbao.simulators.alipay.console import Console
from tongbao.simulators.alipay.errors import SUB_MESSAGES, Failure
from tongbao.simulators.alipay.gateway import CHANNEL, Gateway
from tongbao.simulators.alipay.holdings import Agreement
from tongbao.simulators.alipay.methods import handlers
from tongbao.simulators.alipay.model import CLOSED, PAID_STATES, Order, Trade
from tongbao.simulators.alipay.notifications import Notices
from tongbao.simulators.alipay.payments import QR_ADDRESS
from tongbao.simulators.alipay.replies import Writer
from tongbao.simulators.alipay.request import Checks
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.v3 import PREFIX, OpenApi
from tongbao.simulators.alipay.wire import CHARSETS, yuan
from tongbao.simulators.bank import Bank, Buyer
from tongbao.simulators.channel import Offer, PaymentRefused, Row
from tongbao.simulators.door import Door
from tongbao.simulators.faults import Fault
from tongbao.simulators.pages import Pages


class Alipay:
    """The channel of the sandbox; see `channel.ChannelSimulator` for what each method promises."""

    name = CHANNEL

    def __init__(self, bank: Bank, pages: Pages, data_dir: Path | None) -> None:
        self.bank = bank
        self.apps = Apps(bank)
        self.book = Book(bank, self.apps, Notices(bank, self.apps))
        self._pages = pages
        self._data_dir = data_dir
        self.authority = Authority(bank, self.apps)
        methods = handlers(self.authority)
        self.checks, writer = Checks(self.apps, methods), Writer(self.apps)
        self.checks.certificates, writer.certificate = self.authority.check, self.authority.signer
        self.book.notices.renewed = self.authority.renewed
        self.checks.merchant_of = partial(oauth.merchant_of, self.book, self.apps)
        self.gateway = Gateway(self.book, self.checks, writer, methods, pages.error_html)
        self.open_api = OpenApi(self.book, self.apps, self.checks, writer, methods, bank.clock.machine_now)

    def doors(self) -> Mapping[str, Door]:
        flush = self.bank.flush
        return {
            accounts.GATEWAY_PATH: Door(self.gateway.answer, flush),
            f"{PREFIX}alipay/": Door(self.open_api.answer, flush),
        }

    def routes(self) -> list[BaseRoute]:
        return [*cashier.routes(self, self._pages), *Console(self).routes()]

    # --- the buyer's side

    def recognise(self, content: str) -> str | None:
        """A QR, an order string of app.pay, or the number of a trade that waits in a mini program."""
        text = content.strip()
        token = text.removeprefix(QR_ADDRESS).partition("?")[0]
        if text.startswith(QR_ADDRESS):
            return token if token in self.book.orders else None
        trade = self.book.trades.get(text)
        if trade is not None:
            return trade.order.token
        return in_app.token_of(self.book, self.checks, text)

    def offer(self, token: str) -> Offer | None:
        order = self.book.orders.get(token)
        return None if order is None else self._offer(order)

    def codes(self) -> list[Offer]:
        now = self.bank.clock.now()
        live = [
            order for order in self.book.orders.newest(50) if order.product in ("qr", "page") and order.pay_until > now
        ]
        return [offer for order in live if (offer := self._offer(order)).state == "open"]

    def scan(self, token: str, buyer: Buyer) -> Offer:
        order = self._order(token)
        self._open(order, buyer)
        return self._offer(order)

    def pay(self, token: str, buyer: Buyer) -> Offer:
        order = self._order(token)
        trade = self._open(order, buyer)
        try:
            self.book.pay(trade, buyer)
        except Failure as failure:
            raise _refused(failure) from None
        return self._offer(order)

    def decline(self, token: str, buyer: Buyer) -> Offer:
        return self.scan(token, buyer)

    def return_address(self, order: Order) -> str:
        """Where the browser goes after payment: the merchant's address with signed parameters, or empty."""
        trade = self.book.trade_of(order)
        if trade is None or not order.return_url or self.book.buyer_fault(order, Fault.RETURN_LOST):
            return ""
        params = self.book.notices.return_params(order, trade)
        return _with_query(order.return_url, params, order.charset)

    def agreement(self, token: str) -> Agreement | None:
        """The agreement that a signing page asks for."""
        return next((one for one in self.book.agreements.values() if same(one.token, token)), None)

    def agreement_return(self, made: Agreement) -> str:
        """Where the browser goes after signing, with signed parameters; empty if there is no address."""
        if not made.return_url:
            return ""
        fields = {"agreement_no": made.agreement_no, "external_agreement_no": made.external_agreement_no}
        params = self.book.notices.signed_return(
            made.app_id, made.charset, "alipay.user.agreement.page.sign.return", {**fields, "status": made.status}
        )
        return _with_query(made.return_url, params, made.charset)

    def _order(self, token: str) -> Order:
        order = self.book.orders.get(token)
        if order is None:
            raise PaymentRefused("ACQ.TRADE_NOT_EXIST", "no such code or cashier page")
        return order

    def _open(self, order: Order, buyer: Buyer) -> Trade:
        try:
            return self.book.open(order, buyer)
        except Failure as failure:
            raise _refused(failure) from None

    def _offer(self, order: Order) -> Offer:
        trade, app = self.book.trade_of(order), self.apps.get(order.app_id)
        return Offer(
            channel=self.name,
            token=order.token,
            state=self._state(order, trade),
            subject=order.subject,
            payee=app.seller_name if app else order.seller_id,
            amount=yuan(order.amount_minor),
            currency="CNY",
            reference=order.out_trade_no,
            expires_at=trade.expires_at if trade else order.pay_until,
            content=QR_ADDRESS + order.token,
            app_result=in_app.result(self.apps, trade) if trade and trade.paid_at and order.product == "app" else "",
        )

    def _state(self, order: Order, trade: Trade | None) -> str:
        if trade is None:
            return "open" if self.bank.clock.now() < order.pay_until else "expired"
        if trade.status in PAID_STATES:
            return "paid"
        if trade.status == CLOSED:
            return "refunded" if trade.paid_at is not None else "closed"
        return "open"

    # --- the sandbox's side

    def rows(self, count: int) -> list[Row]:
        return [self._row(self.book.refreshed(trade)) for trade in self.book.trades.newest(count)]

    def _row(self, trade: Trade) -> Row:
        order = trade.order
        return Row(
            channel=self.name,
            merchant=order.app_id,
            reference=order.out_trade_no,
            number=trade.trade_no,
            product=order.product,
            amount=yuan(order.amount_minor),
            status=trade.status,
            refunded=yuan(trade.refunded_minor) if trade.refunds else "",
            created_at=trade.created_at,
        )

    def merchants(self) -> Mapping[str, str]:
        return {app.app_id: app.seller_name for app in self.apps.all()}

    def accounts(self, base_url: str) -> dict[str, object]:
        return accounts.facts(self.bank, self.apps, self.authority, base_url, self._data_dir)

    def expire_due(self) -> int:
        return self.book.expire_due()

    def next_due_at(self) -> datetime | None:
        return self.book.next_due_at()


def _with_query(address: str, params: Mapping[str, str], charset: str) -> str:
    query = urlencode(params, encoding=CHARSETS[charset.lower()])
    return f"{address}{'&' if '?' in address else '?'}{query}"


def _refused(failure: Failure) -> PaymentRefused:
    return PaymentRefused(failure.sub_code, SUB_MESSAGES.get(failure.sub_code, failure.sub_code))
