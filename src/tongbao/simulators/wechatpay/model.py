"""The documents that the WeChat Pay simulator keeps. Amounts are in fen, instants are aware UTC.

Rule: `owner` is whom a merchant number is unique for: the merchant, or in partner mode `provider/sub-merchant`; a key
is `owner/number`. A combined order is an order with `subs`, whose parts name it in `combine`.
"""

from datetime import datetime

import msgspec

from tongbao.simulators.faults import Struck

NOTPAY, SUCCESS, REFUND, CLOSED = "NOTPAY", "SUCCESS", "REFUND", "CLOSED"
USERPAYING, REVOKED, PAYERROR = "USERPAYING", "REVOKED", "PAYERROR"
PAID_STATES = frozenset({SUCCESS, REFUND})
OPEN_STATES = frozenset({NOTPAY, USERPAYING})


class Merchant(msgspec.Struct):
    """One merchant number. `trust`: both, public_key (a new merchant that has no platform certificates) or certificate.

    `callback_share` is the percentage of notifications signed with the public key while both kinds are in use;
    `fee_rate` and `share_rate` (the largest part that may be shared) are in ten-thousandths. `subs` are the
    sub-merchants of a service provider; `notify_url` is where it is told of what is shared with it.
    """

    mchid: str
    name: str
    appids: list[str]
    apiv3_key: str
    certificate_pem: str
    serial: str
    public_key_id: str
    trust: str = "both"
    callback_share: int = 0
    notify_url: str = ""
    fee_rate: int = 60
    share_rate: int = 3000
    subs: list[str] = []


class PlatformCertificate(msgspec.Struct):
    """One of WeChat's own certificates. `key_name` is the bank's name of its private key."""

    serial: str
    pem: str
    key_name: str
    effective_at: datetime
    expires_at: datetime
    published: bool = False
    signing: bool = False


class Order(msgspec.Struct):
    """One order. `product` is the trade type; `payee` the merchant whose wallet is filled; `mchid` who calls.

    `handles` are the prepay ids and codes by which a buyer reaches it, with the end of each one's life. `then` says
    what a buyer who is asked for the password will do at `due_at`: paid or failed.
    """

    key: str
    owner: str
    payee: str
    product: str
    mchid: str
    appid: str
    out_trade_no: str
    description: str
    amount_minor: int
    created_at: datetime
    expires_at: datetime
    fingerprint: str
    token: str
    sub_mchid: str = ""
    sub_appid: str = ""
    attach: str = ""
    notify_url: str = ""
    openid: str = ""
    openid_of_sub: bool = False
    device_id: str = ""
    scene: str = ""
    profit_sharing: bool = False
    status: str = NOTPAY
    handles: dict[str, datetime] = {}
    transaction_id: str = ""
    buyer_id: str = ""
    paid_at: datetime | None = None
    closed_at: datetime | None = None
    due_at: datetime | None = None
    then: str = ""
    fee_minor: int = 0
    refunded_minor: int = 0
    refund_count: int = 0
    shared_minor: int = 0
    share_count: int = 0
    unfrozen: bool = False
    combine: str = ""
    subs: list[str] = []
    faults: list[Struck] = []


class Burnt(msgspec.Struct):
    """A merchant number that was closed before it was ever used, and never can be."""

    key: str


class Refund(msgspec.Struct):
    """Money on its way back. `then` is the status that it takes at `due_at`."""

    key: str
    order_key: str
    mchid: str
    out_refund_no: str
    refund_id: str
    amount_minor: int
    fee_minor: int
    created_at: datetime
    status: str = "PROCESSING"
    due_at: datetime | None = None
    then: str = SUCCESS
    finished_at: datetime | None = None
    notify_url: str = ""
    reason: str = ""
    funds_account: str = "AVAILABLE"
    account: str = "支付用户零钱"
    to_merchant: bool = False
    sources: list[dict[str, str | int]] = []
    faults: list[Struck] = []


class Movement(msgspec.Struct):
    """One line of a merchant's account. `amount_minor` is signed; `balance_minor` is what was there afterwards."""

    id: str
    mchid: str
    at: datetime
    number: str
    voucher: str
    name: str
    kind: str
    amount_minor: int
    balance_minor: int
    by: str = "system"
    note: str = ""


class Transfer(msgspec.Struct):
    """A transfer that its receiver confirms. `package` is what the client hands to WeChat."""

    key: str
    mchid: str
    appid: str
    out_bill_no: str
    transfer_bill_no: str
    amount_minor: int
    remark: str
    scene: str
    openid: str
    user_id: str
    fingerprint: str
    created_at: datetime
    updated_at: datetime
    state: str = "WAIT_USER_CONFIRM"
    package: str = ""
    due_at: datetime | None = None
    then: str = ""
    fail_reason: str = ""
    user_name: str = ""
    notify_url: str = ""
    faults: list[Struck] = []


class Detail(msgspec.Struct):
    """One receiver of a batch."""

    out_detail_no: str
    detail_id: str
    amount_minor: int
    remark: str
    openid: str
    user_name: str = ""
    status: str = "INIT"
    fail_reason: str = ""


class Batch(msgspec.Struct):
    """A batch of transfers of the older product."""

    key: str
    mchid: str
    appid: str
    out_batch_no: str
    batch_id: str
    name: str
    remark: str
    amount_minor: int
    fingerprint: str
    created_at: datetime
    updated_at: datetime
    details: list[Detail]
    status: str = "ACCEPTED"
    due_at: datetime | None = None
    scene: str = ""
    notify_url: str = ""
    faults: list[Struck] = []


class Receiver(msgspec.Struct):
    """Somebody who may be shared with."""

    key: str
    mchid: str
    kind: str
    account: str
    relation: str
    custom: str = ""
    name: str = ""


class Part(msgspec.Struct):
    """One receiver's part of a sharing."""

    kind: str
    account: str
    amount_minor: int
    description: str
    detail_id: str
    result: str = "PENDING"
    fail_reason: str = ""
    finished_at: datetime | None = None


class Sharing(msgspec.Struct):
    """A sharing of one paid order. `unfreezes`: what is left goes to the merchant and nothing more is shared."""

    key: str
    mchid: str
    order_key: str
    transaction_id: str
    out_order_no: str
    order_id: str
    fingerprint: str
    created_at: datetime
    parts: list[Part]
    unfreezes: bool = False
    state: str = "PROCESSING"
    due_at: datetime | None = None


class Return(msgspec.Struct):
    """A shared part that is given back."""

    key: str
    mchid: str
    sharing_key: str
    out_return_no: str
    return_id: str
    return_mchid: str
    amount_minor: int
    description: str
    created_at: datetime
    result: str = "PROCESSING"
    fail_reason: str = ""
    due_at: datetime | None = None
    finished_at: datetime | None = None


class BillAddress(msgspec.Struct):
    """Where a bill can be fetched until `expires_at`."""

    token: str
    mchid: str
    kind: str
    variant: str
    date: str
    zipped: bool
    altered: bool
    expires_at: datetime
    sub_mchid: str = ""


class Media(msgspec.Struct):
    """An uploaded file."""

    media_id: str
    mchid: str
    file_name: str
    sha256: str
    size: int
