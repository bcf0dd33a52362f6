"""One call to the gateway as a pure exchange: a generator that yields a signed Request and is sent the Reply.

Rule: no exchange performs I/O, sleeps, or reads a clock other than the account's. The shells in `client.py` drive it,
blocking or not. An answer is believed only when its raw bytes are verified; one that cannot be is MessageNotTrusted
for a method that only reads, and OutcomeUnknown for one that may have had an effect. Source: common parameters,
request signing, transport forms, response envelope of the protocol.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode

from tongbao.channels.alipay.account import Account
from tongbao.channels.alipay.errors import IN_PROGRESS, SUCCESS, error_from_answer
from tongbao.channels.alipay.signing import (
    Answer,
    Unreadable,
    canonical_text,
    decrypt_content,
    encrypt_content,
    open_answer,
    sign,
    verify_answer,
)
from tongbao.channels.alipay.values import business_text, china_text
from tongbao.domain.errors import ChannelError, InvalidInput, MessageNotTrusted, OutcomeUnknown
from tongbao.ports import Reply, Request

T = TypeVar("T")
Exchange = Generator[Request, Reply, T]
"""Yields requests, is sent replies (or thrown the transport's error), returns the result."""

Node = dict[str, Any]
"""An answer's node as Alipay sent it: `code`, `msg` and the method's fields; amounts are text, in yuan."""

READING = frozenset(
    {
        "alipay.trade.query",
        "alipay.trade.fastpay.refund.query",
        "alipay.trade.order.settle.query",
        "alipay.trade.royalty.relation.batchquery",
        "alipay.data.dataservice.bill.downloadurl.query",
        "alipay.fund.trans.common.query",
        "alipay.fund.auth.operation.detail.query",
        "alipay.user.agreement.query",
        "alipay.open.app.alipaycert.download",
    }
)
"""Methods without an effect. Any other is taken to have one."""

ECHOED = ("out_trade_no", "out_request_no", "out_biz_no", "out_order_no")


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
    return urlencode(sorted(params.items()), encoding=charset)


def address(account: Account, params: Mapping[str, str]) -> str:
    """The gateway's address with `params` as query."""
    mark = "&" if "?" in account.gateway_url else "?"
    return f"{account.gateway_url}{mark}{query_text(params, account.charset)}"


def request_from_params(account: Account, params: Mapping[str, str]) -> Request:
    """POST: the common parameters in the address (the charset must be readable before the body is), the business
    parameters in the body."""
    body = ""
    if "biz_content" in params:
        body = "biz_content=" + quote_plus(params["biz_content"], encoding=account.charset)
    return Request(
        method="POST",
        url=address(account, {name: value for name, value in params.items() if name != "biz_content"}),
        headers={"content-type": f"application/x-www-form-urlencoded;charset={account.wire_charset}"},
        body=body.encode("ascii"),
        timeouts=account.timeouts,
    )


@dataclass(frozen=True, slots=True)
class SignedPage:
    """A signed request that the buyer's browser carries to Alipay, as an address or as a form."""

    url: str
    """The whole request as one address: redirect the browser there (GET)."""
    action: str
    """The form's address: every common parameter and the signature."""
    fields: dict[str, str]
    """The form's fields: the business parameters."""

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


def signed_page(account: Account, params: Mapping[str, str]) -> SignedPage:
    """The same signed parameters as address and as form."""
    return SignedPage(
        url=address(account, params),
        action=address(account, {name: value for name, value in params.items() if name != "biz_content"}),
        fields={name: value for name, value in params.items() if name == "biz_content"},
    )


def call(
    account: Account,
    method: str,
    business: Mapping[str, object] | None = None,
    *,
    app_auth_token: str | None = None,
    notify_url: str | None = None,
    common: Mapping[str, str | None] | None = None,
) -> Exchange[Node]:
    """Calls any method of the gateway and returns the answer's node.

    Args:
        account: set by the client.
        method: e.g. `alipay.trade.query`.
        business: goes into `biz_content`; None for methods that take their fields at the top level.
        app_auth_token: acting for a merchant (ISV), in place of the client's own.
        notify_url: where notifications about the result are to be sent.
        common: further top-level parameters, signed like all.

    Returns:
        The node, with `code` 10000 (or 10003: the buyer is still paying).

    Raises:
        AlipayError: Alipay answered with an error; its subclass tells what is certain.
        MessageNotTrusted: a reading method's answer could not be verified.
        OutcomeUnknown: no answer, or one that could not be verified, to a method with an effect.
        ChannelUnavailable: nothing was sent.
        InvalidInput: a float, or a value that the protocol cannot carry.
    """
    extra = {"app_auth_token": app_auth_token, "notify_url": notify_url, **(common or {})}
    params = signed_params(account, method, business, extra)
    reply = yield request_from_params(account, params)
    node = read_reply(account, method, reply)
    for name in ECHOED:
        _check_echo(method, name, business or {}, node)
    return node


def read_reply(account: Account, method: str, reply: Reply) -> Node:
    """The verified node of a reply; raises as `call` does."""
    trace_id = reply.headers.get("trace_id")
    answer = _answer(account, method, reply)
    verified = None
    if answer.signature is not None:
        key = account.alipay_keys.find(answer.certificate_serial)
        verified = key and verify_answer(answer, key, account.sign_type, account.charset)
        if verified is None:
            raise _distrust(method, "its signature is not Alipay's", trace_id)
    node = _node(account, method, verified or answer, trace_id)
    code = str(node.get("code", ""))
    if code not in (SUCCESS, IN_PROGRESS):
        raise error_from_answer(method, node, signed=verified is not None, trace_id=trace_id)
    if verified is None:
        raise _distrust(method, "it is not signed", trace_id)
    return node


def _answer(account: Account, method: str, reply: Reply) -> Answer:
    trace_id = reply.headers.get("trace_id")
    if reply.status != 200:
        raise OutcomeUnknown(
            f"The gateway answered {method} with HTTP {reply.status}, which no answer of Alipay's has.",
            channel_code=f"http_{reply.status}",
            channel_request_id=trace_id,
        )
    try:
        return open_answer(decoded(reply.body, account.charset), method)
    except Unreadable as error:
        raise OutcomeUnknown(
            f"The answer to {method} cannot be read: {error}. Is the gateway address right?",
            channel_request_id=trace_id,
        ) from None


def decoded(body: bytes, charset: str) -> str:
    """The body's text in the request's charset; errors of the gateway may come in the other one."""
    for codec in (charset, "gbk" if charset == "utf-8" else "utf-8"):
        try:
            return body.decode(codec)
        except UnicodeDecodeError:
            continue
    raise Unreadable("the bytes are neither UTF-8 nor GBK")


def _node(account: Account, method: str, answer: Answer, trace_id: str | None) -> Node:
    if isinstance(answer.node, dict):
        return answer.node
    if account.aes_key is None:
        raise _distrust(method, "its content is encrypted and no AES key is configured", trace_id)
    try:
        return decrypt_content(answer.node, account.aes_key, account.charset)
    except Unreadable as error:
        raise _distrust(method, str(error), trace_id) from None


def _distrust(method: str, why: str, trace_id: str | None) -> ChannelError:
    text = f"The answer to {method} cannot be trusted: {why}. Is alipay_public_key Alipay's, not your own?"
    if method in READING:
        return MessageNotTrusted(text, channel_request_id=trace_id)
    return OutcomeUnknown(f"{text} It may have been executed: query it.", channel_request_id=trace_id)


def _check_echo(method: str, name: str, business: Mapping[str, object], node: Node) -> None:
    """A genuine answer to another question is not an answer to ours (a replay, or a cache in between)."""
    asked, told = business.get(name), node.get(name)
    if asked and told and asked != told and not (name == "out_trade_no" and business.get("trade_no")):
        raise _distrust(method, f"it is about another {name}", None)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
