"""A WeChat Pay merchant written by hand for tests, from the fact sheet: signs, and checks answers and notifications."""

import base64
import json
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from tests.simulated import SimClock
from tests.simulators.merchant import counting, key_number
from tongbao.simulators.app import Sandbox, build_sandbox
from tongbao.transport import AsgiTransport, Reply, Request

HOST = "sandbox.test"
NOTIFY_URL = "http://shop.test/notify"
SCHEME = "WECHATPAY2-SHA256-RSA2048"


@cache
def private_key(pem: str) -> rsa.RSAPrivateKey:
    """A checked load costs thirty times a signature, and the keys of a test run repeat."""
    key = load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


class Shop:
    """The merchant's server: keeps what it is sent and answers what it is told to."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.body = b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        self.received.append(({name.decode(): value.decode() for name, value in scope["headers"]}, body))
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.body})


class Merchant:
    """One merchant's side of APIv3."""

    def __init__(self, account: Any, net: AsgiTransport, clock: SimClock) -> None:
        self.account = account
        self.mchid, self.appid = account["mchid"], account["appid"]
        self.net = net
        self.clock = clock
        self.base = f"http://{HOST}"
        self.serial = ""
        self.key = private_key(account["merchant_private_key"])
        self.keys: dict[str, Any] = {account["public_key_id"]: load_pem_public_key(account["public_key"].encode())}
        for one in account["platform_certificates"]:
            self.trust(one["pem"])
        self._nonces = count(1)

    def trust(self, pem: str) -> str:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        serial = f"{certificate.serial_number:040X}"
        self.keys[serial] = certificate.public_key()
        return serial

    def sign(self, text: bytes) -> str:
        return base64.b64encode(self.key.sign(text, padding.PKCS1v15(), SHA256())).decode()

    def authorization(self, method: str, target: str, body: bytes, **changes: str) -> str:
        stamp = changes.pop("timestamp", str(int(self.clock.now().timestamp())))
        nonce = changes.pop("nonce_str", f"nonce{next(self._nonces):027}")
        text = b"\n".join([method.encode(), target.encode(), stamp.encode(), nonce.encode(), body]) + b"\n"
        parts = {"mchid": self.mchid, "nonce_str": nonce, "timestamp": stamp}
        parts |= {"serial_no": self.account["merchant_serial"], "signature": self.sign(text), **changes}
        return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in parts.items())

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        auth: str | None = None,
        signed: bytes | None = None,
        **more: Any,
    ) -> Reply:
        """`more` are headers; None takes one away."""
        prefix = self.base.removeprefix(f"http://{HOST}")
        found = self.authorization(method, prefix + path, body if signed is None else signed) if auth is None else auth
        headers = {"authorization": found, "accept": "application/json", "user-agent": "tests"}
        headers |= {"content-type": "application/json"} if body else {}
        headers |= {"wechatpay-serial": self.serial} if self.serial else {}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        kept = {name: value for name, value in headers.items() if value}
        return await self.net.send(Request(method, self.base + path, kept, body))

    async def call(self, method: str, path: str, body: Any = None, *, status: int = 200, fault: str = "") -> Any:
        """The verified answer, decoded; the status has to be as expected."""
        raw = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        reply = await self.send(method, path, raw, x_sandbox_fault=fault)
        assert reply.status == status, (reply.status, reply.body.decode())
        self.verify(reply.headers, reply.body)
        if not reply.body:
            return None
        assert reply.headers["content-type"] == "application/json; charset=utf-8"
        return json.loads(reply.body)

    async def refused(self, method: str, path: str, body: Any = None, *, status: int = 400, fault: str = "") -> str:
        """The code of a signed refusal."""
        return str((await self.call(method, path, body, status=status, fault=fault))["code"])

    def verify(self, headers: Any, body: bytes) -> None:
        stamp, nonce = headers["wechatpay-timestamp"], headers["wechatpay-nonce"]
        assert abs(int(stamp) - self.clock.now().timestamp()) < 300, "the answer is stale"
        assert headers["wechatpay-signature-type"] == SCHEME
        text = f"{stamp}\n{nonce}\n".encode() + body + b"\n"
        signature = base64.b64decode(headers["wechatpay-signature"])
        self.keys[headers["wechatpay-serial"]].verify(signature, text, padding.PKCS1v15(), SHA256())

    def opened(self, resource: Any) -> bytes:
        """A resource decrypted under the APIv3 key."""
        secret = AESGCM(self.account["apiv3_key"].encode())
        cipher = base64.b64decode(resource["ciphertext"])
        return secret.decrypt(resource["nonce"].encode(), cipher, resource["associated_data"].encode())

    def told(self, headers: Any, body: bytes) -> tuple[Any, Any]:
        """Envelope and content of a notification that is genuine."""
        self.verify(headers, body)
        envelope = json.loads(body)
        return envelope, json.loads(self.opened(envelope["resource"]))

    def encrypted(self, text: str) -> str:
        from cryptography.hazmat.primitives.hashes import SHA1

        oaep = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)
        return base64.b64encode(self.keys[self.serial].encrypt(text.encode(), oaep)).decode()

    # --- stories

    def order(self, number: str = "ORDER001", total: int = 8888, **more: Any) -> dict[str, Any]:
        body = {"appid": self.appid, "mchid": self.mchid, "description": "咖啡 latte", "out_trade_no": number}
        return {**body, "notify_url": NOTIFY_URL, "amount": {"total": total, "currency": "CNY"}, **more}

    async def native(self, number: str = "ORDER001", total: int = 8888, *, fault: str = "", **more: Any) -> str:
        body = self.order(number, total, **more)
        return str((await self.call("POST", "/v3/pay/transactions/native", body, fault=fault))["code_url"])

    async def query(self, number: str) -> Any:
        return await self.call("GET", f"/v3/pay/transactions/out-trade-no/{number}?mchid={self.mchid}")

    def refund_body(self, number: str, refund: int, total: int = 8888, *, out: str = "R1", **more: Any) -> Any:
        amount = {"refund": refund, "total": total, "currency": "CNY"}
        return {"out_trade_no": number, "out_refund_no": out, "notify_url": NOTIFY_URL, "amount": amount, **more}

    async def refund(self, number: str, refund: int, total: int = 8888, *, out: str = "R1", **more: Any) -> Any:
        fault = more.pop("fault", "")
        body = self.refund_body(number, refund, total, out=out, **more)
        return await self.call("POST", "/v3/refund/domestic/refunds", body, fault=fault)


