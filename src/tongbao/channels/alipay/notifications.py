"""What Alipay sends of its own accord: notifications (a form post) and the buyer's return (a query string). Pure.

Rule: nothing is read before the signature over every received parameter is verified. A parameter that stands twice,
or a `sign_type` weaker than the configured one, is refused. Source: verification and checks of the protocol.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from tongbao.channels.alipay.account import CHARSETS, Account
from tongbao.channels.alipay.signing import SignType, signed_texts, verify
from tongbao.domain.errors import InvalidInput, MessageNotTrusted

_CHARSET = re.compile(rb"(?:^|&)charset=([A-Za-z0-9_-]{1,16})(?:&|$)")
_FIELDS_MAX = 200


class SerialUnknown(MessageNotTrusted):
    """The message is signed with a certificate of Alipay's that is not loaded; `serial` names it."""

    def __init__(self, serial: str) -> None:
        super().__init__(f"signed with Alipay's certificate {serial}, which is not loaded")
        self.serial = serial


def verify_notification(account: Account, body: bytes | str | Mapping[str, str]) -> dict[str, str]:
    """The parameters of a notification whose signature is Alipay's.

    Args:
        body: the raw body as it came (best), or its parameters, form-decoded once.

    Raises:
        InvalidInput: not a notification at all.
        MessageNotTrusted: the signature is not Alipay's, or of a kind that the account does not accept.

    Check afterwards that `out_trade_no`, `total_amount`, `seller_id` and `app_id` are yours; answer `success`.
    """
    params = dict(body) if isinstance(body, Mapping) else form_params(body, account.charset)
    _verify(account, params)
    return params


def verify_return(account: Account, query: str | Mapping[str, str]) -> dict[str, str]:
    """The parameters of the address that the buyer's browser came back to, verified. For display only: whether the
    trade is paid is told by the notification or `query`.

    Args:
        query: the raw query string, or its parameters, decoded once.
    """
    params = dict(query) if isinstance(query, Mapping) else form_params(query.removeprefix("?"), account.charset)
    _verify(account, params)
    return params


def form_params(body: bytes | str, charset: str) -> dict[str, str]:
    """A form body's parameters, decoded in the charset that it names itself; raises InvalidInput."""
    raw = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else body
    named = _CHARSET.search(raw)
    codec = CHARSETS.get(named[1].decode().lower(), charset) if named else charset
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            encoding=codec,
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError:
        raise InvalidInput("not a form post of Alipay's", code="malformed_notification") from None
    params = dict(pairs)
    if len(params) != len(pairs):
        raise InvalidInput("a parameter stands twice", code="malformed_notification")
    return params


def _verify(account: Account, params: Mapping[str, str]) -> None:
    signature = params.get("sign")
    if not signature:
        raise InvalidInput("a message of Alipay's carries sign", code="malformed_notification")
    sign_type = _accepted_sign_type(account, params.get("sign_type"))
    serial = params.get("alipay_cert_sn")
    keys = account.alipay_keys.candidates(serial)
    if not keys:
        raise SerialUnknown(serial or "")
    charset = CHARSETS.get(params.get("charset", "").lower(), account.charset)
    for text in signed_texts(params):
        if any(verify(text, signature, key, sign_type, charset) for key in keys):
            return
    raise MessageNotTrusted("the message's signature is not Alipay's; is alipay_public_key Alipay's, not your own?")


def _accepted_sign_type(account: Account, named: str | None) -> SignType:
    """RSA2 configured refuses anything weaker; an account of RSA also takes RSA2."""
    if not named or named == account.sign_type:
        return account.sign_type
    if named == SignType.RSA2:
        return SignType.RSA2
    raise MessageNotTrusted(f"the message is signed with {named[:8]}; this account takes {account.sign_type} only")
