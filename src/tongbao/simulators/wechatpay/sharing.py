"""Profit sharing: /v3/profitsharing/orders, unfreeze, and what is left to share.

Rule: only an order that was created for it, a minute after payment, within 30 days, at most 50 times, up to the
merchant's largest part and what is left after the fee. Each receiver succeeds or fails for itself (one that was never
added: NO_RELATION); a sharing is FINISHED two seconds after it was accepted. Codes of refusals are not verified. An
unfreeze that uses a number again looks like a success and does nothing, as the real one does.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tongbao.simulators.bank import BalanceShort
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import WIDE_NO, Bool, Fields, Int, List, Obj, Text, check, require
from tongbao.simulators.wechatpay.ledger import RATE_ONE
from tongbao.simulators.wechatpay.model import PAID_STATES, Order, Part, Sharing
from tongbao.simulators.wechatpay.notifications import Message
from tongbao.simulators.wechatpay.orders import owner_of
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import china_time, fingerprint, funds_number

SECONDS, TIMES_MAX = 2, 50
EARLIEST, LATEST = timedelta(minutes=1), timedelta(days=30)
TO_MERCHANT = "MERCHANT_ID"
KINDS = (TO_MERCHANT, "PERSONAL_OPENID", "PERSONAL_SUB_OPENID")
SHARE_NO = Text("商户分账单号", 64, pattern=WIDE_NO)
SUB: Fields = {"sub_mchid": Text("子商户号", 32, required=False), "sub_appid": Text("子商户应用ID", 32, required=False)}
_RECEIVER: Fields = {
    "type": Text("分账接收方类型", 32, one_of=KINDS),
    "account": Text("分账接收方账号", 64),
    "name": Text("分账个人接收方姓名", 1024, required=False),
    "amount": Int("分账金额"),
    "description": Text("分账描述", 80),
}
FIELDS: Fields = {
    "appid": Text("应用ID", 32, required=False),
    "transaction_id": Text("微信订单号", 32),
    "out_order_no": SHARE_NO,
    "receivers": List("分账接收方列表", Obj("分账接收方", _RECEIVER), 50),
    "unfreeze_unsplit": Bool("是否解冻剩余未分资金", required=True),
    **SUB,
}
_UNFREEZE: Fields = {
    "transaction_id": Text("微信订单号", 32),
    "out_order_no": SHARE_NO,
    "description": Text("分账描述", 80),
    **SUB,
}


def create(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/profitsharing/orders."""
    body = call.body
    check(body, FIELDS)
    if any(item["type"] != TO_MERCHANT for item in body["receivers"]) and not body.get("appid"):
        require(body, "appid", "应用ID", "body")
    for item in body["receivers"]:
        if item.get("name"):
            book.merchants.decrypted(call.merchant, call.serial, item["name"])
    order = _order(book, call, body["transaction_id"])
    print_ = fingerprint([{k: v for k, v in item.items() if k != "name"} for item in body["receivers"]])
    made = book.sharings.get(f"{order.owner}/{body['out_order_no']}")
    if made is not None:
        if made.fingerprint != print_ or made.order_key != order.key:
            raise Refusal("share_differs")
        return facts(refreshed(book, made))
    _check(call, order, sum(item["amount"] for item in body["receivers"]))
    parts = [_part(book, call, item) for item in body["receivers"]]
    return facts(_accept(book, call, order, print_, parts, unfreezes=body["unfreeze_unsplit"]))


