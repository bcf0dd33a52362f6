"""Money to users: transfers that the user confirms (商家转账), and the older batches. Pure exchanges.

Rule: a transfer has its own number, and a repeat under the same number and data is executed once; taken is not done.
Names are encrypted here. Source: transfers of the protocol.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.answers import Batch, BatchDetail, BatchMade, Transfer, TransferMade
from tongbao.channels.wechatpay.calls import Exchange, call, check_named, encrypted
from tongbao.channels.wechatpay.orders import app_of, checked_alnum, checked_notify_url, further
from tongbao.channels.wechatpay.requests import segment
from tongbao.channels.wechatpay.values import Amount, fen
from tongbao.domain.errors import InvalidInput

TRANSFERS = "/v3/fund-app/mch-transfer/transfer-bills"
BATCHES = "/v3/transfer/batches"


def transfer(
    account: Account,
    *,
    out_bill_no: str,
    transfer_scene_id: str,
    openid: str,
    transfer_amount: Amount,
    transfer_remark: str,
    transfer_scene_report_infos: Sequence[Mapping[str, object]],
    user_name: str | None = None,
    user_recv_perception: str | None = None,
    user_recv_style: str | None = None,
    notify_url: str | None = None,
    appid: str | None = None,
    more: Mapping[str, object] | None = None,
) -> Exchange[TransferMade]:
    """Offers money to a user, who confirms it with `package_info` (`requestMerchantTransfer`) within 24 hours.

    Args:
        account: set by the client.
        out_bill_no: the transfer's own number, 1 to 32 letters and digits.
        transfer_scene_id: one that the merchant was granted, e.g. `1000`.
        openid: the user's.
        transfer_amount: fen.
        transfer_remark: what the user sees, at most 32 characters.
        transfer_scene_report_infos: what the scene asks for: `info_type` and `info_content` each.
        user_name: the user's real name in plain text; required from 2000 yuan.
        user_recv_perception: what the user sees it as, from the scene's list.
        user_recv_style: `CONFIRM_PAGE` or `RED_PACKET`.
        notify_url: where the end of the transfer is notified.
    """
    number = checked_alnum(out_bill_no, "out_bill_no")
    amount = fen(transfer_amount, "transfer_amount")
    serial, (name,) = yield from encrypted(account, user_name)
    body = {
        "appid": app_of(account, appid),
        "out_bill_no": number,
        "transfer_scene_id": transfer_scene_id,
        "openid": openid,
        "user_name": name,
        "transfer_amount": amount,
        "transfer_remark": transfer_remark,
        "notify_url": None if notify_url is None else checked_notify_url(notify_url),
        "user_recv_perception": user_recv_perception,
        "transfer_scene_report_infos": transfer_scene_report_infos,
        "user_recv_style": {"type": user_recv_style} if user_recv_style else None,
        **further(more),
    }
    return cast(TransferMade, (yield from call(account, "POST", TRANSFERS, body, serial=serial)))


def transfer_query(
    account: Account, *, out_bill_no: str | None = None, transfer_bill_no: str | None = None
) -> Exchange[Transfer]:
    """The transfer as WeChat has it, for 30 days.

    Args:
        out_bill_no: the merchant's number, or
        transfer_bill_no: WeChat's, which wins when both are given.
    """
    path = f"{TRANSFERS}/{_named('bill-no', out_bill_no, transfer_bill_no, 'transfer')}"
    node = yield from call(account, "GET", path)
    check_named(path, "out_bill_no", None if transfer_bill_no else out_bill_no, node)
    return cast(Transfer, node)


def transfer_cancel(account: Account, *, out_bill_no: str) -> Exchange[Transfer]:
    """Takes the transfer `out_bill_no` back, which the user has not confirmed; `state` CANCELING becomes CANCELLED."""
    path = f"{TRANSFERS}/out-bill-no/{segment(out_bill_no, 'out_bill_no')}/cancel"
    return cast(Transfer, (yield from call(account, "POST", path, {})))


def batch_transfer(
    account: Account,
    *,
    out_batch_no: str,
    batch_name: str,
    batch_remark: str,
    details: Sequence[Mapping[str, object]],
    transfer_scene_id: str | None = None,
    notify_url: str | None = None,
    appid: str | None = None,
    more: Mapping[str, object] | None = None,
) -> Exchange[BatchMade]:
    """The older batches (商家转账到零钱), closed to new merchants. Totals are counted here.

    Args:
        out_batch_no: the batch's own number, 1 to 32 letters and digits.
        batch_name, batch_remark: what the user sees, at most 32 characters each.
        details: each with `out_detail_no`, `transfer_amount` (fen), `transfer_remark`, `openid`, and `user_name` in
            plain text where one is required.
        transfer_scene_id: one that the merchant was granted.
        notify_url: where the end of the batch is notified.
    """
    amounts = [
        fen(one.get("transfer_amount"), f"details[{at}].transfer_amount")  # type: ignore[arg-type]  # refuses others
        for at, one in enumerate(details)
    ]
    names = [str(one["user_name"]) if one.get("user_name") else None for one in details]
    serial, sealed = yield from encrypted(account, *names)
    body = {
        "appid": app_of(account, appid),
        "out_batch_no": checked_alnum(out_batch_no, "out_batch_no"),
        "batch_name": batch_name,
        "batch_remark": batch_remark,
        "total_amount": sum(amounts),
        "total_num": len(amounts),
        "transfer_detail_list": [
            {**one, "user_name": name, "transfer_amount": amount}
            for one, name, amount in zip(details, sealed, amounts, strict=True)
        ],
        "transfer_scene_id": transfer_scene_id,
        "notify_url": None if notify_url is None else checked_notify_url(notify_url),
        **further(more),
    }
    return cast(BatchMade, (yield from call(account, "POST", BATCHES, body, serial=serial)))


def batch_query(
    account: Account,
    *,
    out_batch_no: str | None = None,
    batch_id: str | None = None,
    need_query_detail: bool = False,
    detail_status: str | None = None,
    offset: int | None = None,
    limit: int | None = None,
) -> Exchange[Batch]:
    """A batch, with its details where asked for. FINISHED does not mean that every detail succeeded.

    Args:
        out_batch_no: the merchant's number, or
        batch_id: WeChat's, which wins when both are given.
        need_query_detail: True tells the details too.
        detail_status: ALL, SUCCESS, FAIL or WAIT_PAY.
        offset, limit: a page of 20 to 100 details.
    """
    path = f"{BATCHES}/{_batch(out_batch_no, batch_id)}"
    asked = {
        "need_query_detail": "true" if need_query_detail else "false",
        "offset": offset,
        "limit": limit,
        "detail_status": detail_status,
    }
    return cast(Batch, (yield from call(account, "GET", path, query=asked)))


def batch_detail_query(
    account: Account,
    *,
    out_batch_no: str | None = None,
    batch_id: str | None = None,
    out_detail_no: str | None = None,
    detail_id: str | None = None,
) -> Exchange[BatchDetail]:
    """One detail of a batch. `user_name` comes encrypted: see `decrypt_field`.

    Args:
        out_batch_no, out_detail_no: the merchant's numbers, or
        batch_id, detail_id: WeChat's; give both of a kind.
    """
    if batch_id and detail_id:
        detail = f"details/detail-id/{segment(detail_id, 'detail_id')}"
    else:
        detail = f"details/out-detail-no/{segment(out_detail_no or '', 'out_detail_no')}"
    path = f"{BATCHES}/{_batch(out_batch_no, batch_id)}/{detail}"
    return cast(BatchDetail, (yield from call(account, "GET", path)))


def _batch(out_batch_no: str | None, batch_id: str | None) -> str:
    if batch_id:
        return f"batch-id/{segment(batch_id, 'batch_id')}"
    return _named("batch-no", out_batch_no, None, "batch")


def _named(word: str, own: str | None, theirs: str | None, what: str) -> str:
    """`out-bill-no/...` or `transfer-bill-no/...`."""
    if theirs:
        return f"{what}-{word}/{segment(theirs, what)}"
    if not own:
        raise InvalidInput(f"name the {what} by one of its numbers", param=f"out_{word.replace('-', '_')}")
    return f"out-{word}/{segment(own, what)}"
