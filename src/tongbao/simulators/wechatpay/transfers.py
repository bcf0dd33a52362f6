"""Transfers that the receiver confirms: /v3/fund-app/mch-transfer/transfer-bills, query, cancel.

Rule: the money leaves the merchant at once and waits; the receiver confirms on the phone (scan `package_info`) within
24 hours, or it comes back and the bill is FAIL. Cancelling is possible until then: CANCELING, and CANCELLED two seconds
later. The same number with the same parameters answers the bill as it is. A short balance is refused; the real product
may also leave the bill in PROCESSING.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tongbao.simulators.bank import BalanceShort, Buyer
from tongbao.simulators.faults import Fault
from tongbao.simulators.wechatpay.book import Book, NotPayable
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import ALNUM, NOTIFY_URL, Fields, Int, List, Obj, Text, check
from tongbao.simulators.wechatpay.ledger import TRANSFERS
from tongbao.simulators.wechatpay.model import Transfer
from tongbao.simulators.wechatpay.notifications import TRANSFER_PLAN, Message
from tongbao.simulators.wechatpay.orders import kept_faults
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import china_time, fingerprint, funds_number

SCENES = ("1000", "1002", "1004", "1005", "1006", "1009", "1010", "1011", "1013")
AMOUNT_MIN, AMOUNT_MAX, NAME_FROM, RED_PACKET_MAX = 10, 2_000_000_00, 2_000_00, 200_00
CONFIRM_WITHIN, SECONDS = timedelta(hours=24), 2
WAITS, PROCESSING, DONE, FAIL = "WAIT_USER_CONFIRM", "TRANSFERING", "SUCCESS", "FAIL"
CANCELING, CANCELLED = "CANCELING", "CANCELLED"
_REPORT: Fields = {
    "info_type": Text("信息类型", 15, in_characters=True),
    "info_content": Text("信息内容", 32, in_characters=True),
}
FIELDS: Fields = {
    "appid": Text("商户AppID", 32),
    "out_bill_no": Text("商户单号", 32, pattern=ALNUM),
    "transfer_scene_id": Text("转账场景ID", 36),
    "openid": Text("收款用户OpenID", 64),
    "user_name": Text("收款用户姓名", 1024, required=False),
    "transfer_amount": Int("转账金额"),
    "transfer_remark": Text("转账备注", 32, in_characters=True),
    "notify_url": Text("通知地址", 256, required=False, pattern=NOTIFY_URL),
    "user_recv_perception": Text("用户收款感知", 64, required=False),
    "transfer_scene_report_infos": List("转账场景报备信息", Obj("报备信息", _REPORT), 10, 0, required=False),
    "user_recv_style": Obj(
        "收款样式", {"type": Text("类型", 32, one_of=("CONFIRM_PAGE", "RED_PACKET"))}, required=False
    ),
}


def create(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/fund-app/mch-transfer/transfer-bills."""
    body = call.body
    check(body, FIELDS)
    key, print_ = f"{call.merchant.mchid}/{body['out_bill_no']}", fingerprint(_without_cipher(body))
    made = book.transfers.get(key)
    if made is None:
        _check(book, call)
        made = _accept(book, call, key, print_)
    elif made.fingerprint != print_:
        raise Refusal("transfer_differs")
    made = refreshed(book, made)
    fields = {
        "out_bill_no": made.out_bill_no,
        "transfer_bill_no": made.transfer_bill_no,
        "create_time": china_time(made.created_at),
        "state": made.state,
    }
    if made.state == WAITS:
        fields["package_info"] = made.package
    return fields | ({"fail_reason": made.fail_reason} if made.fail_reason else {})


def _without_cipher(body: Mapping[str, Any]) -> dict[str, Any]:
    """Encrypting the same name again gives other bytes."""
    return {name: value for name, value in body.items() if name != "user_name"}


def _check(book: Book, call: Call) -> None:
    body, amount = call.body, call.body["transfer_amount"]
    style = body.get("user_recv_style", {}).get("type")
    for broken, words in (
        (body["appid"] not in call.merchant.appids, "appid"),
        (body["transfer_scene_id"] not in SCENES, "transfer_no_scene"),
        (not body.get("transfer_scene_report_infos"), "transfer_scene"),
        (not AMOUNT_MIN <= amount <= AMOUNT_MAX, "transfer_bounds"),
        (style == "RED_PACKET" and amount > RED_PACKET_MAX, "transfer_bounds"),
        (amount >= NAME_FROM and not body.get("user_name"), "transfer_name"),
    ):
        if broken:
            raise Refusal(words)


def _accept(book: Book, call: Call, key: str, print_: str) -> Transfer:
    body, now = call.body, call.now
    user_id = book.merchants.buyer_id([body["appid"]], body["openid"])
    if not user_id:
        raise Refusal("openid")
    name = book.merchants.decrypted(call.merchant, call.serial, body["user_name"]) if body.get("user_name") else ""
    made = Transfer(
        key=key,
        mchid=call.merchant.mchid,
        appid=body["appid"],
        out_bill_no=body["out_bill_no"],
        transfer_bill_no=funds_number(book.bank, now, "13300"),
        amount_minor=body["transfer_amount"],
        remark=body["transfer_remark"],
        scene=body["transfer_scene_id"],
        openid=body["openid"],
        user_id=user_id,
        fingerprint=print_,
        created_at=now,
        updated_at=now,
        package=f"affffddafdfafddffda=={book.bank.token(24)}",
        due_at=now + CONFIRM_WITHIN,
        then=FAIL,
        user_name=name,
        notify_url=body.get("notify_url", ""),
        faults=kept_faults(call),
    )
    try:
        if book.strikes(call, Fault.SELLER_BALANCE_SHORT):
            raise BalanceShort
        book.ledger.taken(made.mchid, TRANSFERS, made.amount_minor, made.transfer_bill_no, made.out_bill_no, "商家转账")
    except BalanceShort:
        raise Refusal("merchant_short") from None
    if book.strikes(call, Fault.TRANSFER_FAILED):
        made.due_at, made.fail_reason, made.state = (
            now + timedelta(seconds=SECONDS),
            "PAYEE_ACCOUNT_ABNORMAL",
            "ACCEPTED",
        )
    return _keep(book, made)


