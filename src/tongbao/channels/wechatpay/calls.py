"""One call to WeChat Pay as a pure exchange: a generator that yields a signed Request and is sent the Reply.

Rule: no exchange performs I/O, sleeps, or reads a clock other than the account's. The shells in `client.py` drive it,
blocking or not. The HTTP status says how a call ended; it is believed when the raw bytes verify under the key that the
reply names, made within 5 minutes of now. One that cannot be verified is MessageNotTrusted for a GET, and
OutcomeUnknown for what may have had an effect. Source: response verification, certificates, success codes of the
protocol.
"""

import json
from collections.abc import Mapping
from typing import Any

from tongbao.channels.exchange import Exchange
from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.certificates import WechatKey, read_list
from tongbao.channels.wechatpay.errors import WechatPayError, error_from_answer
from tongbao.channels.wechatpay.requests import signed_request, target_of
from tongbao.channels.wechatpay.signing import Scheme, encrypt_field
from tongbao.channels.wechatpay.trust import SerialUnknown, check_sealed, sealed_from_headers
from tongbao.domain.errors import ChannelError, InvalidInput, MessageNotTrusted, OutcomeUnknown
from tongbao.ports import Reply

__all__ = ["CERTIFICATES", "Exchange", "Node", "call", "encrypted", "load_certificates"]

Node = dict[str, Any]
"""A reply's body as WeChat sent it; empty where there is none (204)."""

CERTIFICATES = "/v3/certificates"
ECHOED = (
    "out_trade_no",
    "transaction_id",
    "combine_out_trade_no",
    "out_refund_no",
    "out_bill_no",
    "out_batch_no",
    "out_order_no",
    "out_return_no",
)


def call(
    account: Account,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    *,
    query: Mapping[str, object] | None = None,
    serial: str | None = None,
) -> Exchange[Node]:
    """Calls any path and returns the reply's body.

    Args:
        account: set by the client.
        method: GET, POST, PATCH, PUT or DELETE.
        path: e.g. `/v3/pay/transactions/native`; values in it percent-encoded.
        body: sent as JSON; None for calls without a body. Amounts are whole fen; a float is refused.
        query: the address's parameters; None values are left out.
        serial: of the WeChat key with which fields of the body are encrypted (see `encrypted`).

    Returns:
        The body of a 2xx reply, an empty dict where it has none.

    Raises:
        WechatPayError: WeChat answered with an error; its subclass tells what is certain.
        MessageNotTrusted: the reply to a GET could not be verified.
        OutcomeUnknown: no reply, or one that could not be verified, to a call with an effect.
        ChannelUnavailable: nothing was sent.
        InvalidInput: a float, or a value that the protocol cannot carry.
    """
    reply = yield signed_request(account, method, target_of(path, query), body, serial)
    node = yield from read_reply(account, method, path, reply)
    check_echoes(method, path, {**(query or {}), **(body or {})}, node)
    return node


def read_reply(account: Account, method: str, path: str, reply: Reply) -> Exchange[Node]:
    """The verified body of a reply; raises as `call` does. Fetches the certificates where the reply names one that is
    not known."""
    name, request_id = f"{method} {path}", reply.headers.get("request-id")
    is_success = 200 <= reply.status < 300
    try:
        signed = yield from _is_proven(account, reply)
    except MessageNotTrusted as error:
        raise distrust(method, name, error.message, request_id) from error
    if is_success and not signed:
        raise distrust(method, name, "it is not signed", request_id)
    node = _node(method, name, reply, request_id, is_success)
    if not is_success or (reply.status == 202 and node.get("code")):
        raise error_from_answer(name, path, reply.status, node, signed=signed, request_id=request_id)
    return node


def _node(method: str, name: str, reply: Reply, request_id: str | None, is_success: bool) -> Node:
    if not reply.body:
        return {}
    try:
        node = json.loads(reply.body)
    except (ValueError, RecursionError):
        node = None
    if isinstance(node, dict):
        return node
    if is_success:
        raise distrust(method, name, "it is not a JSON object", request_id)
    return {}


def distrust(method: str, name: str, why: str, request_id: str | None) -> ChannelError:
    text = f"The answer to {name} cannot be trusted: {why}."
    if method == "GET":
        return MessageNotTrusted(text, channel_request_id=request_id)
    return OutcomeUnknown(f"{text} It may have been executed: query it.", channel_request_id=request_id)


def check_echoes(method: str, path: str, asked: Mapping[str, object], node: Node) -> None:
    """A genuine answer to another question is not an answer to ours (a signature does not cover the question)."""
    for name in ECHOED:
        wanted, told = asked.get(name), node.get(name)
        if wanted and told and wanted != told:
            raise distrust(method, f"{method} {path}", f"it is about another {name}", None)


