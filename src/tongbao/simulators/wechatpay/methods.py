"""Every API of the simulator in one table, with the limits that are published."""

from tongbao.simulators.wechatpay import (
    batches,
    bills,
    certificates,
    combine,
    counter,
    orders,
    receivers,
    refunds,
    sharing,
    transfers,
    uploads,
)
from tongbao.simulators.wechatpay.gateway import Route

_PAY, _PARTNER, _COMBINE = "/v3/pay/transactions", "/v3/pay/partner/transactions", "/v3/combine-transactions"
_REFUNDS, _BILLS = "/v3/refund/domestic/refunds", "/v3/fund-app/mch-transfer/transfer-bills"
_BATCHES, _SHARING = "/v3/transfer/batches", "/v3/profitsharing"
_NUMBER = "out-trade-no/{out_trade_no}"


def _payments(base: str) -> tuple[Route, ...]:
    return (
        Route("POST", f"{base}/jsapi", orders.create, per_second=500),
        Route("POST", f"{base}/native", orders.create),
        Route("POST", f"{base}/app", orders.create),
        Route("POST", f"{base}/h5", orders.create),
        Route("POST", f"{base}/codepay", counter.pay, per_second=33),
        Route("GET", f"{base}/id/{{transaction_id}}", orders.query),
        Route("GET", f"{base}/{_NUMBER}", orders.query),
        Route("POST", f"{base}/{_NUMBER}/close", orders.close),
        Route("POST", f"{base}/{_NUMBER}/reverse", counter.reverse),
    )


ROUTES: tuple[Route, ...] = (
    *_payments(_PAY),
    *_payments(_PARTNER),
    *(Route("POST", f"{_COMBINE}/{kind}", combine.create) for kind in ("jsapi", "native", "app", "h5")),
    Route("GET", f"{_COMBINE}/out-trade-no/{{combine_out_trade_no}}", combine.query),
    Route("GET", f"{_COMBINE}/id/{{combine_transaction_id}}", combine.query),
    Route("POST", f"{_COMBINE}/out-trade-no/{{combine_out_trade_no}}/close", combine.close),
    Route("POST", _REFUNDS, refunds.create, per_second=150, failing_per_second=6),
    Route("GET", f"{_REFUNDS}/{{out_refund_no}}", refunds.query, per_second=300),
    Route("POST", f"{_REFUNDS}/{{refund_id}}/apply-abnormal-refund", refunds.apply_abnormal),
    Route("GET", "/v3/certificates", certificates.download, per_second=1000),
    Route("GET", "/v3/bill/tradebill", bills.trade),
    Route("GET", "/v3/bill/fundflowbill", bills.fund_flow, per_second=3),
    Route("GET", bills.PATH, bills.download),
    Route("POST", _BILLS, transfers.create, per_second=100),
    Route("GET", f"{_BILLS}/out-bill-no/{{out_bill_no}}", transfers.query, per_second=100),
    Route("GET", f"{_BILLS}/transfer-bill-no/{{transfer_bill_no}}", transfers.query, per_second=100),
    Route(
        "POST",
        f"{_BILLS}/out-bill-no/{{out_bill_no}}/cancel",
        transfers.cancel,
        per_second=20,
        limit_words="cancel_limited",
    ),
    Route("POST", _BATCHES, batches.create),
    Route("GET", f"{_BATCHES}/out-batch-no/{{out_batch_no}}", batches.query),
    Route("GET", f"{_BATCHES}/batch-id/{{batch_id}}", batches.query),
    Route("GET", f"{_BATCHES}/out-batch-no/{{out_batch_no}}/details/out-detail-no/{{out_detail_no}}", batches.detail),
    Route("GET", f"{_BATCHES}/batch-id/{{batch_id}}/details/detail-id/{{detail_id}}", batches.detail),
    Route("POST", f"{_SHARING}/orders", sharing.create, per_second=300, limit_words="share_limited"),
    Route("GET", f"{_SHARING}/orders/{{out_order_no}}", sharing.query, per_second=500, limit_words="share_limited"),
    Route("POST", f"{_SHARING}/orders/unfreeze", sharing.unfreeze),
    Route("GET", f"{_SHARING}/transactions/{{transaction_id}}/amounts", sharing.amounts),
    Route("POST", f"{_SHARING}/return-orders", receivers.give_back, per_second=100, limit_words="share_limited"),
    Route("GET", f"{_SHARING}/return-orders/{{out_return_no}}", receivers.return_query),
    Route("POST", f"{_SHARING}/receivers/add", receivers.add),
    Route("POST", f"{_SHARING}/receivers/delete", receivers.delete),
    Route("GET", f"{_SHARING}/merchant-configs/{{sub_mchid}}", receivers.configuration),
    Route("GET", f"{_SHARING}/bills", bills.sharing),
    Route("POST", "/v3/merchant/media/upload", uploads.image, upload=True),
    Route("POST", "/v3/merchant/media/video_upload", uploads.video, upload=True),
    Route("POST", "/v3/marketing/favor/media/image-upload", uploads.marketing_image, upload=True),
)
