"""Keys made for this run, and a scripted Alipay: it verifies what it is sent and signs what it answers.

It shares no code with the client: the standard library and `cryptography` only.
"""

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tongbao.channels.alipay import AlipayClient, AsyncAlipayClient
from tongbao.crypto import RsaPrivateKey
from tongbao.ports import Reply, Request

APP_ID = "2021000000000001"
SELLER_ID = "2088000000000001"
GATEWAY_URL = "https://gateway.test:8443/gateway.do"
NOW = datetime(2026, 1, 1, 19, 4, 5, 678_000, tzinfo=UTC)
NOW_CHINA = "2026-01-02 03:04:05"


class FixedClock:
    """Stands still."""

    def now(self) -> datetime:
        return NOW


@dataclass(frozen=True)
class Keys:
    """The application's pair and Alipay's."""

    app: rsa.RSAPrivateKey
    alipay: rsa.RSAPrivateKey

    @property
    def app_private(self) -> str:
        return RsaPrivateKey(self.app).bare_pkcs8()

    @property
    def alipay_public(self) -> str:
        return RsaPrivateKey(self.alipay).public().bare()


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys(
        app=rsa.generate_private_key(public_exponent=65537, key_size=2048),
        alipay=rsa.generate_private_key(public_exponent=65537, key_size=2048),
    )


def canonical(params: dict[str, str], without: tuple[str, ...]) -> str:
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name not in without)


def signed_with(key: rsa.RSAPrivateKey, data: bytes, digest: hashes.HashAlgorithm | None = None) -> str:
    return base64.b64encode(key.sign(data, padding.PKCS1v15(), digest or hashes.SHA256())).decode()


Answer = dict[str, Any] | Callable[["ScriptedAlipay", str, bytes], Reply] | Exception


@dataclass
class ScriptedAlipay:
    """Answers each call with the next of `script`: a node (signed), a function, or an exception to raise."""

    keys: Keys
    script: list[Answer] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    params: list[dict[str, str]] = field(default_factory=list)
    charset: str = "utf-8"

    def send(self, request: Request) -> Reply:
        params = self.received(request)
        self.params.append(params)
        clear = "{}" if "encrypt_type" in params else params.get("biz_content", "{}")
        self.calls.append((params["method"], json.loads(clear)))
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        name = params["method"].replace(".", "_") + "_response"
        if callable(answer):
            return answer(self, name, b"")
        return self.reply(name, json.dumps(answer, ensure_ascii=False, separators=(",", ":")))

    def received(self, request: Request) -> dict[str, str]:
        """Merges query and body, checks the signature as Alipay does."""
        pairs = parse_qsl(urlsplit(request.url).query, encoding=self.charset) + parse_qsl(
            request.body.decode("ascii"), encoding=self.charset
        )
        params = dict(pairs)
        assert len(params) == len(pairs)
        text = canonical(params, ("sign",))
        self.keys.app.public_key().verify(
            base64.b64decode(params["sign"]), text.encode(self.charset), padding.PKCS1v15(), hashes.SHA256()
        )
        return params

    def reply(self, name: str, node: str, *, sign: bool = True) -> Reply:
        signature = f',"sign":"{signed_with(self.keys.alipay, node.encode(self.charset))}"' if sign else ""
        body = f'{{"{name}":{node}{signature}}}'
        return Reply(200, {"trace_id": "trace-1"}, body.encode(self.charset))

    def notification(self, **fields: str) -> bytes:
        """A signed notification's body."""
        params = {"app_id": APP_ID, "charset": self.charset, "notify_id": "n1", **fields}
        text = canonical(params, ("sign", "sign_type"))
        params["sign"] = signed_with(self.keys.alipay, text.encode(self.charset))
        params["sign_type"] = "RSA2"
        return urlencode(params, encoding=self.charset).encode()


class AsyncScript:
    """The same, awaited."""

    def __init__(self, script: ScriptedAlipay) -> None:
        self.script = script

    async def send(self, request: Request) -> Reply:
        return self.script.send(request)


@pytest.fixture
def alipay(keys: Keys) -> ScriptedAlipay:
    return ScriptedAlipay(keys)


@pytest.fixture
def settings_of(keys: Keys) -> dict[str, Any]:
    return {
        "app_id": APP_ID,
        "private_key": keys.app_private,
        "alipay_public_key": keys.alipay_public,
        "gateway_url": GATEWAY_URL,
        "clock": FixedClock(),
    }


@pytest.fixture
def client(settings_of: dict[str, Any], alipay: ScriptedAlipay) -> Iterator[AlipayClient]:
    with AlipayClient(**settings_of, transport=alipay) as client:
        yield client


@pytest.fixture
def async_client(settings_of: dict[str, Any], alipay: ScriptedAlipay) -> AsyncAlipayClient:
    return AsyncAlipayClient(**settings_of, transport=AsyncScript(alipay))


def unsigned(node: dict[str, Any], name: str | None = None) -> Answer:
    """An answer without a signature, under another name if wanted."""

    def answer(script: ScriptedAlipay, own: str, _: bytes) -> Reply:
        return script.reply(name or own, json.dumps(node), sign=False)

    return answer


def failed(sub_code: str, code: str = "40004", **more: str) -> dict[str, Any]:
    return {"code": code, "msg": "Business Failed", "sub_code": sub_code, "sub_msg": "text", **more}


def ok(**fields: Any) -> dict[str, Any]:
    return {"code": "10000", "msg": "Success", **fields}
