"""Keys made for this run, and a scripted WeChat Pay: it verifies what it is sent and signs what it answers.

It shares no code with the client: the standard library and `cryptography` only.
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from tongbao.channels.wechatpay import AsyncWechatPayClient, WechatPayClient
from tongbao.crypto import RsaPrivateKey
from tongbao.ports import Reply, Request

MCHID = "1900000109"
APPID = "wx0000000000000001"
GATEWAY_URL = "https://gateway.test:8443"
NOTIFY_URL = "https://shop.test/notify/ca_1"
MERCHANT_SERIAL = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
APIV3_KEY = "0123456789abcdef0123456789ABCDEF"
PUBLIC_KEY_ID = "PUB_KEY_ID_0000000000000024101100397200000006"
NOW = datetime(2026, 1, 1, 19, 4, 5, 678_000, tzinfo=UTC)
LIST = "/v3/certificates"


class TurnedClock:
    """Stands still until it is turned."""

    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time


def certificate(
    key: rsa.RSAPrivateKey,
    serial: int,
    *,
    issuer: tuple[rsa.RSAPrivateKey, x509.Certificate] | None = None,
    start: datetime = NOW - timedelta(days=30),
    days: int = 1825,
    name: str = "Tenpay.com sign",
) -> x509.Certificate:
    """A certificate for `key`, self-signed without an issuer."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, authority = issuer or (key, None)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject if authority is not None else subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )


@dataclass(frozen=True)
class Platform:
    """One key of WeChat's, with its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def serial(self) -> str:
        return f"{self.certificate.serial_number:040X}"

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Keys:
    """The merchant's key, WeChat's root, two platform certificates and its public key."""

    merchant: rsa.RSAPrivateKey
    root: Platform
    old: Platform
    new: Platform
    public: rsa.RSAPrivateKey

    @property
    def merchant_private(self) -> str:
        return RsaPrivateKey(self.merchant).pem_pkcs8()

    @property
    def public_pem(self) -> str:
        return self.public.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture(scope="session")
def keys() -> Keys:
    root_key = new_key()
    root = Platform(root_key, certificate(root_key, 1, days=7300, name="Tenpay.com Root CA"))
    issuer = (root.key, root.certificate)
    old_key, next_key = new_key(), new_key()
    return Keys(
        merchant=new_key(),
        root=root,
        old=Platform(old_key, certificate(old_key, 0x0A00_0000_0000_0000_0000_0000_0000_0000_0000_0001, issuer=issuer)),
        new=Platform(next_key, certificate(next_key, 0x7B << 152 | 2, issuer=issuer, start=NOW - timedelta(days=1))),
        public=new_key(),
    )


def signed_with(key: rsa.RSAPrivateKey, data: bytes) -> str:
    return base64.b64encode(key.sign(data, padding.PKCS1v15(), hashes.SHA256())).decode()


def sealed(plain: bytes, associated: str, key: str = APIV3_KEY, nonce: str = "abcdefghijkl") -> dict[str, str]:
    """AEAD_AES_256_GCM as WeChat spells it."""
    cipher = AESGCM(key.encode()).encrypt(nonce.encode(), plain, associated.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": nonce,
        "associated_data": associated,
        "ciphertext": base64.b64encode(cipher).decode(),
    }


def text_of(body: dict[str, Any]) -> bytes:
    """Compact JSON with sorted keys, as the live service answers."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


Answer = dict[str, Any] | Callable[["ScriptedWechat"], Reply] | Exception
AUTHORIZATION = re.compile(
    r'WECHATPAY2-SHA256-RSA2048 mchid="([^"]*)",nonce_str="([^"]*)",timestamp="(\d+)",serial_no="([^"]*)",'
    r'signature="([^"]*)"'
)


