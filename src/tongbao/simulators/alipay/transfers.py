"""Money sent out: alipay.fund.trans.uni.transfer and common.query, and the older toaccount.transfer and order.query.

Rule: `out_biz_no` is the idempotency key: the same request again answers the first result, another one under the same
number `PAYMENT_INFO_INCONSISTENCY`. uni.transfer takes applications in certificate mode only.
"""

from tongbao.simulators.alipay.errors import Failure, GatewayError
from tongbao.simulators.alipay.holdings import Transfer
from tongbao.simulators.alipay.orders import optional, required
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import AMOUNT_MAX_MINOR, CHINA, china_time, fen, yuan
from tongbao.simulators.bank import BalanceShort, Buyer
from tongbao.simulators.faults import Fault

MINIMUM_MINOR = {"TRANS_ACCOUNT_NO_PWD": 10, "STD_RED_PACKET": 1, "TRANS_BANKCARD_NO_PWD": 10}
MEMO_FROM_MINOR = 50_000_00


def uni_transfer(book: Book, call: Call) -> dict[str, object]:
    """alipay.fund.trans.uni.transfer; raises Failure with the method's own codes (no prefix)."""
    if call.app.mode != "cert":
        raise GatewayError("40006", "isv.insufficient-isv-permissions")
    product, scene = required_(call, "product_code", 64), optional(call, "biz_scene", 64)
    if product not in MINIMUM_MINOR or scene not in ("", "DIRECT_TRANSFER", "PERSONAL_COLLECTION"):
        raise Failure("INVALID_PARAMETER")
    amount_minor = _amount(call, "trans_amount", MINIMUM_MINOR[product])
    if amount_minor >= MEMO_FROM_MINOR and not optional(call, "remark", 200):
        raise Failure("MEMO_REQUIRED_IN_TRANSFER_ERROR")
    payee = call.biz.get("payee_info")
    if not isinstance(payee, dict) or not payee.get("identity"):
        raise Failure("INVALID_PARAMETER")
    kind, identity = str(payee.get("identity_type", "")), str(payee["identity"])
    buyer = _payee(book, kind, identity, str(payee.get("name") or ""))
    made = _move(book, call, buyer, amount_minor, product, scene)
    return {
        "out_biz_no": made.out_biz_no,
        "order_id": made.order_id,
        "pay_fund_order_id": made.fund_order_id,
        "status": "SUCCESS",
        "trans_date": china_time(made.made_at),
    }


def common_query(book: Book, call: Call) -> dict[str, object]:
    """alipay.fund.trans.common.query: `pay_fund_order_id` over `order_id` over `out_biz_no`."""
    made = _find(book, call, (("pay_fund_order_id", "fund_order_id"), ("order_id", "order_id")))
    return {
        "out_biz_no": made.out_biz_no,
        "order_id": made.order_id,
        "pay_fund_order_id": made.fund_order_id,
        "trans_amount": yuan(made.amount_minor),
        "status": "SUCCESS",
        "pay_date": china_time(made.made_at),
        "order_fee": "0.00",
    }


def to_account(book: Book, call: Call) -> dict[str, object]:
    """alipay.fund.trans.toaccount.transfer, the predecessor that key-mode clients still call."""
    kinds = {"ALIPAY_USERID": "ALIPAY_USER_ID", "ALIPAY_LOGONID": "ALIPAY_LOGON_ID"}
    kind = kinds.get(required_(call, "payee_type", 20))
    if kind is None:
        raise Failure("INVALID_PARAMETER")
    buyer = _payee(book, kind, required_(call, "payee_account", 100), optional(call, "payee_real_name", 100), lax=True)
    made = _move(book, call, buyer, _amount(call, "amount", 10), "TRANS_ACCOUNT_NO_PWD", "")
    return {"out_biz_no": made.out_biz_no, "order_id": made.order_id, "pay_date": china_time(made.made_at)}


def order_query(book: Book, call: Call) -> dict[str, object]:
    """alipay.fund.trans.order.query."""
    made = _find(book, call, (("order_id", "order_id"),))
    date = china_time(made.made_at)
    return {
        "out_biz_no": made.out_biz_no,
        "order_id": made.order_id,
        "status": "SUCCESS",
        "pay_date": date,
        "arrival_time_end": date,
        "order_fee": "0.00",
    }


def required_(call: Call, name: str, length: int) -> str:
    """Like `orders.required`, with this family's code."""
    try:
        return required(call, name, length)
    except Failure:
        raise Failure("INVALID_PARAMETER") from None


def _amount(call: Call, name: str, minimum: int) -> int:
    value = fen(call.biz.get(name))
    if value is None or value <= 0:
        raise Failure("INVALID_PARAMETER")
    if value < minimum:
        raise Failure("EXCEED_LIMIT_SM_MIN_AMOUNT")
    if value > AMOUNT_MAX_MINOR:
        raise Failure("EXCEED_LIMIT_SM_AMOUNT")
    return value


def _payee(book: Book, kind: str, identity: str, name: str, *, lax: bool = False) -> Buyer:
    if kind not in ("ALIPAY_USER_ID", "ALIPAY_LOGON_ID", "ALIPAY_OPEN_ID"):
        raise Failure("INVALID_PARAMETER")
    buyer = book.bank.buyer(identity)
    if buyer is None or (kind == "ALIPAY_LOGON_ID") != (identity == buyer.logon_id):
        raise Failure("PAYEE_NOT_EXIST")
    if kind == "ALIPAY_LOGON_ID" and not name and not lax:
        raise Failure("PAYEE_ACC_OCUPIED")
    if name and name != buyer.name:
        raise Failure("PAYEE_USERINFO_ERROR")
    return buyer


def _move(book: Book, call: Call, buyer: Buyer, amount_minor: int, product: str, scene: str) -> Transfer:
    number, seller_id = required_(call, "out_biz_no", 64), call.app.seller_id
    key = f"{seller_id}/{number}"
    found = book.transfers.get(key)
    if found is not None:
        same = (found.amount_minor, found.payee_id, found.product_code) == (amount_minor, buyer.user_id, product)
        if not same:
            raise Failure("PAYMENT_INFO_INCONSISTENCY")
        return found
    if book.strikes(call, Fault.SELLER_BALANCE_SHORT):
        raise Failure("PAYER_BALANCE_NOT_ENOUGH")
    try:
        book.bank.move_to_buyer(seller_id, buyer, amount_minor)
    except BalanceShort:
        raise Failure("PAYER_BALANCE_NOT_ENOUGH") from None
    day, digits = f"{call.now.astimezone(CHINA):%Y%m%d}", book.bank.digits
    made = Transfer(
        number,
        seller_id,
        f"{day}110070000006{digits(12)}",
        f"{day}110070001506{digits(12)}",
        amount_minor,
        buyer.user_id,
        product,
        scene,
        call.now,
    )
    return book.transfers.put(key, made)


def _find(book: Book, call: Call, names: tuple[tuple[str, str], ...]) -> Transfer:
    """By the first number given, in the documented precedence; `out_biz_no` comes last."""
    mine = [one for one in book.transfers.values() if one.seller_id == call.app.seller_id]
    for field, attribute in (*names, ("out_biz_no", "out_biz_no")):
        if wanted := call.text(field):
            found = next((one for one in mine if getattr(one, attribute) == wanted), None)
            if found is None:
                raise Failure("ORDER_NOT_EXIST")
            return found
    raise Failure("INVALID_PARAMETER")