def query(book: Book, call: Call) -> Mapping[str, Any]:
    """GET .../out-bill-no/{out_bill_no} and .../transfer-bill-no/{transfer_bill_no}."""
    made = _find(book, call)
    return {
        "mch_id": made.mchid,
        "out_bill_no": made.out_bill_no,
        "transfer_bill_no": made.transfer_bill_no,
        "appid": made.appid,
        "state": made.state,
        "transfer_amount": made.amount_minor,
        "transfer_remark": made.remark,
        "openid": made.openid,
        "create_time": china_time(made.created_at),
        "update_time": china_time(made.updated_at),
        **({"fail_reason": made.fail_reason} if made.state == FAIL else {}),
    }


def cancel(book: Book, call: Call) -> Mapping[str, Any]:
    """POST .../out-bill-no/{out_bill_no}/cancel."""
    made = _find(book, call)
    if made.state in (WAITS, "ACCEPTED"):
        made.state, made.then, made.updated_at = CANCELING, CANCELLED, call.now
        made.due_at = call.now + timedelta(seconds=SECONDS)
        _keep(book, made)
    elif made.state not in (CANCELING, CANCELLED):
        raise Refusal("transfer_confirmed")
    return {
        "out_bill_no": made.out_bill_no,
        "transfer_bill_no": made.transfer_bill_no,
        "state": made.state,
        "update_time": china_time(made.updated_at),
    }


def _find(book: Book, call: Call) -> Transfer:
    if "out_bill_no" in call.params:
        found = book.transfers.get(f"{call.merchant.mchid}/{call.params['out_bill_no']}")
    else:
        wanted = call.params["transfer_bill_no"]
        found = next((one for one in book.transfers.values() if one.transfer_bill_no == wanted), None)
    if found is None or found.mchid != call.merchant.mchid:
        raise Refusal("transfer_missing")
    return refreshed(book, found)


# --- the receiver


def by_package(book: Book, package: str) -> Transfer | None:
    found = next((one for one in book.transfers.values() if one.package == package), None)
    return None if found is None else refreshed(book, found)


def confirm(book: Book, made: Transfer, buyer: Buyer) -> None:
    """The receiver takes the money; raises NotPayable."""
    if made.state != WAITS:
        raise NotPayable("TRANSFER_OVER", "该转账已处理或已失效")
    if buyer.user_id != made.user_id:
        raise NotPayable("OPENID_MISMATCH", "收款账号与转账指定用户不一致")
    made.then, made.due_at = DONE, book.bank.clock.now()
    refreshed(book, made)


def refreshed(book: Book, made: Transfer) -> Transfer:
    """The transfer after what time has done to it."""
    if made.due_at is not None and made.due_at <= book.bank.clock.now():
        _finish(book, made)
    return made


def _finish(book: Book, made: Transfer) -> None:
    buyer, now = book.bank.buyer(made.user_id), book.bank.clock.now()
    made.state, made.due_at, made.updated_at = made.then, None, now
    if made.state == DONE and buyer is not None:
        book.ledger.arrived(TRANSFERS, buyer, made.amount_minor)
    else:
        number, voucher = made.transfer_bill_no, made.out_bill_no
        book.ledger.given_back(TRANSFERS, made.mchid, made.amount_minor, number, voucher, "商家转账退回")
        if made.state == FAIL and not made.fail_reason:
            made.fail_reason = "OVERDUE_CLOSE"
    fields = {
        "mch_id": made.mchid,
        "out_bill_no": made.out_bill_no,
        "transfer_bill_no": made.transfer_bill_no,
        "state": made.state,
        "transfer_amount": made.amount_minor,
        "openid": made.openid,
        "create_time": china_time(made.created_at),
        "update_time": china_time(now),
        **({"fail_reason": made.fail_reason} if made.state == FAIL else {}),
    }
    message = Message(
        mchid=made.mchid,
        url=made.notify_url,
        about=made.key,
        label=f"transfer {made.state.lower()} {made.out_bill_no}",
        event="MCHTRANSFER.BILL.FINISHED",
        summary="商家转账单据终态通知",
        kind="mch_payment",
        fields=fields,
        plan=TRANSFER_PLAN,
    )
    made.faults = book.notices.send(message, made.faults)
    book.transfers.put(made.key, made)


def _keep(book: Book, made: Transfer) -> Transfer:
    book.timers.set(made.due_at, "transfer", made.key)
    return book.transfers.put(made.key, made)


def start(book: Book) -> None:
    """Reminders for what is under way."""

    def look(key: str) -> None:
        made = book.transfers.get(key)
        if made is not None:
            refreshed(book, made)

    book.timers.on("transfer", look)
    for made in book.transfers.values():
        book.timers.set(made.due_at, "transfer", made.key)
