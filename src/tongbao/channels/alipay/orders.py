"""What the order-making methods have in common: their optional fields, and how an order is put together.

Source: the shared order fields of the protocol. Names are Alipay's.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from tongbao.channels.alipay.values import Amount, yuan
from tongbao.domain.errors import InvalidInput


class OrderFields(TypedDict, total=False):
    """Optional fields that every order-making method takes."""

    body: str
    """Description, at most 128 characters; comes back in notification and statement."""
    goods_detail: Sequence[Mapping[str, object]]
    """Items: goods_id, goods_name, quantity, price (yuan); at most 150."""
    seller_id: str
    """Who receives the money (2088...); the signing merchant where absent."""
    time_expire: datetime | str
    """Absolute deadline, an aware datetime (or China time as text); wins over timeout_express."""
    timeout_express: str
    """Relative deadline: `30m`, `2h`, `1d` (1m to 15d), or `1c`: midnight."""
    discountable_amount: Amount
    undiscountable_amount: Amount
    store_id: str
    operator_id: str
    terminal_id: str
    extend_params: Mapping[str, object]
    """sys_service_provider_id, hb_fq_num, hb_fq_seller_percent, card_type, specified_seller_name, ..."""
    business_params: Mapping[str, object] | str
    enable_pay_channels: str
    """Comma list: balance, pcredit, creditCard, debitCardExpress, ...; not together with disable_pay_channels."""
    disable_pay_channels: str
    passback_params: str
    """Returned as sent, in notifications only; must be URL-encoded already, at most 512 characters."""
    settle_info: Mapping[str, object]
    sub_merchant: Mapping[str, object]
    royalty_info: Mapping[str, object]
    promo_params: str
    merchant_order_no: str
    ext_user_info: Mapping[str, object]
    query_options: Sequence[str]
    app_auth_token: str
    """Acting for a merchant (ISV), in place of the client's own. Not a business field."""
    more: Mapping[str, object]
    """Any further business field, under Alipay's name."""


OUT_TRADE_NO_MAX = 64
_FORBIDDEN = re.compile("[/=&]")
_NOT_BUSINESS = frozenset({"app_auth_token", "more"})
_AMOUNTS = frozenset({"discountable_amount", "undiscountable_amount"})


def order(
    out_trade_no: str,
    total_amount: Amount,
    subject: str,
    product_code: str | None,
    optional: Mapping[str, object],
    **own: object,
) -> dict[str, object]:
    """The business parameters of an order; `optional` are OrderFields, `own` the method's own fields."""
    return {
        "out_trade_no": checked_number(out_trade_no, "out_trade_no"),
        "total_amount": yuan(total_amount),
        "subject": checked_subject(subject),
        "product_code": product_code,
        **(_shared(optional) if optional else {}),
        **own,
        **further(optional.get("more")),
    }


def _shared(optional: Mapping[str, object]) -> dict[str, object]:
    """The optional business fields; raises TypeError for a name that is none of them."""
    unknown = optional.keys() - OrderFields.__annotations__.keys()
    if unknown:
        raise TypeError(f"unknown field {sorted(unknown)[0]!r}: further fields of Alipay's go into more={{...}}")
    shared = {name: value for name, value in optional.items() if name not in _NOT_BUSINESS}
    for name in _AMOUNTS & shared.keys():
        shared[name] = yuan(shared[name], name)  # type: ignore[arg-type]  # a TypedDict's values come as object
    return shared


def further(fields: object) -> dict[str, object]:
    """Further business fields under Alipay's names."""
    return {str(name): value for name, value in fields.items()} if isinstance(fields, Mapping) else {}


def checked_number(number: str, param: str) -> str:
    """At most 64 letters, digits and underscores: a number of the merchant's."""
    if not isinstance(number, str) or not number.isascii() or not number.replace("_", "").isalnum():
        raise InvalidInput(f"{param} is made of letters, digits and underscores", param=param)
    if len(number) > OUT_TRADE_NO_MAX:
        raise InvalidInput(f"{param} has at most {OUT_TRADE_NO_MAX} characters", param=param)
    return number


def checked_subject(subject: str) -> str:
    """Refused where Alipay would refuse it; `values.subject_text` makes any text acceptable."""
    if not subject or len(subject) > 256 or _FORBIDDEN.search(subject):
        raise InvalidInput("subject has 1 to 256 characters and none of / = &", param="subject")
    return subject


def trade(out_trade_no: str | None, trade_no: str | None, **own: object) -> dict[str, object]:
    """Names a trade by the merchant's number or Alipay's; when both are given Alipay's wins."""
    if not out_trade_no and not trade_no:
        raise InvalidInput("name the trade: out_trade_no or trade_no", param="out_trade_no")
    return {"out_trade_no": out_trade_no, "trade_no": trade_no, **own}
