"""Who may be shared with, and giving shared money back: /v3/profitsharing/receivers, return-orders, merchant-configs.

Rule: adding a receiver again is a success and changes nothing. Only merchants can be asked back, within 180 days; what
came back is not shareable again. A return succeeds or fails two seconds after it was accepted.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tongbao.simulators.bank import BalanceShort
from tongbao.simulators.wechatpay import sharing
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import WIDE_NO, Fields, Int, Text, check, require
from tongbao.simulators.wechatpay.model import Receiver, Return, Sharing
from tongbao.simulators.wechatpay.orders import owner_of
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.sharing import KINDS, SECONDS, SUB, TO_MERCHANT
from tongbao.simulators.wechatpay.wire import china_time, funds_number

RETURN_WINDOW = timedelta(days=180)
RELATIONS = (
    "STORE", "STAFF", "STORE_OWNER", "PARTNER", "HEADQUARTER", "BRAND", "DISTRIBUTOR", "USER", "SUPPLIER",
    "SERVICE_PROVIDER", "CUSTOM",
)  # fmt: skip
_WHO: Fields = {
    "appid": Text("应用ID", 32),
    "type": Text("分账接收方类型", 32, one_of=KINDS),
    "account": Text("分账接收方账号", 64),
    **SUB,
}
_ADD: Fields = {
    **_WHO,
    "name": Text("分账接收方全称或姓名", 1024, required=False),
    "relation_type": Text("与分账方的关系类型", 32, one_of=RELATIONS),
    "custom_relation": Text("自定义的分账关系", 10, required=False, in_characters=True),
}
_RETURN: Fields = {
    "order_id": Text("微信分账单号", 64, required=False),
    "out_order_no": Text("商户分账单号", 64, required=False, pattern=WIDE_NO),
    "out_return_no": Text("商户回退单号", 64, pattern=WIDE_NO),
    "return_mchid": Text("回退商户号", 32),
    "amount": Int("回退金额"),
    "description": Text("回退描述", 80),
    **SUB,
}


def add(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/profitsharing/receivers/add."""
    body = call.body
    check(body, _ADD)
    if body["appid"] not in call.merchant.appids:
        raise Refusal("appid")
    if body["relation_type"] == "CUSTOM":
        require(body, "custom_relation", "自定义的分账关系", "body")
    name = book.merchants.decrypted(call.merchant, call.serial, body["name"]) if body.get("name") else ""
    _check_name(book, call, name)
    made = Receiver(
        key=_key(call),
        mchid=call.merchant.mchid,
        kind=body["type"],
        account=body["account"],
        relation=body["relation_type"],
        custom=body.get("custom_relation", ""),
        name=name,
    )
    if made.key not in book.receivers:
        book.receivers.put(made.key, made)
    return {name: body[name] for name in _ADD if name in body and name != "appid"}


def _check_name(book: Book, call: Call, name: str) -> None:
    kind, account = call.body["type"], call.body["account"]
    if kind == TO_MERCHANT:
        wanted = book.merchants.names().get(account)
        if wanted is None:
            raise Refusal("merchant_missing")
        if name != wanted:
            raise Refusal("receiver_name")
        return
    buyer = book.bank.buyer(book.merchants.buyer_id(call.merchant.appids, account))
    if buyer is None:
        raise Refusal("openid")
    if name not in ("", buyer.name):
        raise Refusal("receiver_name")


