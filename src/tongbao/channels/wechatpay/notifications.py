"""What WeChat sends of its own accord: notifications, signed in their headers, their content encrypted. Pure.

Rule: the raw bytes are verified, then the envelope is read, then the content is decrypted; anything that does not fit
is refused, and WeChat sends it again. Source: notifications of the protocol, receiver algorithm.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.calls import Exchange, wanted_key
from tongbao.channels.wechatpay.signing import Unreadable, decrypt_resource
from tongbao.channels.wechatpay.signing import decrypt_field as decrypted_field
from tongbao.channels.wechatpay.trust import Headers, SerialUnknown, check_sealed, sealed_from_headers
from tongbao.domain.errors import InvalidInput, MessageNotTrusted

BODY_BYTES_MAX = 2 * 1024 * 1024
_READ = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class WechatNotification:
    """A verified notification. `resource` is its content, decrypted, as WeChat sent it."""

    id: str
    """The same on every repeat, as far as is known; recognise repeats by the content's own numbers too."""
    event_type: str
    """`TRANSACTION.SUCCESS`, `REFUND.SUCCESS`, `MCHTRANSFER.BILL.FINISHED`, ..."""
    original_type: str
    """`transaction`, `refund`, `mch_payment`, `profitsharing`, ..."""
    resource: dict[str, Any]
    summary: str
    create_time: str


def verify_notification(
    account: Account, headers: Headers, body: bytes | str, *, now: datetime | None = None
) -> WechatNotification:
    """The notification, when its signature is WeChat's and its content is for this merchant.

    Args:
        account: set by the client.
        headers: of the request, as the framework gives them: any mapping in any case, ASGI's pairs of bytes, a WSGI
            environment, Django's `request.headers` or `request.META`.
        body: the raw body as it came; never parsed and put together again.
        now: in place of the client's clock.

    Raises:
        InvalidInput: not a notification at all.
        MessageNotTrusted: not WeChat's, too old, or not for this merchant's APIv3 key. `SerialUnknown`: its key is not
            loaded (`receive_notification` fetches it). `SignatureProbe`: false on purpose.

    Answer 2xx only when it is recorded; any 4xx or 5xx makes WeChat send it again. Only the status counts.
    """
    raw = body.encode() if isinstance(body, str) else body
    sealed = sealed_from_headers(headers)
    if sealed is None:
        raise InvalidInput("a notification of WeChat's carries Wechatpay-Signature", code="malformed_notification")
    if len(raw) > BODY_BYTES_MAX:
        raise InvalidInput("larger than any notification of WeChat's", code="malformed_notification")
    check_sealed(account, sealed, raw, now or account.clock.now())
    return _opened(account, _object(raw))


def receive_notification(
    account: Account, headers: Headers, body: bytes | str, *, now: datetime | None = None
) -> Exchange[WechatNotification]:
    """As `verify_notification`, and fetches WeChat's certificates where the message names one that is not loaded: once
    for all who wait, and not more than once a minute. Parameters as in `verify_notification`."""
    try:
        return verify_notification(account, headers, body, now=now)
    except SerialUnknown as error:
        yield from wanted_key(account, error.serial)
    return verify_notification(account, headers, body, now=now)


def _opened(account: Account, envelope: dict[str, Any]) -> WechatNotification:
    try:
        resource = envelope["resource"]
        plain = decrypt_resource(
            account.decryption_key,
            resource["algorithm"],
            resource["nonce"],
            resource["ciphertext"],
            resource.get("associated_data") or "",
        )
        return WechatNotification(
            id=str(envelope["id"]),
            event_type=str(envelope["event_type"]),
            original_type=str(resource.get("original_type") or ""),
            resource=_object(plain),
            summary=str(envelope.get("summary") or ""),
            create_time=str(envelope.get("create_time") or ""),
        )
    except Unreadable as error:
        raise MessageNotTrusted(f"the notification's content: {error}") from None
    except (KeyError, TypeError, AttributeError):
        raise InvalidInput("not a notification of WeChat's", code="malformed_notification") from None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = _READ.decode(raw.decode())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("not a JSON object", code="malformed_notification")
    return found


def decrypt_field(account: Account, ciphertext: str) -> str:
    """A sensitive field of an answer (a name, a card) in plain text from its `ciphertext`; raises MessageNotTrusted."""
    try:
        return decrypted_field(ciphertext, account.private_key)
    except Unreadable as error:
        raise MessageNotTrusted(str(error)) from None
