"""What Alipay answers, by method, as typed dictionaries: the verified node as it was sent, with its own field names.

Rule: amounts are text in yuan, times are text in China time, and only what is useful is listed; every other field that
Alipay sends is there too. `code` is 10000 unless said otherwise.
"""

from typing import Any, TypedDict


class Paid(TypedDict, total=False):
    """Answer of `pay`. `code` 10000: paid; 10003: the buyer is typing the password, query or wait. Amounts: yuan."""

    code: str
    msg: str
    trade_no: str
    out_trade_no: str
    total_amount: str
    receipt_amount: str
    buyer_pay_amount: str
    gmt_payment: str
    buyer_logon_id: str
    buyer_user_id: str
    buyer_open_id: str
    fund_bill_list: list[dict[str, Any]]


class Precreated(TypedDict, total=False):
    """Answer of `precreate`: the text to show as QR, valid for 2 hours."""

    code: str
    msg: str
    out_trade_no: str
    qr_code: str


class Created(TypedDict, total=False):
    """Answer of `create`: `trade_no` goes to the mini program's `my.tradePay`."""

    code: str
    msg: str
    out_trade_no: str
    trade_no: str


class Queried(TypedDict, total=False):
    """Answer of `query`. `trade_status`: WAIT_BUYER_PAY, TRADE_SUCCESS, TRADE_FINISHED, TRADE_CLOSED. Amounts: yuan."""

    code: str
    msg: str
    trade_no: str
    out_trade_no: str
    trade_status: str
    total_amount: str
    receipt_amount: str
    buyer_pay_amount: str
    send_pay_date: str
    buyer_logon_id: str
    buyer_user_id: str
    buyer_open_id: str
    fund_bill_list: list[dict[str, Any]]


class Canceled(TypedDict, total=False):
    """Answer of `cancel`. `action`: close (was unpaid), refund (was paid, paid back), absent (no such trade);
    `retry_flag` Y: call it again."""

    code: str
    msg: str
    trade_no: str
    out_trade_no: str
    action: str
    retry_flag: str


class Closed(TypedDict, total=False):
    """Answer of `close`."""

    code: str
    msg: str
    trade_no: str
    out_trade_no: str


class Refunded(TypedDict, total=False):
    """Answer of `refund`. `fund_change` Y: the money went back now; otherwise ask `refund_query`. `refund_fee` is
    all that was refunded of the trade so far, in yuan."""

    code: str
    msg: str
    trade_no: str
    out_trade_no: str
    fund_change: str
    refund_fee: str
    gmt_refund_pay: str
    buyer_logon_id: str
    buyer_user_id: str


class RefundQueried(TypedDict, total=False):
    """Answer of `refund_query`. Without `refund_status` the refund was not received or failed; `refund_amount` is
    this refund's, in yuan."""

    code: str
    msg: str
    trade_no: str
    out_trade_no: str
    out_request_no: str
    refund_status: str
    refund_amount: str
    total_amount: str
    gmt_refund_pay: str


class Settled(TypedDict, total=False):
    """Answer of `order_settle`."""

    code: str
    msg: str
    trade_no: str
    settle_no: str


class SettlementQueried(TypedDict, total=False):
    """Answer of `order_settle_query`; each detail's `state` is SUCCESS, FAIL or PROCESSING."""

    code: str
    msg: str
    out_request_no: str
    operation_dt: str
    royalty_detail_list: list[dict[str, Any]]


class ReceiversBound(TypedDict, total=False):
    """Answer of `royalty_bind` and `royalty_unbind`: `result_code` SUCCESS or FAIL."""

    code: str
    msg: str
    result_code: str


class ReceiversListed(TypedDict, total=False):
    """Answer of `royalty_query`."""

    code: str
    msg: str
    receiver_list: list[dict[str, Any]]
    total_page_num: int
    total_record_num: int
    current_page_num: int
    current_page_size: int


class Transferred(TypedDict, total=False):
    """Answer of `transfer`: `status` SUCCESS, DEALING, FAIL or REFUND."""

    code: str
    msg: str
    out_biz_no: str
    order_id: str
    pay_fund_order_id: str
    status: str
    trans_date: str


class TransferQueried(TypedDict, total=False):
    """Answer of `transfer_query`; `error_code` and `fail_reason` where it failed."""

    code: str
    msg: str
    out_biz_no: str
    order_id: str
    pay_fund_order_id: str
    status: str
    trans_amount: str
    pay_date: str
    error_code: str
    fail_reason: str


class FundsAuthorised(TypedDict, total=False):
    """Answer of `auth_freeze` and `auth_unfreeze`."""

    code: str
    msg: str
    auth_no: str
    out_order_no: str
    operation_id: str
    out_request_no: str
    amount: str
    status: str


class FundsAuthQueried(TypedDict, total=False):
    """Answer of `auth_query`; amounts in yuan."""

    code: str
    msg: str
    auth_no: str
    out_order_no: str
    total_freeze_amount: str
    rest_amount: str
    total_pay_amount: str
    operation_id: str
    out_request_no: str
    amount: str
    operation_type: str
    status: str


class AgreementQueried(TypedDict, total=False):
    """Answer of `agreement_query`: `status` TEMP, NORMAL or STOP."""

    code: str
    msg: str
    agreement_no: str
    external_agreement_no: str
    status: str
    sign_time: str
    valid_time: str
    invalid_time: str


class AgreementUnsigned(TypedDict, total=False):
    """Answer of `agreement_unsign`."""

    code: str
    msg: str


class TokenGranted(TypedDict, total=False):
    """Answer of `oauth_token`; it carries no `code`."""

    access_token: str
    refresh_token: str
    expires_in: str
    re_expires_in: str
    user_id: str
    open_id: str


class BillLocated(TypedDict, total=False):
    """Answer of `bill_url`: a plain address that dies after 30 seconds."""

    code: str
    msg: str
    bill_download_url: str
    bill_file_code: str
