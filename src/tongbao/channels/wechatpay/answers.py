"""What WeChat Pay answers, by method, as typed dictionaries: the verified body as it was sent, in its own words.

Rule: amounts are whole fen, times are RFC 3339 in China time, and only what is useful is listed; every other field that
WeChat sends is there too, and any listed one may be missing.
"""

from typing import Any, TypedDict


class CodeUrl(TypedDict, total=False):
    """Answer of `native_pay`: the text to show as QR, for 2 hours."""

    code_url: str


class PrepayId(TypedDict, total=False):
    """Answer of `jsapi_pay` and `app_pay`: good for 2 hours."""

    prepay_id: str


class H5Url(TypedDict, total=False):
    """Answer of `h5_pay`: an address for the phone's browser, for 5 minutes."""

    h5_url: str


class JsapiParams(TypedDict):
    """What `jsapi_params` makes for `getBrandWCPayRequest`."""

    appId: str
    timeStamp: str
    nonceStr: str
    package: str
    signType: str
    paySign: str


class AppParams(TypedDict):
    """What `app_params` makes for WeChat's SDK."""

    appId: str
    partnerId: str
    prepayId: str
    package: str
    nonceStr: str
    timeStamp: str
    sign: str


class CombinedMade(TypedDict, total=False):
    """Answer of `combined_pay`: one of the three, by kind."""

    code_url: str
    prepay_id: str
    h5_url: str


class Transaction(TypedDict, total=False):
    """Answer of `query` and `code_pay`, and the content of a payment's notification. `trade_state`: NOTPAY, SUCCESS,
    REFUND, CLOSED, USERPAYING, REVOKED or PAYERROR."""

    appid: str
    mchid: str
    sp_appid: str
    sp_mchid: str
    sub_appid: str
    sub_mchid: str
    out_trade_no: str
    transaction_id: str
    trade_type: str
    trade_state: str
    trade_state_desc: str
    bank_type: str
    attach: str
    success_time: str
    payer: dict[str, Any]
    amount: dict[str, Any]
    promotion_detail: list[dict[str, Any]]


class CombinedOrder(TypedDict, total=False):
    """Answer of `combined_query`; each of `sub_orders` has its own `trade_state`."""

    combine_appid: str
    combine_mchid: str
    combine_out_trade_no: str
    combine_transaction_id: str
    combine_payer_info: dict[str, Any]
    sub_orders: list[dict[str, Any]]


class Reversed(TypedDict, total=False):
    """Answer of `reverse`."""

    appid: str
    mchid: str
    out_trade_no: str


class Refund(TypedDict, total=False):
    """Answer of `refund`, `refund_query` and `abnormal_refund`. `status`: PROCESSING, SUCCESS, CLOSED or ABNORMAL."""

    refund_id: str
    out_refund_no: str
    transaction_id: str
    out_trade_no: str
    channel: str
    user_received_account: str
    create_time: str
    success_time: str
    status: str
    funds_account: str
    amount: dict[str, Any]
    promotion_detail: list[dict[str, Any]]


class BillLocated(TypedDict, total=False):
    """Answer of the `..._url` methods: an address that dies soon, and the SHA-1 of the file before it was packed."""

    hash_type: str
    hash_value: str
    download_url: str


class TransferMade(TypedDict, total=False):
    """Answer of `transfer`; `package_info` only in state WAIT_USER_CONFIRM."""

    out_bill_no: str
    transfer_bill_no: str
    create_time: str
    state: str
    fail_reason: str
    package_info: str


class Transfer(TypedDict, total=False):
    """Answer of `transfer_query` and `transfer_cancel`. `state`: ACCEPTED, PROCESSING, WAIT_USER_CONFIRM, TRANSFERING
    (sic), SUCCESS, FAIL, CANCELING or CANCELLED. `user_name` comes encrypted."""

    mch_id: str
    out_bill_no: str
    transfer_bill_no: str
    appid: str
    state: str
    transfer_amount: int
    transfer_remark: str
    fail_reason: str
    openid: str
    user_name: str
    create_time: str
    update_time: str


class BatchMade(TypedDict, total=False):
    """Answer of `batch_transfer`."""

    out_batch_no: str
    batch_id: str
    create_time: str
    batch_status: str


class Batch(TypedDict, total=False):
    """Answer of `batch_query`. `batch_status`: ACCEPTED, PROCESSING, FINISHED, CLOSED or WAIT_PAY."""

    transfer_batch: dict[str, Any]
    transfer_detail_list: list[dict[str, Any]]
    offset: int
    limit: int


class BatchDetail(TypedDict, total=False):
    """Answer of `batch_detail_query`. `detail_status`: INIT, WAIT_PAY, PROCESSING, SUCCESS or FAIL."""

    out_batch_no: str
    batch_id: str
    out_detail_no: str
    detail_id: str
    detail_status: str
    transfer_amount: int
    fail_reason: str
    openid: str
    user_name: str


class ProfitShare(TypedDict, total=False):
    """Answer of `profit_share`, `profit_share_query` and `profit_unfreeze`. `state`: PROCESSING or FINISHED; each
    receiver has its own `result`: PENDING, SUCCESS or CLOSED."""

    transaction_id: str
    out_order_no: str
    order_id: str
    state: str
    receivers: list[dict[str, Any]]


class ProfitReturn(TypedDict, total=False):
    """Answer of `profit_return` and `profit_return_query`. `result`: PROCESSING, SUCCESS or FAILED."""

    order_id: str
    out_order_no: str
    out_return_no: str
    return_id: str
    return_mchid: str
    amount: int
    description: str
    result: str
    fail_reason: str
    create_time: str
    finish_time: str


class ProfitReceiver(TypedDict, total=False):
    """Answer of `receiver_add` and `receiver_delete`."""

    type: str
    account: str
    name: str
    relation_type: str
    custom_relation: str


class Unsplit(TypedDict, total=False):
    """Answer of `profit_unsplit`."""

    transaction_id: str
    unsplit_amount: int


class Ratio(TypedDict, total=False):
    """Answer of `profit_ratio`: `max_ratio` 2000 is 20 %."""

    sub_mchid: str
    max_ratio: int


class Uploaded(TypedDict, total=False):
    """Answer of `upload_image`."""

    media_id: str
    media_url: str
