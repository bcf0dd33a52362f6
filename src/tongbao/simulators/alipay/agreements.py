"""Withholding agreements: alipay.user.agreement.page.sign, .query, .unsign, and deducting by alipay.trade.pay.

Rule: an agreement is NORMAL once the buyer agreed on the page, STOP once it was ended. Signing and ending notify
(`dut_user_sign`, `dut_user_unsign`). A deduction has to fit the agreement's period rules.
"""

from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.holdings import Agreement
from tongbao.simulators.alipay.model import Order, Trade
from tongbao.simulators.alipay.orders import optional, required
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import CHINA, china_time, fen, masked
from tongbao.simulators.bank import Buyer

FOREVER = "2115-02-01 00:00:00"


def page_sign(book: Book, call: Call) -> Order:
    """alipay.user.agreement.page.sign: an order of nothing whose page asks the buyer to agree."""
    product, scene = required(call, "personal_product_code", 64), required(call, "sign_scene", 64)
    access = call.biz.get("access_params")
    if not isinstance(access, dict) or not access.get("channel"):
        raise Failure("INVALID_PARAMETER")
    made = Agreement(
        token=book.bank.token(28),
        agreement_no=f"{call.now.astimezone(CHINA):%Y%m%d}{book.bank.digits(12)}",
        app_id=call.app.app_id,
        seller_id=call.app.seller_id,
        external_agreement_no=optional(call, "external_agreement_no", 32),
        personal_product_code=product,
        sign_scene=scene,
        external_logon_id=optional(call, "external_logon_id", 100),
        charset=call.charset,
        notify_url=call.params.get("notify_url", ""),
        return_url=call.params.get("return_url", ""),
        created_at=call.now,
    )
    _read_period(call, made)
    book.agreements.put(made.agreement_no, made)
    return Order(made.token, "sign", made.app_id, made.seller_id, "", scene, 0, call.charset, call.now, call.now)


def _read_period(call: Call, made: Agreement) -> None:
    rules = call.biz.get("period_rule_params")
    if made.personal_product_code == "CYCLE_PAY_AUTH_P" and not isinstance(rules, dict):
        raise Failure("INVALID_PARAMETER")
    if isinstance(rules, dict):
        made.single_minor, made.total_minor = fen(rules.get("single_amount")) or 0, fen(rules.get("total_amount")) or 0
        made.payments_max = int(rules["total_payments"]) if str(rules.get("total_payments", "")).isdigit() else 0
        if rules.get("period_type") not in ("DAY", "MONTH") or not made.single_minor:
            raise Failure("INVALID_PARAMETER")


def sign(book: Book, made: Agreement, buyer: Buyer) -> None:
    """The buyer agreed on the page."""
    if made.status == "TEMP":
        made.status, made.buyer_id, made.signed_at = "NORMAL", buyer.user_id, book.bank.clock.now()
        book.agreements.put(made.agreement_no, made)
        _notify(book, made, "dut_user_sign", "NORMAL")


def query(book: Book, call: Call) -> dict[str, object]:
    """alipay.user.agreement.query: by agreement number, or user, product, scene and the merchant's number."""
    made = _find(book, call)
    return _facts(book, made)


def unsign(book: Book, call: Call) -> dict[str, object]:
    """alipay.user.agreement.unsign."""
    made = _find(book, call)
    if made.status == "STOP":
        raise Failure("USER_AGREEMENT_NOT_EXIST")
    made.status = "STOP"
    book.agreements.put(made.agreement_no, made)
    _notify(book, made, "dut_user_unsign", "UNSIGN")
    return {}


def deduct(book: Book, call: Call, order: Order) -> Trade:
    """alipay.trade.pay with `agreement_params`: paid at once by the buyer who agreed."""
    params = call.biz["agreement_params"]
    number = params.get("agreement_no") if isinstance(params, dict) else None
    made = book.agreements.get(str(number))
    if made is None or made.seller_id != order.seller_id:
        raise Failure("ACQ.AGREEMENT_NOT_EXIST")
    buyer = book.bank.buyer(made.buyer_id)
    if made.status != "NORMAL" or buyer is None:
        raise Failure("ACQ.AGREEMENT_INVALID")
    for exceeded, sub_code in (
        (made.single_minor and order.amount_minor > made.single_minor, "ACQ.CYCLE_PAY_SINGLE_FEE_EXCEED"),
        (
            made.total_minor and made.paid_minor + order.amount_minor > made.total_minor,
            "ACQ.CYCLE_PAY_TOTAL_FEE_EXCEED",
        ),
        (made.payments_max and made.payments >= made.payments_max, "ACQ.CYCLE_PAY_TOTAL_TIMES_EXCEED"),
    ):
        if exceeded:
            raise Failure(sub_code)
    book.add_order(order)
    trade = book.pay(book.open(order, buyer), buyer)
    made.paid_minor += order.amount_minor
    made.payments += 1
    book.agreements.put(made.agreement_no, made)
    return trade


def _find(book: Book, call: Call) -> Agreement:
    number = call.text("agreement_no")
    if number:
        made = book.agreements.get(number)
    else:
        names = ("personal_product_code", "sign_scene", "external_agreement_no")
        user = call.text("alipay_user_id")
        made = next(
            (
                one
                for one in book.agreements.values()
                if one.buyer_id == user and all(getattr(one, name) == call.text(name) for name in names)
            ),
            None,
        )
    if made is None or made.seller_id != call.app.seller_id or made.status == "TEMP":
        raise Failure("USER_AGREEMENT_NOT_EXIST")
    return made


def _facts(book: Book, made: Agreement) -> dict[str, object]:
    buyer, signed = book.bank.buyer(made.buyer_id), china_time(made.signed_at or made.created_at)
    return {
        "agreement_no": made.agreement_no,
        "external_agreement_no": made.external_agreement_no,
        "external_logon_id": made.external_logon_id,
        "personal_product_code": made.personal_product_code,
        "sign_scene": made.sign_scene,
        "status": made.status,
        "sign_time": signed,
        "valid_time": signed,
        "invalid_time": FOREVER,
        "principal_id": made.buyer_id,
        "alipay_logon_id": masked(buyer.logon_id) if buyer else "",
    }


def _notify(book: Book, made: Agreement, kind: str, status: str) -> None:
    facts = {name: str(value) for name, value in _facts(book, made).items() if value and name != "principal_id"}
    fields = {**facts, "status": status, "alipay_user_id": made.buyer_id, "notify_type": kind}
    book.notices.send_event(made.app_id, made.notify_url, made.charset, made.agreement_no, fields)
