"""Batches of transfers, the older product: /v3/transfer/batches, its queries and details.

Rule: a batch is ACCEPTED and FINISHED two seconds later; every detail then succeeded or failed for itself (an openid
that is nobody's: OPENID_INVALID; a name that is not the receiver's: NAME_NOT_CORRECT), and what failed comes back.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tongbao.simulators.bank import BalanceShort
from tongbao.simulators.faults import Fault
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import ALNUM, NOTIFY_URL, Fields, Int, List, Obj, Text, check
from tongbao.simulators.wechatpay.ledger import TRANSFERS
from tongbao.simulators.wechatpay.model import Batch, Detail
from tongbao.simulators.wechatpay.notifications import TRANSFER_PLAN, Message
from tongbao.simulators.wechatpay.orders import kept_faults
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import china_time, fingerprint, funds_number

SECONDS = 2
NAME_FROM, NAME_FORBIDDEN_BELOW, DETAILS_MAX = 2_000_00, 30, 1000
_DETAIL: Fields = {
    "out_detail_no": Text("商家明细单号", 32, pattern=ALNUM),
    "transfer_amount": Int("转账金额"),
    "transfer_remark": Text("转账备注", 32, in_characters=True),
    "openid": Text("收款用户openid", 64),
    "user_name": Text("收款用户姓名", 1024, required=False),
}
FIELDS: Fields = {
    "appid": Text("商户appid", 32),
    "out_batch_no": Text("商家批次单号", 32, pattern=ALNUM),
    "batch_name": Text("批次名称", 32, in_characters=True),
    "batch_remark": Text("批次备注", 32, in_characters=True),
    "total_amount": Int("转账总金额"),
    "total_num": Int("转账总笔数"),
    "transfer_detail_list": List("转账明细列表", Obj("转账明细", _DETAIL), DETAILS_MAX),
    "transfer_scene_id": Text("转账场景ID", 36, required=False),
    "notify_url": Text("通知地址", 256, required=False, pattern=NOTIFY_URL),
}
_QUERY: Fields = {
    "need_query_detail": Text("是否查询转账明细单", 5, one_of=("true", "false")),
    "offset": Text("请求资源起始位置", 10, required=False, pattern=r"^\d+$"),
    "limit": Text("最大资源条数", 3, required=False, pattern=r"^\d+$"),
    "detail_status": Text("明细状态", 32, required=False, one_of=("ALL", "SUCCESS", "FAIL", "WAIT_PAY")),
}


def create(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/transfer/batches."""
    body = call.body
    check(body, FIELDS)
    key, print_ = f"{call.merchant.mchid}/{body['out_batch_no']}", _fingerprint(body)
    made = book.batches.get(key)
    if made is None:
        _check(call)
        made = _accept(book, call, key, print_)
    elif made.fingerprint != print_:
        raise Refusal("transfer_differs")
    made = refreshed(book, made)
    return {
        "out_batch_no": made.out_batch_no,
        "batch_id": made.batch_id,
        "create_time": china_time(made.created_at),
        "batch_status": made.status,
    }


def _fingerprint(body: Mapping[str, Any]) -> str:
    items = [{k: v for k, v in item.items() if k != "user_name"} for item in body["transfer_detail_list"]]
    return fingerprint({**body, "transfer_detail_list": items})


def _check(call: Call) -> None:
    body, items = call.body, call.body["transfer_detail_list"]
    total = sum(item["transfer_amount"] for item in items)
    numbers = {item["out_detail_no"] for item in items}
    if body["appid"] not in call.merchant.appids:
        raise Refusal("appid")
    if total != body["total_amount"] or len(items) != body["total_num"] or len(numbers) != len(items):
        raise Refusal("batch_sums")
    for item in items:
        named, amount = bool(item.get("user_name")), item["transfer_amount"]
        if (amount >= NAME_FROM and not named) or (amount < NAME_FORBIDDEN_BELOW and named):
            raise Refusal("transfer_name")


def _accept(book: Book, call: Call, key: str, print_: str) -> Batch:
    body, now = call.body, call.now
    made = Batch(
        key=key,
        mchid=call.merchant.mchid,
        appid=body["appid"],
        out_batch_no=body["out_batch_no"],
        batch_id=funds_number(book.bank, now, "1030"),
        name=body["batch_name"],
        remark=body["batch_remark"],
        amount_minor=body["total_amount"],
        fingerprint=print_,
        created_at=now,
        updated_at=now,
        details=[_detail(book, call, item) for item in body["transfer_detail_list"]],
        due_at=now + timedelta(seconds=SECONDS),
        scene=body.get("transfer_scene_id", ""),
        notify_url=body.get("notify_url", ""),
        faults=kept_faults(call),
    )
    if book.strikes(call, Fault.TRANSFER_FAILED):
        for detail in made.details:
            detail.fail_reason = "TRANSFER_RISK"
    try:
        if book.strikes(call, Fault.SELLER_BALANCE_SHORT):
            raise BalanceShort
        book.ledger.taken(made.mchid, TRANSFERS, made.amount_minor, made.batch_id, made.out_batch_no, "转账到零钱")
    except BalanceShort:
        raise Refusal("merchant_short") from None
    book.timers.set(made.due_at, "batch", key)
    return book.batches.put(key, made)


def _detail(book: Book, call: Call, item: Mapping[str, Any]) -> Detail:
    name = book.merchants.decrypted(call.merchant, call.serial, item["user_name"]) if item.get("user_name") else ""
    number = funds_number(book.bank, call.now, "1040")
    amount, remark = item["transfer_amount"], item["transfer_remark"]
    return Detail(item["out_detail_no"], number, amount, remark, item["openid"], name)


