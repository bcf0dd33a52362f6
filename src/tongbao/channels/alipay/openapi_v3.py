"""OpenAPI v3: JSON over HTTP with the signature in the Authorization header. One pure exchange for every method.

Rule: the same policy as for the older gateway. A success must verify; an error without a signature is believed only
where it means that nothing was executed. Source: the v3 section of the protocol. Notifications stay in the old style.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from tongbao.channels.alipay.account import Account
from tongbao.channels.alipay.calls import Node, check_echoes, distrust, keys_for
from tongbao.channels.alipay.errors import (
    ERROR_FROM_CODE,
    UNKNOWN,
    AlipayError,
    AlipayOutcomeUnknown,
    NextStep,
    Ruling,
    ruling_for,
)
from tongbao.channels.alipay.signing import SignType, Unreadable, decrypt_content, encrypt_content, sign, verify
from tongbao.channels.alipay.values import business_text
from tongbao.channels.exchange import Exchange
from tongbao.crypto import decode_base64
from tongbao.domain.errors import InvalidInput, OutcomeUnknown
from tongbao.ports import Reply, Request

SCHEME = "ALIPAY-SHA256withRSA"
_ACCEPTED = Ruling(AlipayOutcomeUnknown, NextStep.REPEAT, "outcome_unknown")


def call_v3(
    account: Account,
    method: str,
    body: Mapping[str, object] | None = None,
    *,
    http_method: str = "POST",
    query: Mapping[str, str] | None = None,
    app_auth_token: str | None = None,
) -> Exchange[Node]:
    """Calls a v3 method and returns the answer's JSON object.

    Args:
        method: `alipay.trade.query` or its path `/v3/alipay/trade/query` (page, wap and app payments have none).
        body: the business parameters (POST).
        http_method: POST for all trade methods; GET for bill download and transfer query, with `query`.

    Raises the same errors as `call`.
    """
    path = method if method.startswith("/") else "/v3/" + method.replace(".", "/")
    name = path.removeprefix("/v3/").replace("/", ".")
    token = app_auth_token or account.app_auth_token
    reply = yield signed_request(account, http_method, path, body, query, token)
    node = yield from _read(account, name, reply)
    check_echoes(name, body or query or {}, node)
    return node


def signed_request(
    account: Account,
    http_method: str,
    path: str,
    body: Mapping[str, object] | None,
    query: Mapping[str, str] | None,
    app_auth_token: str | None,
) -> Request:
    """The request with its Authorization header."""
    if account.sign_type is not SignType.RSA2:
        raise InvalidInput("v3 signs with RSA2 only", param="sign_type")
    target = path + ("?" + urlencode(sorted(query.items())) if query else "")
    text = "" if body is None or http_method == "GET" else business_text(body, "utf-8")
    headers = {
        "content-type": "application/json",
        "accept": "application/json",
        "alipay-request-id": account.ids.token(),
    }
    if text and account.aes_key is not None:
        text = encrypt_content(text, account.aes_key, "utf-8")
        headers |= {"content-type": "text/plain", "alipay-encrypt-type": "AES"}
    if "alipay_root_cert_sn" in account.serials:
        headers["alipay-root-cert-sn"] = account.serials["alipay_root_cert_sn"]
    if app_auth_token:
        headers["alipay-app-auth-token"] = app_auth_token
    auth = _auth_text(account)
    signature = sign(
        signed_text(auth, http_method, target, text, app_auth_token), account.private_key, SignType.RSA2, "utf-8"
    )
    headers["authorization"] = f"{SCHEME} {auth},sign={signature}"
    parts = urlsplit(account.gateway_url)
    return Request(http_method, f"{parts.scheme}://{parts.netloc}{target}", headers, text.encode(), account.timeouts)


def _auth_text(account: Account) -> str:
    fields = {"app_id": account.app_id}
    if "app_cert_sn" in account.serials:
        fields["app_cert_sn"] = account.serials["app_cert_sn"]
    fields |= {"nonce": account.ids.token(), "timestamp": str(int(account.clock.now().timestamp() * 1000))}
    return ",".join(f"{name}={value}" for name, value in fields.items())


def signed_text(auth: str, http_method: str, target: str, body: str, app_auth_token: str | None) -> str:
    """What a v3 request's signature covers; every part ends with a line feed."""
    parts = [auth, http_method, target, body, *([app_auth_token] if app_auth_token else [])]
    return "".join(part + "\n" for part in parts)