def check_named(path: str, name: str, wanted: str | None, node: Node) -> None:
    """The same for what a GET names in its path."""
    check_echoes("GET", path, {name: wanted}, node)


# --- keys --------------------------------------------------------------------------------------------------------


def _is_proven(account: Account, reply: Reply) -> Exchange[bool]:
    """True when the reply is WeChat's, False where it is not signed; raises MessageNotTrusted. Looks for a key that is
    not known, once."""
    sealed = sealed_from_headers(reply.headers)
    if sealed is None:
        return False
    try:
        check_sealed(account, sealed, reply.body, account.clock.now())
    except SerialUnknown as error:
        yield from wanted_key(account, error.serial)
        check_sealed(account, sealed, reply.body, account.clock.now())
    return True


def wanted_key(account: Account, serial: str) -> Exchange[None]:
    """Fetches the certificates because a message names `serial`, unless that was done a moment ago. What goes wrong on
    the way is not raised: the message then stays unproven."""
    if not account.keys.may_ask(serial, account.clock.now()):
        return
    try:
        yield from load_certificates(account)
    except ChannelError:
        return


def load_certificates(account: Account) -> Exchange[list[WechatKey]]:
    """`GET /v3/certificates`: fetches WeChat's platform certificates and keeps them for this client, in place of the
    ones before. Raises MessageNotTrusted, and then the ones before stay.

    The list is decrypted with the APIv3 key, and its reply is signed by a key that is known or that it brings. That it
    was asked for is noted when its certificates are in place: another thread that may not ask any more finds them.
    """
    try:
        return (yield from _load_certificates(account))
    finally:
        account.keys.asked(account.clock.now())


def _load_certificates(account: Account) -> Exchange[list[WechatKey]]:
    reply = yield signed_request(account, "GET", certificates_target(account))
    if account.keys.is_listed(reply):
        return list(account.keys.certificates)
    if reply.status != 200:
        raise _list_refused(account, reply)
    now = account.clock.now()
    found = read_list(_listed(reply), account.decryption_key, account.roots, now)
    sealed = sealed_from_headers(reply.headers)
    if sealed is None:
        raise MessageNotTrusted("the certificate list is not signed")
    check_sealed(account, sealed, reply.body, now, {one.serial: one for one in found})
    if not found:
        raise MessageNotTrusted("the certificate list holds no certificate that is valid now; is the clock right?")
    account.keys.replace(found, reply, now)
    return found


def certificates_target(account: Account) -> str:
    return CERTIFICATES if account.scheme is Scheme.RSA else target_of(CERTIFICATES, {"algorithm_type": "SM2"})


def _listed(reply: Reply) -> object:
    try:
        node = json.loads(reply.body)
    except (ValueError, RecursionError):
        node = None
    return node.get("data") if isinstance(node, dict) else None


def _list_refused(account: Account, reply: Reply) -> WechatPayError:
    """The error of a list that was not given. Verified only with keys that are here: fetching keys to verify why there
    are no keys would go in circles."""
    try:
        sealed = sealed_from_headers(reply.headers)
        if sealed is not None:
            check_sealed(account, sealed, reply.body, account.clock.now())
        signed = sealed is not None
    except MessageNotTrusted:
        signed = False
    node = _node("GET", f"GET {CERTIFICATES}", reply, None, is_success=False)
    request_id = reply.headers.get("request-id")
    return error_from_answer(
        f"GET {CERTIFICATES}", CERTIFICATES, reply.status, node, signed=signed, request_id=request_id
    )


def encrypted(account: Account, *texts: str | None) -> Exchange[tuple[str | None, list[str | None]]]:
    """Sensitive fields, encrypted for WeChat with its newest key: (the key's serial, the cipher texts). None stays
    None, and without any text there is no serial. Certificates older than 12 hours are fetched anew first.

    Send them with `call(..., serial=serial)`. Raises what `load_certificates` does when there is no key at all.
    """
    if not any(text is not None for text in texts):
        return None, list(texts)
    now = account.clock.now()
    newest = account.keys.newest(now)
    if account.keys.public_key is None and (newest is None or account.keys.is_stale(now)):
        try:
            yield from load_certificates(account)
        except ChannelError:
            if newest is None:
                raise
        newest = account.keys.newest(now)
    if newest is None:
        raise MessageNotTrusted("there is no valid key of WeChat's to encrypt with")
    try:
        return newest.serial, [None if text is None else encrypt_field(text, newest.key) for text in texts]
    except ValueError as error:
        raise InvalidInput(str(error), param="sensitive_field") from None
