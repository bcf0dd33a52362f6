"""The documents around trades: freezes, agreements, transfers, bound receivers, splits, tokens. Amounts are in fen."""

from datetime import datetime

import msgspec


class UsedCode(msgspec.Struct):
    """An auth code that was shown once, and the merchant's number it paid."""

    code: str
    used_for: str


class Token(msgspec.Struct):
    """An OAuth token: of a buyer (`user_id`) or of an authorising merchant (`app_id` is then its application)."""

    token: str
    refresh_token: str
    user_id: str
    app_id: str
    expires_at: datetime


class Operation(msgspec.Struct):
    """One step: FREEZE, UNFREEZE or PAY."""

    operation_id: str
    out_request_no: str
    kind: str
    amount_minor: int
    at: datetime
    remark: str = ""


class Freeze(msgspec.Struct):
    """A freeze and what became of it, by request number."""

    auth_no: str
    out_order_no: str
    seller_id: str
    buyer_id: str
    title: str
    created_at: datetime
    operations: list[Operation] = []

    def sum_minor(self, kind: str) -> int:
        return sum(one.amount_minor for one in self.operations if one.kind == kind)

    @property
    def rest_minor(self) -> int:
        return self.sum_minor("FREEZE") - self.sum_minor("UNFREEZE") - self.sum_minor("PAY")


class Agreement(msgspec.Struct):
    """An agreement. `status`: TEMP until the buyer agreed, NORMAL, STOP. Limits are in fen, 0 for none."""

    token: str
    agreement_no: str
    app_id: str
    seller_id: str
    external_agreement_no: str
    personal_product_code: str
    sign_scene: str
    external_logon_id: str
    charset: str
    notify_url: str
    return_url: str
    created_at: datetime
    status: str = "TEMP"
    buyer_id: str = ""
    signed_at: datetime | None = None
    single_minor: int = 0
    total_minor: int = 0
    payments_max: int = 0
    paid_minor: int = 0
    payments: int = 0


class Transfer(msgspec.Struct):
    """A transfer that was made; it always succeeds at once."""

    out_biz_no: str
    seller_id: str
    order_id: str
    fund_order_id: str
    amount_minor: int
    payee_id: str
    product_code: str
    biz_scene: str
    made_at: datetime


class Relation(msgspec.Struct):
    """A receiver bound to a merchant."""

    seller_id: str
    kind: str
    account: str
    name: str = ""
    memo: str = ""


class Share(msgspec.Struct):
    """What one receiver got."""

    user_id: str
    amount_minor: int


class Settlement(msgspec.Struct):
    """One executed split."""

    settle_no: str
    out_request_no: str
    trade_no: str
    made_at: datetime
    shares: list[Share]
    finishes: bool = False
