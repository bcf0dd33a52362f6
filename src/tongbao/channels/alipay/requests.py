"""A call as Alipay wants it sent: parameters with their signature, as POST, as address, as form. Pure.

Rule: what is signed is what is sent, byte for byte; signing comes before URL encoding and after encryption. Source:
common parameters, request signing and transport forms of the protocol.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tongbao.channels.alipay.account import Account
from tongbao.channels.alipay.signing import canonical_text, encrypt_content, sign
from tongbao.channels.alipay.values import business_text, china_text
from tongbao.domain.errors import InvalidInput
from tongbao.ports import Request


def signed_params(
    account: Account,
    method: str,
    business: Mapping[str, object] | None,
    common: Mapping[str, str | None],
) -> dict[str, str]:
    """Every parameter of a call with its signature. `common` adds to or replaces the common parameters; None and
    empty values are left out. `business` None: the method has no `biz_content`."""
    params: dict[str, str] = {
        "app_id": account.app_id,
        "method": method,
        "format": "JSON",
        "charset": account.wire_charset,
        "sign_type": account.sign_type.value,
        "timestamp": china_text(account.clock.now()),
        "version": "1.0",
    }
    if account.app_auth_token:
        params["app_auth_token"] = account.app_auth_token
    if business is not None:
        content = business_text(business, account.charset)
        if account.aes_key is not None:
            content = encrypt_content(content, account.aes_key, account.charset)
            params["encrypt_type"] = "AES"
        params["biz_content"] = content
    for name, value in common.items():
        if value:
            params[name] = value
    params.update(account.serials)
    try:
        params["sign"] = sign(canonical_text(params), account.private_key, account.sign_type, account.charset)
    except UnicodeEncodeError as error:
        raise InvalidInput(f"a parameter holds {error.object[error.start]!r}, which {account.charset} lacks") from None
    return params


def query_text(params: Mapping[str, str], charset: str) -> str:
    """Form encoding in the request's charset (space as `+`), sorted by name."""
    pairs = []
    for name, value in sorted(params.items()):
        written = quoted(value, charset) if name in _NEVER_THE_SAME else _quoted_again(value, charset)
        pairs.append(f"{name}={written}")
    return "&".join(pairs)


_NEVER_THE_SAME = frozenset({"biz_content", "sign"})
_RESERVED = re.compile(r"[^A-Za-z0-9_.~-]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_ESCAPES = {chr(byte): f"%{byte:02X}" for byte in range(256)} | {" ": "+"}
_MARKS = [(mark, _ESCAPES[mark]) for mark in "%!\"#$&'()*+,/:;<=>?@[\\]^`{|} "]
"""Everything printable in ASCII that must be escaped; first `%`, which every escape brings, and last the space, which
becomes a `+`."""


def quoted(text: str, charset: str) -> str:
    """`urllib.parse.quote_plus` in the charset, several times faster: few marks occur in a text, and often."""
    if not text.isprintable():
        return _quoted_bytes(text, charset)
    for mark, escape in _MARKS:
        if mark in text:
            text = text.replace(mark, escape)
    return text if text.isascii() else _BEYOND_ASCII.sub(lambda found: _quoted_bytes(found[0], charset), text)


_quoted_again = lru_cache(512)(quoted)
"""For what stands in every call: application, method, addresses."""


def _quoted_bytes(text: str, charset: str) -> str:
    return _RESERVED.sub(_escape, text.encode(charset).decode("latin-1"))


def _escape(found: re.Match[str]) -> str:
    return _ESCAPES[found[0]]


def address(gateway_url: str, params: Mapping[str, str], charset: str) -> str:
    """The gateway's address with `params` as query."""
    return f"{gateway_url}{'&' if '?' in gateway_url else '?'}{query_text(params, charset)}"


def request_from_params(account: Account, params: dict[str, str]) -> Request:
    """POST: the common parameters in the address (the charset must be readable before the body is), the business
    parameters in the body."""
    body = ""
    if "biz_content" in params:
        body = "biz_content=" + quoted(params["biz_content"], account.charset)
    return Request(
        method="POST",
        url=signed_page(account, params).action,
        headers={"content-type": f"application/x-www-form-urlencoded;charset={account.wire_charset}"},
        body=body.encode("ascii"),
        timeouts=account.timeouts,
    )


@dataclass(frozen=True, slots=True)
class SignedPage:
    """A signed request that the buyer's browser carries to Alipay, as an address or as a form."""

    gateway_url: str
    params: dict[str, str]
    charset: str

    @property
    def url(self) -> str:
        """The whole request as one address: redirect the browser there (GET)."""
        return address(self.gateway_url, self.params, self.charset)

    @property
    def action(self) -> str:
        """The form's address: every common parameter and the signature."""
        common = {name: value for name, value in self.params.items() if name != "biz_content"}
        return address(self.gateway_url, common, self.charset)

    @property
    def fields(self) -> dict[str, str]:
        """The form's fields: the business parameters."""
        return {name: value for name, value in self.params.items() if name == "biz_content"}

    def html(self) -> str:
        """A page that posts the form by itself, for requests too long for an address."""
        inputs = "".join(
            f'<input type="hidden" name="{_escaped(name)}" value="{_escaped(value)}">'
            for name, value in self.fields.items()
        )
        return (
            f'<form name="punchout_form" method="post" action="{_escaped(self.action)}">{inputs}'
            '<input type="submit" value="Pay" style="display:none"></form><script>document.forms[0].submit()</script>'
        )


def signed_page(account: Account, params: dict[str, str]) -> SignedPage:
    """The same signed parameters as address and as form."""
    return SignedPage(account.gateway_url, params, account.charset)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
