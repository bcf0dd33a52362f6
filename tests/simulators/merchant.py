"""A merchant written by hand for tests: signs requests, checks answers and notifications, from the fact sheet only."""

import base64
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.simulated import SimClock
from tongbao.crypto import RsaPrivateKey, RsaPublicKey
from tongbao.simulators.app import Sandbox, build_sandbox
from tongbao.transport import AsgiTransport, Reply, Request

HOST = "sandbox.test"
NOTIFY_URL = "http://shop.test/notify"
TIMESTAMP = "2026-05-01 20:00:00"


@cache
def key_number(number: int) -> RsaPrivateKey:
    """Keys cost time to make; every sandbox of a test run draws from the same ones, in order."""
    return RsaPrivateKey.generate()


def counting() -> Callable[[int], int]:
    """A `chance` that repeats in every run and never gives the same value twice."""
    state = {"n": 0}

    def chance(bits: int) -> int:
        state["n"] += 1
        return (state["n"] * 0x9E3779B97F4A7C15F39CC0605CEDC834) % (1 << bits)

    return chance


class Shop:
    """The merchant's server: keeps what it is notified of, and answers what it is told to."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        self.answer = b"success"
        self.status = 200
        self.headers: list[dict[str, str]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        self.raw.append(body)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.headers.append(headers)
        charset = "gbk" if "gbk" in headers["content-type"] else "utf-8"
        self.received.append(dict(parse_qsl(body.decode(), keep_blank_values=True, encoding=charset)))
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": self.answer})


class World:
    """A sandbox, a shop that hears its notifications, and the merchant's side of the protocol."""

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
        self.account = accounts["alipay"]
        self.key = RsaPrivateKey.load(self.account["app_private_key_pkcs8_pem"])
        self.alipay_key = RsaPublicKey.load(self.account["alipay_public_key"])

    def params(self, method: str, biz: object, charset: str = "utf-8", **more: str) -> dict[str, str]:
        content = biz if isinstance(biz, str) else json.dumps(biz, ensure_ascii=False)
        common = {"app_id": self.account["app_id"], "method": method, "charset": charset, "sign_type": "RSA2"}
        common |= {"format": "JSON", "timestamp": TIMESTAMP, "version": "1.0", "biz_content": content, **more}
        return {name: value for name, value in common.items() if value}

    def signed(self, params: dict[str, str]) -> dict[str, str]:
        text = "&".join(f"{name}={params[name]}" for name in sorted(params) if params[name])
        signature = self.key.sign(text.encode(params.get("charset", "utf-8")))
        return {**params, "sign": base64.b64encode(signature).decode()}

    async def send(self, params: dict[str, str], headers: dict[str, str] | None = None) -> Reply:
        """All parameters in the form body, charset also in the query."""
        charset = params.get("charset", "utf-8")
        codec = charset if charset in ("utf-8", "gbk") else "utf-8"
        body = urlencode(params, encoding=codec).encode()
        kind = {"content-type": f"application/x-www-form-urlencoded;charset={codec}"}
        url = f"http://{HOST}/alipay/gateway.do?{urlencode({'charset': charset})}" if "charset" in params else ""
        request = Request("POST", url or f"http://{HOST}/alipay/gateway.do", {**kind, **(headers or {})}, body)
        return await self.net.send(request)

    async def call(self, method: str, biz: object, charset: str = "utf-8", *, fault: str = "", **more: str) -> Any:
        """The verified node of a signed answer."""
        headers = {"x-sandbox-fault": fault} if fault else {}
        reply = await self.send(self.signed(self.params(method, biz, charset, **more)), headers)
        return self.opened(reply, method, charset)

    def opened(self, reply: Reply, method: str, charset: str = "utf-8") -> Any:
        assert reply.status == 200
        assert reply.headers["content-type"].startswith("text/html")
        outer = json.loads(reply.body.decode(charset))
        name = method.replace(".", "_") + "_response"
        raw = reply.body[len(f'{{"{name}":') : reply.body.rindex(b',"sign"')]
        assert self.alipay_key.verify(base64.b64decode(outer["sign"]), raw), "the answer's signature is not Alipay's"
        return json.loads(raw.decode(charset))

    def genuine(self, message: dict[str, str]) -> bool:
        """The V1 rule: everything but sign and sign_type."""
        left = {name: value for name, value in message.items() if name not in ("sign", "sign_type")}
        text = "&".join(f"{name}={left[name]}" for name in sorted(left))
        return self.alipay_key.verify(base64.b64decode(message["sign"]), text.encode(message["charset"]))

    async def browse(self, method: str, url: str, form: dict[str, str] | None = None, **headers: str) -> Reply:
        address = url if "://" in url else f"http://{HOST}{url}"
        kind = {"content-type": "application/x-www-form-urlencoded"} if form is not None else {}
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.net.send(Request(method, address, {**kind, **shown}, urlencode(form or {}).encode()))

    # --- stories

    async def qr(self, reference: str = "T1", amount: str = "88.88", *, fault: str = "", **more: Any) -> str:
        """The token of a new QR."""
        biz = {"out_trade_no": reference, "total_amount": amount, "subject": "咖啡 latte", **more}
        node = await self.call("alipay.trade.precreate", biz, fault=fault, notify_url=NOTIFY_URL)
        assert node["code"] == "10000", node
        return str(node["qr_code"])

    async def paid(self, reference: str = "T1", amount: str = "88.88", *, fault: str = "", **more: Any) -> str:
        """A paid QR; its trade number."""
        token = self.token(await self.qr(reference, amount, fault=fault, **more))
        self.sandbox.alipay.pay(token, self.sandbox.buyer())
        return str((await self.query(reference))["trade_no"])

    def token(self, content: str) -> str:
        found = self.sandbox.find(content)
        assert found is not None, f"not recognised: {content}"
        return found[1]

    async def query(self, reference: str, **more: Any) -> Any:
        return await self.call("alipay.trade.query", {"out_trade_no": reference, **more})

    async def refund(self, reference: str, amount: str, number: str = "", *, fault: str = "") -> Any:
        biz = {"out_trade_no": reference, "refund_amount": amount} | ({"out_request_no": number} if number else {})
        return await self.call("alipay.trade.refund", biz, fault=fault)

    def page_url(self, method: str = "alipay.trade.page.pay", **biz: Any) -> str:
        product = {"alipay.trade.page.pay": "FAST_INSTANT_TRADE_PAY", "alipay.trade.wap.pay": "QUICK_WAP_WAY"}[method]
        order = {"out_trade_no": "P1", "total_amount": "12.50", "subject": "书 book", "product_code": product, **biz}
        more = {"notify_url": NOTIFY_URL, "return_url": "http://shop.test/back?from=alipay"}
        return f"/alipay/gateway.do?{urlencode(self.signed(self.params(method, order, **more)))}"


def query_of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))