def query(book: Book, call: Call) -> Mapping[str, Any]:
    """GET .../out-batch-no/{out_batch_no} and .../batch-id/{batch_id}."""
    check(call.query, _QUERY, "query")
    made = _find(book, call)
    offset, limit = int(call.query.get("offset") or 0), int(call.query.get("limit") or 20)
    fields: dict[str, Any] = {"transfer_batch": _facts(made), "offset": offset, "limit": limit}
    if call.query["need_query_detail"] == "true":
        wanted = call.query.get("detail_status") or "ALL"
        shown = [one for one in made.details if wanted in ("ALL", one.status)][offset : offset + limit]
        names = ("detail_id", "out_detail_no")
        fields["transfer_detail_list"] = [
            {**{name: getattr(one, name) for name in names}, "detail_status": one.status} for one in shown
        ]
    return fields


def detail(book: Book, call: Call) -> Mapping[str, Any]:
    """GET .../details/out-detail-no/{out_detail_no} and .../details/detail-id/{detail_id}."""
    made = _find(book, call)
    for name in ("out_detail_no", "detail_id"):
        found = next((one for one in made.details if getattr(one, name) == call.params.get(name)), None)
        if found is not None:
            return _detail_facts(made, found)
    raise Refusal("batch_missing")


def _detail_facts(made: Batch, one: Detail) -> dict[str, Any]:
    return {
        "mchid": made.mchid,
        "out_batch_no": made.out_batch_no,
        "batch_id": made.batch_id,
        "appid": made.appid,
        "out_detail_no": one.out_detail_no,
        "detail_id": one.detail_id,
        "detail_status": one.status,
        "transfer_amount": one.amount_minor,
        "transfer_remark": one.remark,
        "openid": one.openid,
        "initiate_time": china_time(made.created_at),
        "update_time": china_time(made.updated_at),
        **({"fail_reason": one.fail_reason} if one.status == "FAIL" else {}),
    }


def _find(book: Book, call: Call) -> Batch:
    if "out_batch_no" in call.params:
        found = book.batches.get(f"{call.merchant.mchid}/{call.params['out_batch_no']}")
    else:
        found = next((one for one in book.batches.values() if one.batch_id == call.params["batch_id"]), None)
    if found is None or found.mchid != call.merchant.mchid:
        raise Refusal("batch_missing")
    return refreshed(book, found)


def _facts(made: Batch) -> dict[str, Any]:
    fields = {
        "mchid": made.mchid,
        "out_batch_no": made.out_batch_no,
        "batch_id": made.batch_id,
        "appid": made.appid,
        "batch_status": made.status,
        "batch_type": "API",
        "batch_name": made.name,
        "batch_remark": made.remark,
        "total_amount": made.amount_minor,
        "total_num": len(made.details),
        "create_time": china_time(made.created_at),
        "update_time": china_time(made.updated_at),
    }
    return fields | _sums(made)


def _sums(made: Batch) -> dict[str, int]:
    well = [one.amount_minor for one in made.details if one.status == "SUCCESS"]
    badly = [one.amount_minor for one in made.details if one.status == "FAIL"]
    return {
        "success_num": len(well),
        "success_amount": sum(well),
        "fail_num": len(badly),
        "fail_amount": sum(badly),
    }


def refreshed(book: Book, made: Batch) -> Batch:
    if made.due_at is not None and made.due_at <= book.bank.clock.now():
        _finish(book, made)
    return made


def _finish(book: Book, made: Batch) -> None:
    made.status, made.due_at, made.updated_at = "FINISHED", None, book.bank.clock.now()
    for one in made.details:
        _transfer(book, made, one)
    back = _sums(made)["fail_amount"]
    if back:
        number, voucher = made.batch_id, made.out_batch_no
        book.ledger.given_back(TRANSFERS, made.mchid, back, number, voucher, "转账到零钱退回")
    message = Message(
        mchid=made.mchid,
        url=made.notify_url,
        about=made.key,
        label=f"batch finished {made.out_batch_no}",
        event="MCHTRANSFER.BATCH.FINISHED",
        summary="商家转账批次完成通知",
        kind="mch_payment",
        fields={
            "mchid": made.mchid,
            "out_batch_no": made.out_batch_no,
            "batch_id": made.batch_id,
            "batch_status": made.status,
            "total_num": len(made.details),
            "total_amount": made.amount_minor,
            **_sums(made),
            "update_time": china_time(made.updated_at),
        },
        plan=TRANSFER_PLAN,
    )
    made.faults = book.notices.send(message, made.faults)
    book.batches.put(made.key, made)


def _transfer(book: Book, made: Batch, one: Detail) -> None:
    buyer = book.bank.buyer(book.merchants.buyer_id([made.appid], one.openid))
    if not one.fail_reason and buyer is None:
        one.fail_reason = "OPENID_INVALID"
    if not one.fail_reason and buyer is not None and one.user_name not in ("", buyer.name):
        one.fail_reason = "NAME_NOT_CORRECT"
    one.status = "FAIL" if one.fail_reason else "SUCCESS"
    if buyer is not None and one.status == "SUCCESS":
        book.ledger.arrived(TRANSFERS, buyer, one.amount_minor)


def start(book: Book) -> None:
    """Reminders for what is under way."""

    def look(key: str) -> None:
        made = book.batches.get(key)
        if made is not None:
            refreshed(book, made)

    book.timers.on("batch", look)
    for made in book.batches.values():
        book.timers.set(made.due_at, "batch", made.key)
