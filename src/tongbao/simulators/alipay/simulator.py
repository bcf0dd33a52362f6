"""Alipay in the sandbox: composes apps, book, gateway and pages, and plays the buyer's side of its cashier."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

from starlette.routing import BaseRoute

from tongbao.simulators.alipay import cashier, payments, refunds
from tongbao.simulators.alipay.apps import KEY_APP_ID, Apps
from tongbao.simulators.alipay.errors import SUB_MESSAGES, Failure
from tongbao.simulators.alipay.gateway import CHANNEL, Gateway, Handler
from tongbao.simulators.alipay.model import CLOSED, PAID_STATES, Order, Trade
from tongbao.simulators.alipay.notifications import Notices
from tongbao.simulators.alipay.payments import QR_ADDRESS
from tongbao.simulators.alipay.replies import Writer
from tongbao.simulators.alipay.request import Checks
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import CHARSETS, yuan
from tongbao.simulators.bank import Bank, Buyer
from tongbao.simulators.channel import Offer, PaymentRefused, Row
from tongbao.simulators.door import Door
from tongbao.simulators.faults import Fault
from tongbao.simulators.pages import Pages

GATEWAY_PATH = "/alipay/gateway.do"

HANDLERS: Mapping[str, Handler] = {
    "alipay.trade.page.pay": Handler(page=payments.page_pay),
    "alipay.trade.wap.pay": Handler(page=payments.wap_pay),
    "alipay.trade.precreate": Handler(payments.precreate),
    "alipay.trade.query": Handler(payments.query),
    "alipay.trade.close": Handler(payments.close),
    "alipay.trade.refund": Handler(refunds.refund),
    "alipay.trade.fastpay.refund.query": Handler(refunds.refund_query),
}


class Alipay:
    """The channel of the sandbox; see `channel.ChannelSimulator` for what each method promises."""

    name = CHANNEL

    def __init__(self, bank: Bank, pages: Pages, data_dir: Path | None) -> None:
        self.bank = bank
        self.apps = Apps(bank)
        self.book = Book(bank, self.apps, Notices(bank, self.apps))
        self._pages = pages
        self._data_dir = data_dir
        checks, writer = Checks(self.apps, HANDLERS), Writer(self.apps)
        self.gateway = Gateway(self.book, checks, writer, HANDLERS, pages.error_html)

    def doors(self) -> Mapping[str, Door]:
        return {GATEWAY_PATH: Door(self.gateway.answer, self.bank.flush)}

    def routes(self) -> list[BaseRoute]:
        return cashier.routes(self, self._pages)

    # --- the buyer's side

    def recognise(self, content: str) -> str | None:
        token = content.strip().removeprefix(QR_ADDRESS).partition("?")[0]
        return token if content.strip().startswith(QR_ADDRESS) and token in self.book.orders else None

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
        joint = "&" if "?" in order.return_url else "?"
        return f"{order.return_url}{joint}{urlencode(params, encoding=CHARSETS[order.charset.lower()])}"

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
        """The key-mode application at the top level; money in yuan, keys in every form that clients ask for."""
        private, alipay = self.apps.private_key(KEY_APP_ID), self.apps.alipay_key.public()
        app = self.apps.get(KEY_APP_ID)
        assert app is not None
        return {
            "gateway_url": base_url.rstrip("/") + GATEWAY_PATH,
            "app_id": app.app_id,
            "seller_id": app.seller_id,
            "seller_email": app.seller_email,
            "sign_type": app.sign_type,
            "app_private_key_pkcs8_pem": private.pem_pkcs8(),
            "app_private_key_pkcs1_pem": private.pem_pkcs1(),
            "app_private_key_pkcs8_bare": private.bare_pkcs8(),
            "app_private_key_pkcs1_bare": "".join(private.pem_pkcs1().splitlines()[1:-1]),
            "app_public_key_pem": private.public().pem(),
            "app_public_key": private.public().bare(),
            "alipay_public_key": alipay.bare(),
            "alipay_public_key_pem": alipay.pem(),
            **self._files(),
            "buyers": [self._buyer_facts(buyer) for buyer in self.bank.buyers.values()],
        }

    def _buyer_facts(self, buyer: Buyer) -> dict[str, object]:
        names = {"user_id": buyer.user_id, "logon_id": buyer.logon_id, "name": buyer.name}
        return {**names, "balance": yuan(buyer.balance_minor), "note": buyer.note_en}

    def _files(self) -> dict[str, str]:
        """The public keys as files, for clients that want a path; written when there is a data directory."""
        if self._data_dir is None:
            return {}
        folder = self._data_dir / "alipay"
        folder.mkdir(parents=True, exist_ok=True)
        key_file = folder / "alipay_public_key.pem"
        key_file.write_text(self.apps.alipay_key.public().pem())
        private_file = folder / "app_private_key.pem"
        private_file.touch(mode=0o600)
        private_file.write_text(self.apps.private_key(KEY_APP_ID).pem_pkcs8())
        return {"alipay_public_key_file": str(key_file), "app_private_key_file": str(private_file)}

    def expire_due(self) -> int:
        return self.book.expire_due()

    def next_due_at(self) -> datetime | None:
        return self.book.next_due_at()


def _refused(failure: Failure) -> PaymentRefused:
    return PaymentRefused(failure.sub_code, SUB_MESSAGES.get(failure.sub_code, failure.sub_code))
