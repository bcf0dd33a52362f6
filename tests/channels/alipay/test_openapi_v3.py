"""OpenAPI v3: what is signed, what is believed, and errors without their prefix."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.channels.alipay.conftest import APP_ID, NOW, Keys, signed_with
from tongbao.channels.alipay import AlipayClient, AsyncAlipayClient
from tongbao.channels.alipay.errors import (
    AlipayDeclined,
    AlipayError,
    AlipayOutcomeUnknown,
    AlipayUnavailable,
    NextStep,
)
from tongbao.channels.alipay.signing import decrypt_content, encrypt_content
from tongbao.crypto import decode_base64
from tongbao.domain.errors import InvalidInput, MessageNotTrusted, OutcomeUnknown
from tongbao.ports import Reply, Request

AUTH = re.compile(r"ALIPAY-SHA256withRSA (.+),sign=([A-Za-z0-9+/=]+)")


class ScriptedV3:
    """Checks a request's signature by hand, answers with one signed (or not) body."""

    def __init__(
        self, keys: Keys, body: Any, *, status: int = 200, signed: bool = True, headers: Mapping[str, str] | None = None
    ) -> None:
        self.keys, self.status, self.signed = keys, status, signed
        self.body = body if isinstance(body, str) else json.dumps(body)
        self.headers = dict(headers or {})
        self.requests: list[Request] = []

    def send(self, request: Request) -> Reply:
        self.requests.append(request)
        found = AUTH.fullmatch(request.headers["authorization"])
        assert found is not None
        target = request.url.removeprefix("https://gateway.test:8443")
        lines = [found[1], request.method, target, request.body.decode()]
        token = request.headers.get("alipay-app-auth-token")
        text = "".join(f"{line}\n" for line in [*lines, *([token] if token else [])])
        self.keys.app.public_key().verify(
            base64.b64decode(found[2]), text.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        headers = {"alipay-timestamp": "1", "alipay-nonce": "n", "alipay-trace-id": "trace-3", **self.headers}
        if self.signed:
            headers["alipay-signature"] = signed_with(self.keys.alipay, f"1\nn\n{self.body}\n".encode())
        return Reply(self.status, headers, self.body.encode())


def test_a_signed_call(settings_of: dict[str, Any], keys: Keys) -> None:
    script = ScriptedV3(keys, {"trade_status": "WAIT_BUYER_PAY", "total_amount": 0.10})
    client = AlipayClient(**settings_of, transport=script)
    answer = client.call_v3("alipay.trade.query", {"out_trade_no": "T1", "subject": "茶"})
    assert answer == {"trade_status": "WAIT_BUYER_PAY", "total_amount": "0.1"}
    (request,) = script.requests
    assert request.url == "https://gateway.test:8443/v3/alipay/trade/query"
    assert request.body.decode() == '{"out_trade_no":"T1","subject":"茶"}'
    assert request.headers["content-type"] == "application/json"
    assert len(request.headers["alipay-request-id"]) <= 32
    auth = dict(part.split("=", 1) for part in request.headers["authorization"].split(" ")[1].split(",")[:-1])
    assert auth["app_id"] == APP_ID
    assert auth["timestamp"] == str(int(NOW.timestamp() * 1000))
    assert auth["nonce"]


async def test_a_get_with_a_query_and_a_merchants_token(settings_of: dict[str, Any], keys: Keys) -> None:
    script = ScriptedV3(keys, {"bill_download_url": "http://x"})

    class Awaited:
        async def send(self, request: Request) -> Reply:
            return script.send(request)

    client = AsyncAlipayClient(**settings_of, transport=Awaited())
    await client.call_v3(
        "/v3/alipay/data/dataservice/bill/downloadurl/query",
        http_method="GET",
        query={"bill_type": "trade", "bill_date": "2026-01-01"},
        app_auth_token="tok",
    )
    assert script.requests[0].url.endswith("/query?bill_date=2026-01-01&bill_type=trade")
    assert script.requests[0].body == b""


@pytest.mark.parametrize(
    ("status", "body", "signed", "error", "step"),
    [
        (400, {"code": "invalid-app-id", "message": "m"}, False, AlipayUnavailable, NextStep.FIX),
        (400, {"code": "invalid-signature"}, False, AlipayUnavailable, NextStep.FIX),
        (400, {"code": "ACQ.TRADE_NOT_EXIST"}, True, AlipayDeclined, NextStep.QUERY),
        (400, {"code": "ACQ.TRADE_NOT_EXIST"}, False, AlipayOutcomeUnknown, NextStep.QUERY),
        (400, {"code": "NO_BILL_DATA"}, True, AlipayDeclined, NextStep.GIVE_UP),
        (400, {}, True, AlipayOutcomeUnknown, NextStep.QUERY),
        (202, {}, True, AlipayOutcomeUnknown, NextStep.REPEAT),
        (429, {"code": "whatever"}, False, AlipayUnavailable, NextStep.BACK_OFF),
        (500, {"code": "ACQ.TRADE_NOT_EXIST"}, True, AlipayOutcomeUnknown, NextStep.QUERY),
    ],
)
def test_errors(
    settings_of: dict[str, Any],
    keys: Keys,
    status: int,
    body: dict[str, str],
    signed: bool,
    error: type[AlipayError],
    step: NextStep,
) -> None:
    client = AlipayClient(**settings_of, transport=ScriptedV3(keys, body, status=status, signed=signed))
    with pytest.raises(error) as caught:
        client.call_v3("alipay.trade.refund", {})
    assert isinstance(caught.value, AlipayError)
    assert (caught.value.next_step, caught.value.channel_request_id) == (step, "trace-3")


def test_answers_not_believed(settings_of: dict[str, Any], keys: Keys) -> None:
    forged = {"alipay-signature": signed_with(keys.app, b"1\nn\n{}\n")}
    for script in (ScriptedV3(keys, "{}", signed=False), ScriptedV3(keys, "{}", signed=False, headers=forged)):
        client = AlipayClient(**settings_of, transport=script)
        with pytest.raises(MessageNotTrusted):
            client.call_v3("alipay.trade.query", {})
        with pytest.raises(OutcomeUnknown):
            client.call_v3("alipay.trade.refund", {})
    with pytest.raises(MessageNotTrusted):
        AlipayClient(**settings_of, transport=ScriptedV3(keys, {"out_trade_no": "T2"})).call_v3(
            "alipay.trade.query", {"out_trade_no": "T1"}
        )


@pytest.mark.parametrize("body", ["<html>", "[]", '"x"'])
def test_what_is_no_answer(settings_of: dict[str, Any], keys: Keys, body: str) -> None:
    client = AlipayClient(**settings_of, transport=ScriptedV3(keys, body))
    with pytest.raises(OutcomeUnknown):
        client.call_v3("alipay.trade.query", {})


@pytest.mark.parametrize("headers", [{"alipay-encrypt-type": "AES"}, {}], ids=["said", "not said"])
def test_encrypted_content(settings_of: dict[str, Any], keys: Keys, headers: dict[str, str]) -> None:
    text = "AAECAwQFBgcICQoLDA0ODw=="
    key = decode_base64(text) or b""
    script = ScriptedV3(keys, encrypt_content('{"a":"b"}', key, "utf-8"), headers=headers)
    client = AlipayClient(**settings_of, aes_key=text, transport=script)
    assert client.call_v3("alipay.trade.query", {"out_trade_no": "T1"}) == {"a": "b"}
    (request,) = script.requests
    assert (request.headers["content-type"], request.headers["alipay-encrypt-type"]) == ("text/plain", "AES")
    assert decrypt_content(request.body.decode(), key, "utf-8") == {"out_trade_no": "T1"}
    for without in ({}, {"aes_key": "AAECAwQFBgcICQoLDA0OEA=="}):
        with pytest.raises((MessageNotTrusted, OutcomeUnknown)):
            AlipayClient(**{**settings_of, **without}, transport=script).call_v3("alipay.trade.query", {})


def test_v3_knows_rsa2_only(settings_of: dict[str, Any], keys: Keys) -> None:
    with pytest.raises(InvalidInput):
        AlipayClient(**settings_of, sign_type="RSA", transport=ScriptedV3(keys, {})).call_v3("alipay.trade.query", {})
