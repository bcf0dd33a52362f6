"""WeChat Pay's spelling of amounts, times and JSON bodies. Pure.

Rule: an amount is whole fen or refused: `int` and `Money` are taken, a float is refused wherever it stands, also deep
inside a body. Times are RFC 3339 in China time on the wire and aware UTC inside. What the caller hands in is never
changed. Source: data conventions of the protocol.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum

from tongbao.domain.errors import CurrencyMismatch, InvalidInput
from tongbao.domain.money import CNY, Money, currency

CHINA = timezone(timedelta(hours=8))

Amount = int | Money
"""Fen: `1234`, or `Money(1234, CNY)`."""

FEN_MIN, FEN_MAX = 1, 10_000_000_000
_PLANE_LAST = "\uffff"


# --- amounts -----------------------------------------------------------------------------------------------------


def fen(amount: Amount, param: str = "amount") -> int:
    """Whole fen, at least 1; raises InvalidInput naming `param`."""
    if isinstance(amount, Money):
        if amount.currency != CNY:
            raise CurrencyMismatch(f"WeChat Pay takes CNY, not {amount.currency}")
        amount = amount.minor
    if type(amount) is not int:
        raise InvalidInput(f"{param} is an int of fen; a float is not exact", param=param, code="invalid_amount")
    if not FEN_MIN <= amount <= FEN_MAX:
        raise InvalidInput(f"{param} is 1 to {FEN_MAX} fen", param=param, code="invalid_amount")
    return amount


def money_from_fen(number: object, code: object = None) -> Money | None:
    """Fen of an answer -> Money; None for what is no amount. A currency that is not told is CNY."""
    if type(number) is not int:
        return None
    try:
        return Money(number, currency(code) if isinstance(code, str) and code else CNY)
    except InvalidInput:
        return None


# --- times -------------------------------------------------------------------------------------------------------


def china_text(instant: datetime) -> str:
    """`2026-01-02T03:04:05+08:00`; a fraction of a second is cut off. A naive datetime is refused."""
    if instant.tzinfo is None:
        raise InvalidInput("a datetime needs its time zone", code="naive_datetime")
    return instant.astimezone(CHINA).isoformat("T", "seconds")


def instant_from_text(text: object) -> datetime | None:
    """RFC 3339 as an aware UTC instant; None for what is no such time. Without an offset it is China time."""
    if not isinstance(text, str) or len(text) < 19:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=CHINA)).astimezone(UTC)


# --- bodies ------------------------------------------------------------------------------------------------------


def wire_value(value: object, path: str = "body") -> object:
    """A copy of `value` as JSON takes it: Money as fen, datetimes as China time, None left out of objects (WeChat
    knows no null); floats, emoji and what JSON does not know raise InvalidInput with their path."""
    if isinstance(value, Enum):
        return wire_value(value.value, path)
    if isinstance(value, str):
        return _text(value, path)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(name): wire_value(part, f"{path}.{name}") for name, part in value.items() if part is not None}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [wire_value(part, f"{path}[{index}]") for index, part in enumerate(value)]
    return _wire_scalar(value, path)


def _text(text: str, path: str) -> str:
    if text and max(text) > _PLANE_LAST:
        raise InvalidInput(f"{path}: WeChat takes no emoji and no other 4-byte characters", param=path)
    return text


def _wire_scalar(value: object, path: str) -> object:
    if isinstance(value, Money):
        return fen(value, path)
    if isinstance(value, datetime):
        return china_text(value)
    hint = "a float is not exact: give fen as int" if isinstance(value, float) else "not a JSON value"
    raise InvalidInput(f"{path}: {hint}", param=path)


def body_bytes(body: Mapping[str, object]) -> bytes:
    """The JSON text of a body, compact: these bytes are signed, and these bytes are sent."""
    try:
        return json.dumps(wire_value(body), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise InvalidInput("a text holds a lone surrogate, which is no character") from None


DESCRIPTION_BYTES_MAX = 127
REASON_BYTES_MAX = 80


def fitting_text(text: str, bytes_max: int) -> str:
    """A text that WeChat takes: emoji and control characters replaced, cut to whole characters of at most `bytes_max`
    bytes (documents count characters, the live validator bytes), never empty."""
    clean = "".join(_fitting(part) for part in text).strip()
    return clean.encode()[:bytes_max].decode(errors="ignore").rstrip() or "-"


def _fitting(part: str) -> str:
    if part > _PLANE_LAST or "\ud800" <= part <= "\udfff":
        return "?"
    return part if part.isprintable() or part == "\u3000" else " "