@dataclass
class Call:
    """One request as WeChat saw it."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found


@dataclass
class ScriptedWechat:
    """Answers each call with the next of `script`: a body (signed, 200), a function, or an exception. The list of
    certificates is answered by itself."""

    keys: Keys
    clock: TurnedClock
    script: list[Answer] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    list_calls: int = 0
    listed: list[Platform] | None = None
    signer: Platform | None = None
    list_answer: Callable[["ScriptedWechat"], Reply] | None = None

    def send(self, request: Request) -> Reply:
        call = self.received(request)
        if call.target.startswith(LIST):
            self.list_calls += 1
            return self.list_answer(self) if self.list_answer is not None else self.certificates()
        self.calls.append(call)
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(self) if callable(answer) else self.reply(200, text_of(answer))

    def received(self, request: Request) -> Call:
        """Checks what WeChat checks: headers, clock, and the signature over the raw path, query and body."""
        parts = urlsplit(request.url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = dict(request.headers)
        assert headers["accept"] == "application/json"
        assert headers["user-agent"]
        found = AUTHORIZATION.fullmatch(headers["authorization"])
        assert found, headers["authorization"]
        mchid, nonce, timestamp, serial, signature = found.groups()
        assert (mchid, serial) == (MCHID, MERCHANT_SERIAL)
        assert abs(int(timestamp) - self.clock.now().timestamp()) < 300
        assert re.fullmatch(r"[0-9A-Za-z]{16,32}", nonce)
        signed = request.body
        if headers.get("content-type", "").startswith("multipart/"):
            signed = request.body.split(b"\r\n\r\n", 1)[1].split(b"\r\n", 1)[0]
        text = f"{request.method}\n{target}\n{timestamp}\n{nonce}\n".encode() + signed + b"\n"
        self.keys.merchant.public_key().verify(base64.b64decode(signature), text, padding.PKCS1v15(), hashes.SHA256())
        return Call(request.method, target, headers, request.body)

    def headers(
        self,
        body: bytes,
        *,
        signer: Platform | None = None,
        key: rsa.RSAPrivateKey | None = None,
        serial: str | None = None,
        shift: float = 0,
    ) -> dict[str, str]:
        """The five headers; signed by the old platform certificate unless said otherwise."""
        signer = signer or self.signer or self.keys.old
        timestamp, nonce = str(int(self.clock.now().timestamp() + shift)), "a0" * 16
        text = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        return {
            "wechatpay-timestamp": timestamp,
            "wechatpay-nonce": nonce,
            "wechatpay-serial": serial or signer.serial,
            "wechatpay-signature": signed_with(key or signer.key, text),
            "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
        }

    def reply(self, status: int, body: bytes = b"", **how: Any) -> Reply:
        return Reply(status, {"request-id": "08F7-0", **self.headers(body, **how)}, body)

    def certificates(self, **how: Any) -> Reply:
        entries = [
            {
                "serial_no": one.serial,
                "effective_time": one.certificate.not_valid_before_utc.isoformat(),
                "expire_time": one.certificate.not_valid_after_utc.isoformat(),
                "encrypt_certificate": sealed(one.pem.encode(), "certificate"),
            }
            for one in (self.listed if self.listed is not None else [self.keys.old])
        ]
        return self.reply(200, text_of({"data": entries}), **how)

    def notification(
        self, resource: dict[str, Any], event_type: str = "TRANSACTION.SUCCESS", **how: Any
    ) -> tuple[dict[str, str], bytes]:
        """Headers and body of a notification."""
        kind = "refund" if event_type.startswith("REFUND") else "transaction"
        envelope = {
            "id": "0f0e0d0c-0b0a-5908-8706-050403020100",
            "create_time": "2026-01-02T03:04:05+08:00",
            "resource_type": "encrypt-resource",
            "event_type": event_type,
            "summary": "支付成功",
            "resource": {"original_type": kind, **sealed(text_of(resource), kind)},
        }
        body = text_of(envelope)
        return self.headers(body, **how), body


class AsyncScript:
    """The same, awaited."""

    def __init__(self, script: ScriptedWechat) -> None:
        self.script = script

    async def send(self, request: Request) -> Reply:
        return self.script.send(request)


@pytest.fixture
def turned() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def wechat(keys: Keys, turned: TurnedClock) -> ScriptedWechat:
    return ScriptedWechat(keys, turned)


@pytest.fixture
def settings_of(keys: Keys, turned: TurnedClock) -> dict[str, Any]:
    return {
        "mchid": MCHID,
        "appid": APPID,
        "merchant_private_key": keys.merchant_private,
        "merchant_serial": MERCHANT_SERIAL,
        "apiv3_key": APIV3_KEY,
        "gateway_url": GATEWAY_URL,
        "clock": turned,
    }


@pytest.fixture
def client(settings_of: dict[str, Any], wechat: ScriptedWechat) -> Iterator[WechatPayClient]:
    with WechatPayClient(**settings_of, transport=wechat) as client:
        yield client


@pytest.fixture
def async_client(settings_of: dict[str, Any], wechat: ScriptedWechat) -> AsyncWechatPayClient:
    return AsyncWechatPayClient(**settings_of, transport=AsyncScript(wechat))


def failed(code: str, status: int = 400, *, signed: bool = True, message: str = "text", **more: Any) -> Answer:
    """An error answer, signed unless said otherwise."""

    def answer(script: ScriptedWechat) -> Reply:
        body = text_of({"code": code, "message": message, **more})
        return script.reply(status, body) if signed else Reply(status, {}, body)

    return answer


def unsigned(status: int, body: bytes = b"") -> Answer:
    return lambda script: Reply(status, {}, body)


def answered(status: int, body: dict[str, Any] | None = None, **how: Any) -> Answer:
    """Another status, or signed by another key."""
    return lambda script: script.reply(status, b"" if body is None else text_of(body), **how)


TRANSACTION: dict[str, Any] = {
    "appid": APPID,
    "mchid": MCHID,
    "out_trade_no": "01J0000000000000000000ATT1",
    "transaction_id": "4200001234202601021234567890",
    "trade_type": "NATIVE",
    "trade_state": "SUCCESS",
    "trade_state_desc": "支付成功",
    "bank_type": "OTHERS",
    "attach": "",
    "success_time": "2026-01-02T03:10:00+08:00",
    "payer": {"openid": "oAAAA"},
    "amount": {"total": 1234, "payer_total": 1200, "currency": "CNY", "payer_currency": "CNY"},
    "promotion_detail": [],
}
