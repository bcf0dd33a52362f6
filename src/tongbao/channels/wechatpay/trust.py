"""Whether a message is WeChat's: the five headers wherever they come from, the window, the key, the signature. Pure.

Rule: nothing is read before the raw bytes are verified. Time and serial are judged first because they are cheap; a
signature that is false on purpose (a probe) is a false signature and nothing else. Source: response and callback
verification of the protocol.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.certificates import PUBLIC_KEY_START, WechatKey, normal_serial
from tongbao.channels.wechatpay.signing import PROBE_START, reply_text, verify
from tongbao.domain.errors import InvalidInput, MessageNotTrusted

WINDOW_SECONDS = 300

Headers = Mapping[str, Any] | Iterable[tuple[str | bytes, str | bytes]]
"""A mapping in any case (requests, httpx, Django's `request.headers`), pairs of bytes (ASGI), or a WSGI environment
(Django's `request.META`)."""

_START = "wechatpay-"
_NAMES = ("signature", "timestamp", "nonce", "serial", "signature-type")


class SerialUnknown(MessageNotTrusted):
    """The message is signed with a key of WeChat's that is not loaded; `serial` names it."""

    def __init__(self, serial: str) -> None:
        super().__init__(f"signed with WeChat's key {serial[:64]}, which is not loaded")
        self.serial = serial


class SignatureProbe(MessageNotTrusted):
    """WeChat sent a false signature on purpose, to see it refused; the true message follows. No cause for alarm."""


class OutsideWindow(MessageNotTrusted):
    """It was signed more than 5 minutes away from now; is this machine's clock right?"""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What the headers say about who signed a message, and when."""

    timestamp: str
    nonce: str
    signature: str
    serial: str
    scheme: str


def sealed_from_headers(headers: Headers) -> Sealed | None:
    """None where the message is not signed; raises MessageNotTrusted where only parts of a signature are there."""
    found = wechat_headers(headers)
    if "signature" not in found:
        return None
    missing = [name for name in ("timestamp", "nonce", "serial") if not found.get(name)]
    if missing:
        raise MessageNotTrusted(f"it is signed, but Wechatpay-{missing[0].title()} is missing")
    return Sealed(
        found["timestamp"], found["nonce"], found["signature"], found["serial"], found.get("signature-type", "")
    )


def wechat_headers(headers: Headers) -> dict[str, str]:
    """The `Wechatpay-*` headers without their start, in lower case; one that comes twice with two values is refused."""
    if isinstance(headers, Mapping) and "wechatpay-signature" in headers:  # the house's own, lower-case already
        return {name: headers[_START + name] for name in _NAMES if _START + name in headers}
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        key = _plain(name)
        if key is None:
            continue
        text = (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip()
        if found.setdefault(key, text) != text:
            raise InvalidInput(f"Wechatpay-{key} stands twice", code="malformed_notification")
    return found


def _plain(name: object) -> str | None:
    """`Wechatpay-Serial`, b`wechatpay-serial`, `HTTP_WECHATPAY_SERIAL` -> `serial`; None for every other header."""
    text = (name.decode("latin-1") if isinstance(name, bytes) else str(name)).lower().replace("_", "-")
    text = text.removeprefix("http-")
    return text.removeprefix(_START) if text.startswith(_START) else None


def check_sealed(
    account: Account,
    sealed: Sealed,
    body: bytes,
    now: datetime,
    brought: Mapping[str, WechatKey] | None = None,
) -> None:
    """Returns when `body` is WeChat's; raises MessageNotTrusted. `brought` are keys that the message itself brings."""
    if sealed.signature.startswith(PROBE_START):
        raise SignatureProbe
    _check_time(sealed.timestamp, now)
    if sealed.scheme and sealed.scheme != account.scheme:
        raise MessageNotTrusted(f"it is signed as {sealed.scheme[:32]!r}, this account takes {account.scheme}")
    key = account.keys.find(sealed.serial) or (brought or {}).get(normal_serial(sealed.serial))
    if key is None:
        raise SerialUnknown(sealed.serial)
    if not key.is_valid(now):
        raise MessageNotTrusted(f"WeChat's certificate {key.serial} is not valid now")
    if not verify(reply_text(sealed.timestamp, sealed.nonce, body), sealed.signature, key.key):
        raise MessageNotTrusted(f"its signature is not of WeChat's key {key.serial}{_hint(key)}")


def _check_time(timestamp: str, now: datetime) -> None:
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        raise MessageNotTrusted("Wechatpay-Timestamp is no time")
    if abs(now.timestamp() - int(timestamp)) >= WINDOW_SECONDS:
        raise OutsideWindow


def _hint(key: WechatKey) -> str:
    return "; is public_key the one with this id?" if key.serial.startswith(PUBLIC_KEY_START) else ""
