"""One call to the gateway as a pure exchange: a generator that yields a signed Request and is sent the Reply.

Rule: no exchange performs I/O, sleeps, or reads a clock other than the account's. The shells in `client.py` drive it,
blocking or not. An answer is believed only when its raw bytes are verified; one that cannot be is MessageNotTrusted
for a method that only reads, and OutcomeUnknown for one that may have had an effect. Source: common parameters,
request signing, transport forms, response envelope of the protocol.
"""

from collections.abc import Mapping
from typing import Any

from tongbao.channels.alipay.account import Account
from tongbao.channels.alipay.certificates import trusted_key
from tongbao.channels.alipay.errors import IN_PROGRESS, SUCCESS, error_from_answer
from tongbao.channels.alipay.requests import request_from_params, signed_params
from tongbao.channels.alipay.signing import Answer, Unreadable, decrypt_content, open_answer, verify_answer
from tongbao.channels.exchange import Exchange
from tongbao.crypto import RsaPublicKey
from tongbao.domain.errors import ChannelError, MessageNotTrusted, OutcomeUnknown
from tongbao.ports import Reply

Node = dict[str, Any]
"""An answer's node as Alipay sent it: `code`, `msg` and the method's fields; amounts are text, in yuan."""

CERTIFICATE_DOWNLOAD = "alipay.open.app.alipaycert.download"
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
    node = yield from read_reply(account, method, reply)
    check_echoes(method, business or {}, node)
    return node


def read_reply(account: Account, method: str, reply: Reply) -> Exchange[Node]:
    """The verified node of a reply; raises as `call` does. Asks for Alipay's certificate where the answer names one
    that is not known."""
    trace_id = reply.headers.get("trace_id")
    answer = _answer(account, method, reply)
    verified = None
    if answer.signature is not None:
        verified = yield from _verified(account, answer)
        if verified is None:
            raise distrust(method, "its signature is not Alipay's", trace_id)
    node = _node(account, method, verified or answer, trace_id)
    if not _is_success(answer, node):
        raise error_from_answer(method, node, signed=verified is not None, trace_id=trace_id)
    if verified is None:
        raise distrust(method, "it is not signed", trace_id)
    return node


def _verified(account: Account, answer: Answer) -> Exchange[Answer | None]:
    keys = yield from keys_for(account, answer.certificate_serial)
    found = (verify_answer(answer, key, account.sign_type, account.charset) for key in keys)
    return next((verified for verified in found if verified is not None), None)


def keys_for(account: Account, serial: str | None) -> Exchange[tuple[RsaPublicKey, ...]]:
    """The keys that an answer naming `serial` may be signed with; fetched when unknown, none when that fails (the call
    itself may have been executed, whatever became of the certificate)."""
    keys = account.alipay_keys.candidates(serial)
    if keys or not serial:
        return keys
    try:
        return ((yield from load_certificate(account, serial)),)
    except ChannelError:
        return ()


def load_certificate(account: Account, serial: str) -> Exchange[RsaPublicKey]:
    """`alipay.open.app.alipaycert.download`: fetches Alipay's certificate `serial` (an answer's or notification's
    `alipay_cert_sn`), checks its chain against the root bundle, and keeps its key for this client.

    The answer to this method is not signed; the certificate proves itself. Raises MessageNotTrusted.
    """
    if account.trust is None:
        raise MessageNotTrusted("this account is in public-key mode; there is no certificate to load")
    params = signed_params(account, CERTIFICATE_DOWNLOAD, {"alipay_cert_sn": serial}, {})
    reply = yield request_from_params(account, params)
    answer = _answer(account, CERTIFICATE_DOWNLOAD, reply)
    node = _node(account, CERTIFICATE_DOWNLOAD, answer, None)
    if node.get("code") != SUCCESS:
        raise error_from_answer(CERTIFICATE_DOWNLOAD, node, signed=False, trace_id=reply.headers.get("trace_id"))
    key = trusted_key(str(node.get("alipay_cert_content", "")), serial, account.trust, account.clock.now())
    account.alipay_keys.add(serial, key)
    return key


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


def _is_success(answer: Answer, node: Node) -> bool:
    """A few methods (tokens) answer a success without any code."""
    if "code" in node:
        return str(node["code"]) in (SUCCESS, IN_PROGRESS)
    return answer.name != "error_response" and "sub_code" not in node and "error_code" not in node


def _node(account: Account, method: str, answer: Answer, trace_id: str | None) -> Node:
    if isinstance(answer.node, dict):
        return answer.node
    if account.aes_key is None:
        raise distrust(method, "its content is encrypted and no AES key is configured", trace_id)
    try:
        return decrypt_content(answer.node, account.aes_key, account.charset)
    except Unreadable as error:
        raise distrust(method, str(error), trace_id) from None


def distrust(method: str, why: str, trace_id: str | None) -> ChannelError:
    text = f"The answer to {method} cannot be trusted: {why}. Is alipay_public_key Alipay's, not your own?"
    if method in READING:
        return MessageNotTrusted(text, channel_request_id=trace_id)
    return OutcomeUnknown(f"{text} It may have been executed: query it.", channel_request_id=trace_id)


def check_echoes(method: str, business: Mapping[str, object], node: Node) -> None:
    """A genuine answer to another question is not an answer to ours (a replay, or a cache in between)."""
    for name in ECHOED:
        asked, told = business.get(name), node.get(name)
        by_trade_no = name == "out_trade_no" and business.get("trade_no")
        if asked and told and asked != told and not by_trade_no:
            raise distrust(method, f"it is about another {name}", None)
