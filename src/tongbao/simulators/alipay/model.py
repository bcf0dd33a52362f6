"""The documents that the Alipay simulator keeps. Amounts are in fen, instants are aware UTC."""

from datetime import datetime

import msgspec

from tongbao.simulators.faults import Struck

WAIT, SUCCESS, FINISHED, CLOSED = "WAIT_BUYER_PAY", "TRADE_SUCCESS", "TRADE_FINISHED", "TRADE_CLOSED"
PAID_STATES = frozenset({SUCCESS, FINISHED})


class App(msgspec.Struct):
    """One application of one merchant. `mode` is key or cert; `triggers` names the notification table in force.

    `public_key` is the application's own key as it was registered in the console; `seller_id` is the merchant's PID.
    """

    app_id: str
    seller_id: str
    seller_email: str
    seller_name: str
    public_key: str
    mode: str = "key"
    sign_type: str = "RSA2"
    aes_key: str = ""
    triggers: str = "2026"


class Order(msgspec.Struct):
    """What the merchant asked for, before there is a trade. `token` names its cashier page and its QR.

    `auth_app_id` is the authorising merchant's application when another one acts for it. `product` is page, wap, app,
    qr, barcode or jsapi. `pay_until` is the latest moment at which a trade may still come to be; `timeout` is a
    relative time limit in seconds that starts with the trade.
    """

    token: str
    product: str
    app_id: str
    seller_id: str
    out_trade_no: str
    subject: str
    amount_minor: int
    charset: str
    created_at: datetime
    pay_until: datetime
    expires_at: datetime | None = None
    timeout_seconds: int | None = None
    body: str = ""
    notify_url: str = ""
    return_url: str = ""
    quit_url: str = ""
    passback_params: str = ""
    store_id: str = ""
    terminal_id: str = ""
    operator_id: str = ""
    buyer_id: str = ""
    product_code: str = ""
    auth_app_id: str = ""
    faults: list[Struck] = []


class Refund(msgspec.Struct):
    """Money that went back. `confirmed` False: the answer of the refund itself did not say that the funds moved."""

    out_request_no: str
    amount_minor: int
    refunded_at: datetime
    reason: str = ""
    confirmed: bool = True


class Trade(msgspec.Struct):
    """A trade and its refunds by request number. `paid_later_at`: a barcode buyer who confirms then."""

    trade_no: str
    order: Order
    status: str
    created_at: datetime
    expires_at: datetime
    buyer_id: str = ""
    paid_at: datetime | None = None
    closed_at: datetime | None = None
    cancelled: bool = False
    paid_later_at: datetime | None = None
    refunds: dict[str, Refund] = {}
    settled_minor: int = 0

    @property
    def refunded_minor(self) -> int:
        return sum(refund.amount_minor for refund in self.refunds.values())