def unfreeze(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/profitsharing/orders/unfreeze: what is left goes to the merchant."""
    body = call.body
    check(body, _UNFREEZE)
    order = _order(book, call, body["transaction_id"])
    made = book.sharings.get(f"{order.owner}/{body['out_order_no']}")
    if made is not None:
        return facts(refreshed(book, made))
    if not order.profit_sharing:
        raise Refusal("share_not_flagged")
    rest = unsplit(order)
    part = Part(TO_MERCHANT, order.payee, rest, body["description"], funds_number(book.bank, call.now, "3601"))
    return facts(_accept(book, call, order, fingerprint("unfreeze"), [part] if rest else [], unfreezes=True))


def query(book: Book, call: Call) -> Mapping[str, Any]:
    """GET /v3/profitsharing/orders/{out_order_no}?transaction_id=."""
    number = require(call.query, "transaction_id", "微信订单号", "query")
    made = book.sharings.get(f"{owner_of(book, call, call.query)}/{call.params['out_order_no']}")
    if made is None or made.transaction_id != number:
        raise Refusal("share_missing")
    return facts(refreshed(book, made))


def amounts(book: Book, call: Call) -> Mapping[str, Any]:
    """GET /v3/profitsharing/transactions/{transaction_id}/amounts."""
    order = book.by_transaction(call.params["transaction_id"])
    if order is None or order.mchid != call.merchant.mchid:
        raise Refusal("refund_order_missing")
    return {"transaction_id": order.transaction_id, "unsplit_amount": unsplit(order)}


def unsplit(order: Order) -> int:
    """What could still be shared."""
    if not order.profit_sharing or order.unfrozen:
        return 0
    return max(0, order.amount_minor - order.fee_minor - order.refunded_minor - order.shared_minor)


def _order(book: Book, call: Call, number: str) -> Order:
    order = book.by_transaction(number)
    if order is None or order.owner != owner_of(book, call, call.body) or order.subs:
        raise Refusal("refund_order_missing")
    return order


def _check(call: Call, order: Order, wanted: int) -> None:
    """Raises Refusal."""
    age = call.now - (order.paid_at or call.now)
    most = order.amount_minor * call.merchant.share_rate // RATE_ONE
    for broken, words in (
        (not order.profit_sharing or order.status not in PAID_STATES, "share_not_flagged"),
        (age < EARLIEST, "share_early"),
        (order.unfrozen or age > LATEST, "share_late"),
        (order.share_count >= TIMES_MAX, "share_often"),
        (order.shared_minor + wanted > most, "share_ratio"),
        (wanted > unsplit(order), "share_short"),
    ):
        if broken:
            raise Refusal(words)


def _part(book: Book, call: Call, item: Mapping[str, Any]) -> Part:
    number = funds_number(book.bank, call.now, "3601")
    part = Part(item["type"], item["account"], item["amount"], item["description"], number)
    if f"{call.merchant.mchid}/{part.kind}/{part.account}" not in book.receivers:
        part.fail_reason = "NO_RELATION"
    return part


def _accept(book: Book, call: Call, order: Order, print_: str, parts: list[Part], *, unfreezes: bool) -> Sharing:
    made = Sharing(
        key=f"{order.owner}/{call.body['out_order_no']}",
        mchid=call.merchant.mchid,
        order_key=order.key,
        transaction_id=order.transaction_id,
        out_order_no=call.body["out_order_no"],
        order_id=funds_number(book.bank, call.now, "3008"),
        fingerprint=print_,
        created_at=call.now,
        parts=parts,
        unfreezes=unfreezes,
        due_at=call.now + timedelta(seconds=SECONDS),
    )
    order.share_count += 1
    order.shared_minor += sum(part.amount_minor for part in parts if part.account != order.payee)
    order.unfrozen = order.unfrozen or unfreezes
    book.orders.put(order.key, order)
    book.timers.set(made.due_at, "sharing", made.key)
    return book.sharings.put(made.key, made)


def facts(made: Sharing) -> dict[str, Any]:
    """The sharing as it is shown."""
    return {
        "transaction_id": made.transaction_id,
        "out_order_no": made.out_order_no,
        "order_id": made.order_id,
        "state": made.state,
        "receivers": [_shown(made, part) for part in made.parts],
    }


def _shown(made: Sharing, part: Part) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "amount": part.amount_minor,
        "description": part.description,
        "type": part.kind,
        "account": part.account,
        "result": part.result,
        "create_time": china_time(made.created_at),
        "finish_time": china_time(part.finished_at or made.created_at),
        "detail_id": part.detail_id,
    }
    return fields | ({"fail_reason": part.fail_reason} if part.result == "CLOSED" else {})


def refreshed(book: Book, made: Sharing) -> Sharing:
    """The sharing after what time has done to it."""
    order = book.orders.get(made.order_key)
    if made.due_at is not None and made.due_at <= book.bank.clock.now() and order is not None:
        made.state, made.due_at = "FINISHED", None
        for part in made.parts:
            _share(book, made, order, part)
        book.sharings.put(made.key, made)
        book.orders.put(order.key, order)
    return made


def _share(book: Book, made: Sharing, order: Order, part: Part) -> None:
    part.finished_at = book.bank.clock.now()
    mine = part.kind == TO_MERCHANT and part.account == order.payee
    if not part.fail_reason and not mine:
        part.fail_reason = _moved(book, made, order, part)
    part.result = "CLOSED" if part.fail_reason else "SUCCESS"
    if part.result == "CLOSED":
        order.shared_minor -= part.amount_minor
    elif part.kind == TO_MERCHANT and not mine:
        _tell(book, made, part)


def _moved(book: Book, made: Sharing, order: Order, part: Part) -> str:
    """Moves one part; returns why it could not."""
    buyer = book.bank.buyer(book.merchants.buyer_id([order.appid, order.sub_appid], part.account))
    try:
        if part.kind == TO_MERCHANT:
            if not book.merchants.exists(part.account):
                return "ACCOUNT_ABNORMAL"
            book.ledger.shared(order.payee, part.account, part.amount_minor, made.order_id, made.out_order_no, "分账")
        elif buyer is None:
            return "ACCOUNT_ABNORMAL"
        else:
            book.ledger.shared_with_buyer(order.payee, buyer, part.amount_minor, made.order_id, made.out_order_no)
    except BalanceShort:
        return "PAYER_ACCOUNT_ABNORMAL"
    return ""


def _tell(book: Book, made: Sharing, part: Part) -> None:
    """Receiving merchants are told, at the address that they set."""
    receiver = book.merchants.get(part.account)
    assert receiver is not None, "it has the money"
    message = Message(
        mchid=part.account,
        url=receiver.notify_url,
        about=made.key,
        label=f"shared {made.out_order_no}",
        event="TRANSACTION.SUCCESS",
        summary="分账动账通知",
        kind="profitsharing",
        fields={
            "mchid": part.account,
            "transaction_id": made.transaction_id,
            "order_id": part.detail_id,
            "out_order_no": made.out_order_no,
            "receiver": {
                "type": part.kind,
                "account": part.account,
                "amount": part.amount_minor,
                "description": part.description,
            },
            "success_time": china_time(book.bank.clock.now()),
        },
    )
    book.notices.send(message, [])


def start(book: Book) -> None:
    """Reminders for what is under way."""

    def look(key: str) -> None:
        made = book.sharings.get(key)
        if made is not None:
            refreshed(book, made)

    book.timers.on("sharing", look)
    for made in book.sharings.values():
        book.timers.set(made.due_at, "sharing", made.key)