def answer_text(timestamp: str, nonce: str, body: str) -> str:
    """What a v3 answer's signature covers."""
    return f"{timestamp}\n{nonce}\n{body}\n"


def _read(account: Account, name: str, reply: Reply) -> Exchange[Node]:
    trace_id = reply.headers.get("alipay-trace-id")
    text, node = _content(account, name, reply, trace_id)
    verified = yield from _is_verified(account, name, reply, text)
    if node is None:
        node = _decrypted(account, name, text, trace_id) if verified else {}
    if reply.status == 200:
        if not verified:
            raise distrust(name, "it is not signed", trace_id)
        return node
    raise error_from_v3(name, reply.status, node, signed=verified, trace_id=trace_id)


def _content(account: Account, name: str, reply: Reply, trace_id: str | None) -> tuple[str, Node | None]:
    """The body's text, and its object; None for the object when it is encrypted. The documents name a header for that
    in requests only, so an answer to an account with an AES key is also told by not being an object."""
    try:
        text = reply.body.decode("utf-8")
        if reply.headers.get("alipay-encrypt-type") or (
            account.aes_key is not None and decode_base64(text) is not None
        ):
            return text, None
        node = json.loads(text, parse_float=str)
    except (ValueError, RecursionError):
        node = None
    if not isinstance(node, dict):
        raise OutcomeUnknown(
            f"The answer to {name} (HTTP {reply.status}) is not JSON. Is the gateway address right?",
            channel_request_id=trace_id,
        )
    return text, node


def _decrypted(account: Account, name: str, text: str, trace_id: str | None) -> Node:
    if account.aes_key is None:
        raise distrust(name, "its content is encrypted and no AES key is configured", trace_id)
    try:
        return decrypt_content(text, account.aes_key, "utf-8")
    except Unreadable as error:
        raise distrust(name, str(error), trace_id) from None


def _is_verified(account: Account, name: str, reply: Reply, text: str) -> Exchange[bool]:
    """True when signed by Alipay, False when not signed; raises when the signature is wrong."""
    headers = reply.headers
    signature = headers.get("alipay-signature")
    if not signature:
        return False
    covered = answer_text(headers.get("alipay-timestamp", ""), headers.get("alipay-nonce", ""), text)
    keys = yield from keys_for(account, headers.get("alipay-sn") or None)
    if any(verify(covered, signature, key, SignType.RSA2, "utf-8") for key in keys):
        return True
    raise distrust(name, "its signature is not Alipay's", headers.get("alipay-trace-id"))


def error_from_v3(
    name: str, status: int, node: Mapping[str, Any], *, signed: bool, trace_id: str | None
) -> AlipayError:
    """v3 drops the prefix `isv.` of the gateway's codes and keeps `ACQ.` of the methods'."""
    code = str(node.get("code", ""))
    sub_code = code if "." in code or code.isupper() or not code else f"isv.{code}"
    ruling = ruling_for(name, "", sub_code)
    if status == 202:
        ruling = _ACCEPTED
    elif status == 429:
        ruling = ERROR_FROM_CODE["40005"]
    elif status >= 500 or (not signed and not sub_code.startswith("isv.")):
        ruling = UNKNOWN
    told = {"code": str(status), "msg": "", "sub_code": sub_code, "sub_msg": str(node.get("message", ""))}
    return ruling.error(method=name, ruling=ruling, node=told, trace_id=trace_id, signed=signed)
