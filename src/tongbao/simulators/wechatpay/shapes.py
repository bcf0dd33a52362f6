"""What orders and refunds look like on the wire: query replies, code pay replies, notifications.

Rule: an unpaid order shows its numbers and its state only. A paid one shows `attach` even when empty, and an empty
`promotion_detail`, as real replies do. A refund's notification has `refund_status`, its query `status`.
"""

from datetime import datetime
from typing import Any

import msgspec

from tongbao.simulators.wechatpay.model import (
    CLOSED,
    NOTPAY,
    PAYERROR,
    REFUND,
    REVOKED,
    SUCCESS,
    USERPAYING,
    Order,
    Refund,
)
from tongbao.simulators.wechatpay.wire import china_time

DESCRIPTIONS = {
    NOTPAY: "订单未支付",
    SUCCESS: "支付成功",
    REFUND: "订单发生过退款，退款详情请查询退款单",
    CLOSED: "订单已关闭",
    USERPAYING: "需要用户输入支付密码",
    REVOKED: "订单已撤销",
    PAYERROR: "支付失败，请重新下单支付",
}
BANK_TYPE = "OTHERS"


def claimed(order: Order, now: datetime) -> Order:
    """An unpaid order as somebody would have it: paid."""
    return msgspec.structs.replace(
        order, status=SUCCESS, paid_at=now, transaction_id="4200009999202601019999999999", openid=order.openid or "o0"
    )


def merchant_of(order: Order) -> dict[str, Any]:
    """The numbers of app and merchant, as the caller's kind writes them."""
    if not order.sub_mchid:
        return {"appid": order.appid, "mchid": order.mchid}
    more = {"sub_appid": order.sub_appid} if order.sub_appid else {}
    return {"sp_appid": order.appid, "sp_mchid": order.mchid, "sub_mchid": order.sub_mchid, **more}


def transaction(order: Order) -> dict[str, Any]:
    """The transaction object."""
    fields: dict[str, Any] = {
        **merchant_of(order),
        "out_trade_no": order.out_trade_no,
        "trade_state": order.status,
        "trade_state_desc": DESCRIPTIONS[order.status],
    }
    if order.paid_at is None:
        return fields
    return {
        **fields,
        "transaction_id": order.transaction_id,
        "trade_type": order.product,
        "bank_type": BANK_TYPE,
        "attach": order.attach,
        "success_time": china_time(order.paid_at),
        "payer": _payer(order),
        "amount": {
            "total": order.amount_minor,
            "payer_total": order.amount_minor,
            "currency": "CNY",
            "payer_currency": "CNY",
        },
        "promotion_detail": [],
        **({"scene_info": {"device_id": order.device_id}} if order.device_id else {}),
    }


def _payer(order: Order) -> dict[str, str]:
    if not order.sub_mchid:
        return {"openid": order.openid}
    return {"sub_openid" if order.openid_of_sub else "sp_openid": order.openid}


def combined(order: Order, parts: list[Order]) -> dict[str, Any]:
    """A combined order; `parts` that are claimed to be paid take over the claim."""
    fields: dict[str, Any] = {
        "combine_appid": order.appid,
        "combine_mchid": order.mchid,
        "combine_out_trade_no": order.out_trade_no,
        "sub_orders": [_part(order, part) for part in parts],
    }
    if order.device_id:
        fields["scene_info"] = {"device_id": order.device_id}
    if order.paid_at is not None:
        fields["combine_transaction_id"] = order.transaction_id
        fields["combine_payer_info"] = {"openid": order.openid}
    return fields


def _part(order: Order, part: Order) -> dict[str, Any]:
    amount: dict[str, Any] = {"total_amount": part.amount_minor, "currency": "CNY"}
    paid_at = part.paid_at or order.paid_at
    if paid_at is not None:
        amount |= {"payer_amount": part.amount_minor, "payer_currency": "CNY"}
    fields: dict[str, Any] = {
        "mchid": part.mchid,
        "out_trade_no": part.out_trade_no,
        "trade_type": part.product,
        "trade_state": order.status if part.paid_at is None else part.status,
        "attach": part.attach,
        "amount": amount,
    }
    fields |= {name: value for name in ("sub_mchid", "sub_appid") if (value := getattr(part, name))}
    if paid_at is not None:
        number = part.transaction_id or order.transaction_id
        fields |= {"bank_type": BANK_TYPE, "success_time": china_time(paid_at), "transaction_id": number}
    return fields


def refund(order: Order, made: Refund) -> dict[str, Any]:
    """The refund object."""
    fields: dict[str, Any] = {
        "refund_id": made.refund_id,
        "out_refund_no": made.out_refund_no,
        "transaction_id": order.transaction_id,
        "out_trade_no": order.out_trade_no,
        "channel": "ORIGINAL",
        "user_received_account": made.account,
        "create_time": china_time(made.created_at),
        "status": made.status,
        "funds_account": made.funds_account,
        "amount": {
            "total": order.amount_minor,
            "refund": made.amount_minor,
            "from": made.sources,
            "payer_total": order.amount_minor,
            "payer_refund": made.amount_minor,
            "settlement_refund": made.amount_minor,
            "settlement_total": order.amount_minor,
            "discount_refund": 0,
            "currency": "CNY",
        },
        "promotion_detail": [],
    }
    if made.status == SUCCESS and made.finished_at is not None:
        fields["success_time"] = china_time(made.finished_at)
    return fields


def refund_notice(order: Order, made: Refund) -> dict[str, Any]:
    """What is told of a refund that ended."""
    fields: dict[str, Any] = {
        **{name: value for name, value in merchant_of(order).items() if name.endswith("mchid")},
        "out_trade_no": order.out_trade_no,
        "transaction_id": order.transaction_id,
        "out_refund_no": made.out_refund_no,
        "refund_id": made.refund_id,
        "refund_status": made.status,
        "user_received_account": made.account,
        "amount": {
            "total": order.amount_minor,
            "refund": made.amount_minor,
            "payer_total": order.amount_minor,
            "payer_refund": made.amount_minor,
        },
    }
    if made.status == SUCCESS and made.finished_at is not None:
        fields["success_time"] = china_time(made.finished_at)
    return fields