class World:
    """A sandbox, a shop that hears its notifications, and the merchants."""

    def __init__(self, clock: SimClock, data_dir: Path | None = None) -> None:
        self.clock = clock
        self.shop = Shop()
        numbers: Iterator[int] = iter(range(100))
        self.sandbox: Sandbox = build_sandbox(
            now=clock.now,
            chance=counting(),
            transport=AsgiTransport({"shop.test": self.shop}),
            data_dir=data_dir,
            make_key=lambda: key_number(next(numbers)),
        )
        self.net = AsgiTransport({HOST: self.sandbox.asgi})
        accounts: Any = self.sandbox.accounts(f"http://{HOST}")
        self.account = accounts["wechatpay"]
        self.merchant = Merchant(self.account, self.net, clock)
        self.wechat = self.sandbox.wechatpay

    def other(self, which: str) -> Merchant:
        return Merchant(self.account[which], self.net, self.clock)

    def openid(self, index: int = 0) -> str:
        return str(self.account["buyers"][index]["openid"])

    def code(self, outcome: str, buyer: int = 0) -> str:
        return next(
            str(one["code"]) for one in self.account["buyers"][buyer]["auth_codes"] if one["code"][2:4] == outcome
        )

    def token(self, content: str) -> str:
        found = self.sandbox.find(content)
        assert found is not None, f"not recognised: {content}"
        return found[1]

    def pay(self, content: str, buyer: str = "") -> None:
        self.wechat.pay(self.token(content), self.sandbox.buyer(buyer))

    async def paid(self, number: str = "ORDER001", total: int = 8888, *, fault: str = "", **more: Any) -> Any:
        """A paid native order as its query shows it."""
        self.pay(await self.merchant.native(number, total, fault=fault, **more))
        return await self.merchant.query(number)

    async def browse(self, method: str, url: str, form: dict[str, str] | None = None, **headers: str) -> Reply:
        address = url if "://" in url else f"http://{HOST}{url}"
        kind = {"content-type": "application/x-www-form-urlencoded"} if form is not None else {}
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.net.send(Request(method, address, {**kind, **shown}, urlencode(form or {}).encode()))

    async def post(self, path: str, body: Any) -> Reply:
        return await self.net.send(Request("POST", f"http://{HOST}{path}", {}, json.dumps(body).encode()))

    async def wait(self, seconds: float) -> None:
        """Time goes by for the sandbox and for everybody else, and what was due happened."""
        self.clock.advance(seconds)
        self.sandbox.advance(0)
        await self.sandbox.deliver_due()

    def heard(self) -> list[tuple[Any, Any]]:
        """Envelope and content of every notification so far, all genuine."""
        return [self.merchant.told(headers, body) for headers, body in self.shop.received]