def delete(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/profitsharing/receivers/delete."""
    check(call.body, _WHO)
    book.receivers.remove(_key(call))
    return {"type": call.body["type"], "account": call.body["account"]}


def _key(call: Call) -> str:
    return f"{call.merchant.mchid}/{call.body['type']}/{call.body['account']}"


def give_back(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/profitsharing/return-orders."""
    body = call.body
    check(body, _RETURN)
    shared = _sharing(book, call)
    made = book.returns.get(f"{shared.key}/{body['out_return_no']}")
    if made is not None:
        same = (made.return_mchid, made.amount_minor) == (body["return_mchid"], body["amount"])
        if not same:
            raise Refusal("return_differs")
        return _facts(shared, refreshed(book, made))
    if call.now - shared.created_at > RETURN_WINDOW:
        raise Refusal("return_late")
    if body["amount"] > _left(book, shared, body["return_mchid"]):
        raise Refusal("return_short")
    made = Return(
        key=f"{shared.key}/{body['out_return_no']}",
        mchid=call.merchant.mchid,
        sharing_key=shared.key,
        out_return_no=body["out_return_no"],
        return_id=funds_number(book.bank, call.now, "3009"),
        return_mchid=body["return_mchid"],
        amount_minor=body["amount"],
        description=body["description"],
        created_at=call.now,
        due_at=call.now + timedelta(seconds=SECONDS),
    )
    book.timers.set(made.due_at, "return", made.key)
    return _facts(shared, book.returns.put(made.key, made))


def _sharing(book: Book, call: Call) -> Sharing:
    body, owner = call.body, owner_of(book, call, call.body)
    if body.get("out_order_no"):
        found = book.sharings.get(f"{owner}/{body['out_order_no']}")
    else:
        wanted = body.get("order_id") or require(body, "out_order_no", "商户分账单号", "body")
        found = next((one for one in book.sharings.values() if one.order_id == wanted), None)
    if found is None or found.mchid != call.merchant.mchid:
        raise Refusal("share_missing")
    return sharing.refreshed(book, found)


def _left(book: Book, shared: Sharing, mchid: str) -> int:
    """What this merchant got and has not given back."""
    got = [part for part in shared.parts if part.kind == TO_MERCHANT and part.account == mchid]
    back = [one for one in book.returns.values() if one.sharing_key == shared.key and one.return_mchid == mchid]
    taken = sum(one.amount_minor for one in back if one.result != "FAILED")
    return sum(part.amount_minor for part in got if part.result == "SUCCESS") - taken


def return_query(book: Book, call: Call) -> Mapping[str, Any]:
    """GET /v3/profitsharing/return-orders/{out_return_no}?out_order_no=."""
    number = require(call.query, "out_order_no", "商户分账单号", "query")
    shared = book.sharings.get(f"{owner_of(book, call, call.query)}/{number}")
    made = book.returns.get(f"{shared.key}/{call.params['out_return_no']}") if shared else None
    if made is None or shared is None:
        raise Refusal("return_missing")
    return _facts(shared, refreshed(book, made))


def configuration(book: Book, call: Call) -> Mapping[str, Any]:
    """GET /v3/profitsharing/merchant-configs/{sub_mchid}."""
    owner_of(book, call, call.params)
    sub = book.merchants.get(call.params["sub_mchid"])
    assert sub is not None, "it is bound"
    return {"sub_mchid": sub.mchid, "max_ratio": sub.share_rate}


def _facts(shared: Sharing, made: Return) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "order_id": shared.order_id,
        "out_order_no": shared.out_order_no,
        "out_return_no": made.out_return_no,
        "return_id": made.return_id,
        "return_mchid": made.return_mchid,
        "amount": made.amount_minor,
        "description": made.description,
        "result": made.result,
        "create_time": china_time(made.created_at),
        "finish_time": china_time(made.finished_at or made.created_at),
    }
    return fields | ({"fail_reason": made.fail_reason} if made.result == "FAILED" else {})


def refreshed(book: Book, made: Return) -> Return:
    """The return after what time has done to it."""
    shared = book.sharings.get(made.sharing_key)
    order = book.orders.get(shared.order_key) if shared else None
    if made.due_at is None or made.due_at > book.bank.clock.now() or order is None:
        return made
    made.due_at, made.finished_at, made.result = None, book.bank.clock.now(), "SUCCESS"
    try:
        number, voucher = made.return_id, made.out_return_no
        book.ledger.shared(made.return_mchid, order.payee, made.amount_minor, number, voucher, "分账回退")
    except BalanceShort:
        made.result, made.fail_reason = "FAILED", "BALANCE_NOT_ENOUGH"
    return book.returns.put(made.key, made)


def start(book: Book) -> None:
    """Reminders for what is under way."""

    def look(key: str) -> None:
        made = book.returns.get(key)
        if made is not None:
            refreshed(book, made)

    book.timers.on("return", look)
    for made in book.returns.values():
        book.timers.set(made.due_at, "return", made.key)
