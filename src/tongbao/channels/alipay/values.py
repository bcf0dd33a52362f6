"""Alipay's spelling of amounts, times and business parameters. Pure.

Rule: an amount is exact or refused. `Decimal`, `int`, text and `Money` are taken; a float is refused wherever it
stands, also deep inside the business parameters. Times are China time (+08:00) on the wire and aware UTC inside,
whatever the zone of the machine. What the caller hands in is never changed.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import NoneType

from tongbao.domain.errors import CurrencyMismatch, InvalidInput
from tongbao.domain.money import CNY, Money

CHINA = timezone(timedelta(hours=8))

Amount = str | Decimal | int | Money
"""Yuan: `"12.34"`, `Decimal("12.34")`, `12` - or `Money(1234, CNY)`."""

FEN_MIN, FEN_MAX = 1, 10_000_000_000
_AMOUNT_TYPES = (str, Decimal, int, Money)
_JSON_TYPES = (str, bool, int, NoneType)


# --- amounts -----------------------------------------------------------------------------------------------------


def yuan_from_money(amount: Money) -> str:
    """`Money(1, CNY)` -> `"0.01"`; Alipay's domestic products know no other currency."""
    if amount.currency != CNY:
        raise CurrencyMismatch(f"Alipay takes CNY, not {amount.currency}")
    return amount.major()


def money_from_yuan(text: object) -> Money | None:
    """`"0.01"`, or the number of a JSON answer -> Money; None for what is absent, empty or no amount."""
    if not isinstance(text, str | int) or isinstance(text, bool) or text == "":
        return None
    try:
        return Money.from_major(text, CNY)
    except InvalidInput:
        return None


def yuan(amount: Amount, param: str = "total_amount") -> str:
    """Exact yuan with two decimals, 0.01 to 100000000; raises InvalidInput naming `param`."""
    try:
        if not isinstance(amount, _AMOUNT_TYPES):
            raise InvalidInput("an amount is text, Decimal or int; a float is not exact", code="invalid_amount")
        money = amount if isinstance(amount, Money) else Money.from_major(amount, CNY)
        text = yuan_from_money(money)
    except InvalidInput as error:
        raise InvalidInput(error.message, param=param, code=error.code) from None
    if not FEN_MIN <= money.minor <= FEN_MAX:
        raise InvalidInput(f"{param} is 0.01 to 100000000 yuan", param=param, code="invalid_amount")
    return text


# --- times -------------------------------------------------------------------------------------------------------


def china_text(instant: datetime) -> str:
    """`2026-01-02 03:04:05` in China time; a fraction of a second is cut off. A naive datetime is refused."""
    if instant.tzinfo is None:
        raise InvalidInput("a datetime needs its time zone: Alipay would read it as China time", code="naive_datetime")
    return instant.astimezone(CHINA).isoformat(" ", "seconds")[:19]


def instant_from_china(text: object) -> datetime | None:
    """`2026-01-02 03:04:05` (also with milliseconds) as an aware UTC instant; None for what is no such time."""
    if not isinstance(text, str) or len(text) < 19:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=CHINA).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


# --- business parameters -----------------------------------------------------------------------------------------


def wire_value(value: object, path: str = "biz_content") -> object:
    """A copy of `value` as JSON takes it: Decimal and Money as text, datetimes as China time, None left out of
    objects; floats and what JSON does not know raise InvalidInput with their path."""
    if type(value) in _JSON_TYPES:
        return value
    if isinstance(value, Enum):
        return wire_value(value.value, path)
    if isinstance(value, _JSON_TYPES):
        return value
    if isinstance(value, Mapping):
        return {str(name): wire_value(part, f"{path}.{name}") for name, part in value.items() if part is not None}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [wire_value(part, f"{path}[{index}]") for index, part in enumerate(value)]
    return _wire_scalar(value, path)


def _wire_scalar(value: object, path: str) -> object:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Money):
        return yuan_from_money(value)
    if isinstance(value, datetime):
        return china_text(value)
    hint = "a float is not exact: give text, Decimal or int" if isinstance(value, float) else "not a JSON value"
    raise InvalidInput(f"{path}: {hint}", param=path)


_LITERAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ESCAPED = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


def business_text(business: Mapping[str, object], charset: str) -> str:
    """The JSON text of the business parameters, compact. Characters that `charset` lacks are written as escapes."""
    content = wire_value(business)
    text = _LITERAL.encode(content)
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        text = _ESCAPED.encode(content)
    return text


FORBIDDEN_IN_SUBJECT = str.maketrans({"/": "／", "=": "＝", "&": "＆"})
SUBJECT_MAX = 256


def subject_text(text: str) -> str:
    """A subject that Alipay takes: `/ = &` as their full-width forms, control characters and lone surrogates as
    spaces, at most 256 characters, never empty."""
    clean = "".join(" " if not part.isprintable() and part != "\u3000" else part for part in text)
    return clean.translate(FORBIDDEN_IN_SUBJECT).strip()[:SUBJECT_MAX].rstrip() or "-"
