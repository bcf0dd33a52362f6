"""Refunds: pay back, ask, and direct one whose money could not reach the buyer. Pure exchanges.

Rule: a refund has its own number, and a repeat under the same number is executed once. Source: refunds of the protocol.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.answers import Refund
from tongbao.channels.wechatpay.calls import Exchange, call, check_named, encrypted
from tongbao.channels.wechatpay.orders import checked_notify_url, checked_refund_number, further
from tongbao.channels.wechatpay.requests import segment
from tongbao.channels.wechatpay.values import Amount, fen
from tongbao.domain.errors import InvalidInput

REFUNDS = "/v3/refund/domestic/refunds"


def refund(
    account: Account,
    *,
    out_refund_no: str,
    refund_amount: Amount,
    total_amount: Amount,
    out_trade_no: str | None = None,
    transaction_id: str | None = None,
    reason: str | None = None,
    notify_url: str | None = None,
    funds_account: str | None = None,
    sources: Sequence[Mapping[str, object]] | None = None,
    goods_detail: Sequence[Mapping[str, object]] | None = None,
    sub_mchid: str | None = None,
    more: Mapping[str, object] | None = None,
) -> Exchange[Refund]:
    """Pays back all or part, within 365 days and in at most 50 parts. Taken is not done: `status` PROCESSING becomes
    SUCCESS, CLOSED or ABNORMAL later; query it, or be notified.

    Args:
        account: set by the client.
        out_refund_no: this refund's own number, 1 to 64 characters. After an unknown outcome repeat with the same
            number and amount.
        refund_amount: of this refund, fen.
        total_amount: of the order, fen.
        out_trade_no: the merchant's number of the order, or
        transaction_id: WeChat's.
        reason: shown to the buyer, at most 80 bytes.
        notify_url: where the end of the refund is notified. Without it the console's address is told, in another
            format.
        funds_account: `AVAILABLE`, to pay from the balance.
        sources: `amount.from`: accounts (AVAILABLE, UNAVAILABLE) and amounts that add up to `refund_amount`.
        goods_detail: what is given back.
        sub_mchid: acting for a merchant (partner).
    """
    body = {
        "sub_mchid": sub_mchid or account.sub_mchid,
        **_order(out_trade_no, transaction_id),
        "out_refund_no": checked_refund_number(out_refund_no),
        "reason": reason,
        "notify_url": None if notify_url is None else checked_notify_url(notify_url),
        "funds_account": funds_account,
        "amount": _amounts(refund_amount, total_amount, sources),
        "goods_detail": goods_detail,
        **further(more),
    }
    return cast(Refund, (yield from call(account, "POST", REFUNDS, body)))


def _order(out_trade_no: str | None, transaction_id: str | None) -> dict[str, object]:
    """Names the order; when both numbers are given WeChat's wins."""
    if transaction_id:
        return {"transaction_id": transaction_id}
    if not out_trade_no:
        raise InvalidInput("name the order: out_trade_no or transaction_id", param="out_trade_no")
    return {"out_trade_no": out_trade_no}


def _amounts(refund_amount: Amount, total_amount: Amount, sources: object) -> dict[str, object]:
    return {
        "refund": fen(refund_amount, "refund_amount"),
        "total": fen(total_amount, "total_amount"),
        "currency": "CNY",
        "from": sources,
    }


def refund_query(account: Account, *, out_refund_no: str, sub_mchid: str | None = None) -> Exchange[Refund]:
    """The refund `out_refund_no` as WeChat has it."""
    path = f"{REFUNDS}/{segment(checked_refund_number(out_refund_no), 'out_refund_no')}"
    node = yield from call(account, "GET", path, query={"sub_mchid": sub_mchid or account.sub_mchid})
    check_named(path, "out_refund_no", out_refund_no, node)
    return cast(Refund, node)


def abnormal_refund(
    account: Account,
    *,
    refund_id: str,
    out_refund_no: str,
    kind: str,
    bank_type: str | None = None,
    bank_account: str | None = None,
    real_name: str | None = None,
    sub_mchid: str | None = None,
) -> Exchange[Refund]:
    """Directs a refund in status ABNORMAL (the buyer's bank account cannot be used) elsewhere.

    Args:
        refund_id: WeChat's number of the refund.
        out_refund_no: the merchant's.
        kind: `USER_BANK_CARD` or `MERCHANT_BANK_CARD`.
        bank_type, bank_account, real_name: of the card, in plain text; account and name are encrypted here.
    """
    serial, (account_text, name_text) = yield from encrypted(account, bank_account, real_name)
    path = f"{REFUNDS}/{segment(refund_id, 'refund_id')}/apply-abnormal-refund"
    body = {
        "sub_mchid": sub_mchid or account.sub_mchid,
        "out_refund_no": checked_refund_number(out_refund_no),
        "type": kind,
        "bank_type": bank_type,
        "bank_account": account_text,
        "real_name": name_text,
    }
    return cast(Refund, (yield from call(account, "POST", path, body, serial=serial)))
