"""WeChat Pay in the sandbox: composes merchants, book, gateway and pages, and plays the buyer's side."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from starlette.routing import BaseRoute

from tongbao.simulators.bank import Bank, Buyer
from tongbao.simulators.channel import Offer, PaymentRefused, Row
from tongbao.simulators.door import Door
from tongbao.simulators.pages import Pages
from tongbao.simulators.wechatpay import accounts, batches, cashier, in_app, receivers, refunds, sharing, transfers
from tongbao.simulators.wechatpay.book import CHANNEL, Book, NotPayable
from tongbao.simulators.wechatpay.gateway import PREFIX, Gateway
from tongbao.simulators.wechatpay.merchants import Merchants
from tongbao.simulators.wechatpay.methods import ROUTES
from tongbao.simulators.wechatpay.model import NOTPAY, OPEN_STATES, PAID_STATES, Order, Transfer
from tongbao.simulators.wechatpay.orders import CODE_ADDRESS
from tongbao.simulators.wechatpay.replies import Writer
from tongbao.simulators.wechatpay.request import Checks
from tongbao.simulators.wechatpay.uploads import BODY_BYTES_MAX
from tongbao.simulators.wechatpay.wire import yuan

CODE_SCHEME = "weixin://wxpay/bizpayurl"
_TRANSFER_STATES = {transfers.DONE: "paid", transfers.WAITS: "open"}


class WeChatPay:
    """The channel of the sandbox; see `channel.ChannelSimulator` for what each method promises."""

    name = CHANNEL

    def __init__(self, bank: Bank, pages: Pages, data_dir: Path | None) -> None:
        self.bank = bank
        self.merchant_book = Merchants(bank)
        self.book = Book(bank, self.merchant_book)
        self._pages = pages
        self._data_dir = data_dir
        self.gateway = Gateway(self.book, Checks(self.merchant_book), Writer(bank, self.merchant_book), ROUTES)
        for module in (refunds, transfers, batches, sharing, receivers):
            module.start(self.book)

    def doors(self) -> Mapping[str, Door]:
        door = Door(self.gateway.answer, self.bank.flush, verbatim=True, body_bytes_max=BODY_BYTES_MAX)
        return {"/v3/": door, f"{PREFIX}/v3/": door}

    def routes(self) -> list[BaseRoute]:
        return cashier.routes(self, self._pages)

    # --- the buyer's side

    def recognise(self, content: str) -> str | None:
        """A native code, or the parameters (JSON) of a page, an app or a transfer that waits for its receiver."""
        self.book.timers.run()
        text = content.strip()
        params = in_app.read_params(text)
        if params is not None:
            if in_app.kind_of(params) == "transfer":
                return in_app.transfer_of(self.book, params).package
            return in_app.order_of(self.book, params).token
        if not text.startswith(CODE_SCHEME):
            return None
        code = text.partition("pr=")[2].partition("&")[0]
        if not self.book.knows_handle(code):
            return None
        order = self.book.by_handle(code)
        if order is None:
            raise PaymentRefused("CODE_EXPIRED", "二维码已失效，请刷新后重新扫码")
        return order.token

    def offer(self, token: str) -> Offer | None:
        order = self.book.by_token(token)
        if order is not None:
            return self._offer(order)
        made = transfers.by_package(self.book, token)
        return None if made is None else self._transfer_offer(made)

    def codes(self) -> list[Offer]:
        now = self.bank.clock.now()
        newest = [self.book.refreshed(order) for order in self.book.orders.newest(50) if order.product == "NATIVE"]
        live = [one for one in newest if one.status == NOTPAY and any(until > now for until in one.handles.values())]
        return [self._offer(order) for order in live]

    def scan(self, token: str, buyer: Buyer) -> Offer:
        order = self.book.by_token(token)
        if order is None:
            return self._transfer_offer(self._transfer(token))
        self._open(order, buyer)
        return self._offer(order)

    def pay(self, token: str, buyer: Buyer) -> Offer:
        order = self.book.by_token(token)
        try:
            if order is None:
                made = self._transfer(token)
                transfers.confirm(self.book, made, buyer)
                return self._transfer_offer(made)
            self._open(order, buyer)
            self.book.pay(order, buyer)
        except NotPayable as refused:
            raise PaymentRefused(refused.code, refused.message) from None
        return self._offer(order)

    def decline(self, token: str, buyer: Buyer) -> Offer:
        return self.scan(token, buyer)

    def owner_of(self, order: Order) -> Buyer | None:
        """The buyer whom the order was made for, None when anybody may pay."""
        if order.product != "JSAPI" or not order.openid:
            return None
        appids = [order.appid, order.sub_appid]
        return self.bank.buyer(self.merchant_book.buyer_id(appids, order.openid))

    def _open(self, order: Order, buyer: Buyer) -> None:
        try:
            self.book.opened(order)
        except NotPayable as refused:
            raise PaymentRefused(refused.code, refused.message) from None
        owner = self.owner_of(order)
        if owner is not None and owner.user_id != buyer.user_id:
            raise PaymentRefused("OPENID_MISMATCH", "下单账号与支付账号不一致，请核实后再支付")

    def _transfer(self, token: str) -> Transfer:
        made = transfers.by_package(self.book, token)
        if made is None:
            raise PaymentRefused("ORDER_NOT_EXIST", "no such code or page")
        return made

    def _offer(self, order: Order) -> Offer:
        code = next(iter(order.handles), "") if order.product == "NATIVE" else ""
        return Offer(
            channel=self.name,
            token=order.token,
            state=_state(order),
            subject=order.description,
            payee=self.merchant_book.names().get(order.payee, order.payee),
            amount=yuan(order.amount_minor),
            currency="CNY",
            reference=order.out_trade_no,
            expires_at=min(order.expires_at, max(order.handles.values(), default=order.expires_at)),
            content=CODE_ADDRESS + code if code else "",
        )

    def _transfer_offer(self, made: Transfer) -> Offer:
        return Offer(
            channel=self.name,
            token=made.package,
            state=_TRANSFER_STATES.get(made.state, "closed"),
            subject=f"收款 · {made.remark}",
            payee=self.merchant_book.names().get(made.mchid, made.mchid),
            amount=yuan(made.amount_minor),
            currency="CNY",
            reference=made.out_bill_no,
            expires_at=made.due_at or made.updated_at,
        )

    # --- the sandbox's side

    def rows(self, count: int) -> list[Row]:
        return [self._row(self.book.refreshed(order)) for order in self.book.orders.newest(count)]

    def _row(self, order: Order) -> Row:
        return Row(
            channel=self.name,
            merchant=order.mchid,
            reference=order.out_trade_no,
            number=order.transaction_id,
            product=order.product,
            amount=yuan(order.amount_minor),
            status=order.status,
            refunded=yuan(order.refunded_minor) if order.refunded_minor else "",
            created_at=order.created_at,
        )

    def merchants(self) -> Mapping[str, str]:
        return self.merchant_book.names()

    def accounts(self, base_url: str) -> dict[str, object]:
        return accounts.facts(self.bank, self.merchant_book, base_url, self._data_dir)

    def expire_due(self) -> int:
        return self.book.timers.run()

    def next_due_at(self) -> datetime | None:
        return self.book.timers.next_due_at()


def _state(order: Order) -> str:
    if order.status in PAID_STATES:
        return "refunded" if order.refunded_minor == order.amount_minor else "paid"
    return "open" if order.status in OPEN_STATES else "closed"
