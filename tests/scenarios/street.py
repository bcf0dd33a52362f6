"""A street: a gateway, a sandbox, a merchant and buyers in one process, on one clock that stands still until moved.

The real services on real PostgreSQL, the real adapters, the simulators with their real cryptography; only time, chance
and the sockets are replaced. Two gateways' worth of transport: the gateway calls the sandbox, the sandbox notifies it.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import msgspec

from tests.simulated import SimClock
from tests.simulators.merchant import counting, key_number
from tongbao.bootstrap import App
from tongbao.domain.account import App as MerchantApp
from tongbao.domain.errors import ChannelUnavailable
from tongbao.simulators.app import Sandbox, build_sandbox
from tongbao.simulators.browser import Page
from tongbao.storage.database import Database
from tongbao.transport import AsgiTransport, Reply, Request
from tongbao.web.app import build_gateway

GATEWAY, SANDBOX = "gateway.test", "sandbox.test"


def credentials_for(channel: str, accounts: Any) -> dict[str, str]:
    """A channel account's credentials from what the sandbox tells an outside client."""
    names = {
        "alipay": {
            "gateway_url": "gateway_url",
            "app_id": "app_id",
            "private_key": "app_private_key_pkcs8_pem",
            "alipay_public_key": "alipay_public_key",
            "seller_id": "seller_id",
        },
        "wechatpay": {
            "gateway_url": "gateway_url",
            "mchid": "mchid",
            "appid": "appid",
            "merchant_private_key": "merchant_private_key",
            "merchant_serial": "merchant_serial",
            "apiv3_key": "apiv3_key",
            "public_key_id": "public_key_id",
            "public_key": "public_key",
        },
    }
    return {ours: accounts[channel][theirs] for ours, theirs in names[channel].items()}


class Net(AsgiTransport):
    """Hosts are added when they exist; `sent` keeps what was sent; `cut = "refused"` makes the sandbox unreachable.
    `meanwhile` happens once, when the sandbox has answered and the gateway has not heard it yet."""

    def __init__(self) -> None:
        super().__init__({})
        self.sent: list[Request] = []
        self.cut = ""
        self.meanwhile: Callable[[Reply], Awaitable[None]] | None = None

    def add(self, host: str, app: Any) -> None:
        self._apps[host] = app

    async def send(self, request: Request) -> Reply:
        self.sent.append(request)
        if self.cut == "refused" and urlsplit(request.url).netloc == SANDBOX:
            raise ChannelUnavailable("connection refused")
        reply = await super().send(request)
        if self.meanwhile is not None and urlsplit(request.url).netloc == SANDBOX:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile(reply)
        return reply


class Street:
    """What a scenario drives."""

    def __init__(self, services: App, database: Database, clock: SimClock, net: Net) -> None:
        self.services = services
        self.database = database
        self.clock = clock
        self.net = net
        numbers = iter(range(100))
        self.sandbox: Sandbox = build_sandbox(
            now=clock.now, chance=counting(), transport=net, make_key=lambda: key_number(next(numbers))
        )
        net.add(GATEWAY, build_gateway(services))
        net.add(SANDBOX, self.sandbox.asgi)
        self.app: MerchantApp
        self.key = ""
        self.account_id = ""

    async def open(self) -> "Street":
        """An app with an Alipay account of the sandbox."""
        self.app, self.key = await self.services.accounts.create_app("shop", livemode=False)
        self.account_id = await self.open_account("alipay")
        return self

    def told(self, channel: str) -> Any:
        """What the sandbox tells an outside client of a channel."""
        return self.sandbox.accounts(f"http://{SANDBOX}")[channel]

    async def open_account(self, channel: str, **changes: str | None) -> str:
        """An account of the sandbox's merchant there, with these credentials changed (None: left away); its id."""
        found = {**credentials_for(channel, self.sandbox.accounts(f"http://{SANDBOX}")), **changes}
        credentials = {name: value for name, value in found.items() if value is not None}
        account = await self.services.accounts.create_account(self.app, channel, "main", credentials, {})
        return account.id

    async def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {self.key}", **{n.replace("_", "-"): v for n, v in headers.items()}}
        raw = b"" if body is None else msgspec.json.encode(body)
        reply = await self.net.send(Request(method, f"http://{GATEWAY}{path}", sent, raw))
        return reply.status, msgspec.json.decode(reply.body)

    async def order(self, order_no: str = "O1", method: str | None = "alipay_qr", **more: Any) -> Any:
        body = {
            "order_no": order_no,
            "amount": 9999,
            "currency": "CNY",
            "subject": "Tea / 茶",
            "method": method,
            **more,
        }
        status, payment = await self.call("POST", "/v1/payments", body)
        assert status == 201, payment
        return payment

    async def payment(self, payment: Any) -> Any:
        _, found = await self.call("GET", f"/v1/payments/{payment['id']}")
        return found

    async def events(self, payment: Any) -> list[str]:
        """The payment's event types in their order."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "SELECT type FROM events WHERE payment_id = $1 ORDER BY sequence", payment["id"]
            )
        return [row["type"] for row in rows]

    async def pay(self, payment: Any) -> None:
        """The buyer pays what the payment's next action shows; the sandbox owes a notification then."""
        action = payment["next_action"]
        if action["type"] == "redirect":
            await self.press(action["url"])
            return
        found = self.sandbox.find(action["content"] if action["type"] == "qr_code" else json.dumps(action["params"]))
        assert found is not None
        found[0].pay(found[1], self.sandbox.buyer())

    async def press(self, url: str) -> None:
        """Opens a redirect as the buyer's browser would, and presses the cashier's button."""
        reply = await self.net.send(Request("GET", url))
        while reply.status in (302, 303):
            url = urljoin(url, reply.headers["location"])
            reply = await self.net.send(Request("GET", url))
        (form,) = Page(reply.body.decode()).forms
        content = urlencode({**form.fields, "action": "pay"}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        reply = await self.net.send(Request("POST", urljoin(url, form.action or url), headers, content))
        assert reply.headers["x-sandbox-outcome"] == "paid", reply

    async def cashier(self, url: str) -> str:
        """Opens a redirect as the buyer's browser would; the token of the order behind the cashier page."""
        reply = await self.net.send(Request("GET", url))
        while reply.status in (302, 303):
            parts = urlsplit(reply.headers["location"])
            reply = await self.net.send(Request("GET", f"http://{SANDBOX}{parts.path}?{parts.query}"))
            token = dict(parse_qsl(parts.query)).get("token") or parts.path.rsplit("/", 1)[-1]
        assert reply.status == 200, reply
        return token

    def fault(self, name: str, calls: int | None = 1, **more: Any) -> None:
        """Switch a fault of Alipay's simulator, or of another channel's."""
        self.sandbox.bank.faults.set(name, calls=calls, **{"channel": "alipay", **more})

    async def ask(self, payment: Any) -> None:
        """What a worker does with every attempt that is due."""
        _, attempts = await self.services.reading.payment_with_attempts(self.app.id, payment["id"])
        for attempt in attempts:
            if attempt.next_query_at is not None and attempt.next_query_at <= self.clock.now():
                await self.services.asking.pursue(self.app.id, payment["id"], attempt.id)
        await self.services.asking.expire(self.app.id, payment["id"])

    async def send_refunds(self) -> None:
        """What a worker does with every refund that is due."""
        for app_id, payment_id, refund_id in await self.services.leases.claim_refunds("w", self.clock.now(), 100):
            await self.services.refunds.pursue(app_id, payment_id, refund_id)
            key = (app_id, payment_id, refund_id)
            await self.services.leases.release_refunds("w", [key], self.clock.now(), self.clock.now())

    async def refund(self, payment: Any, refund_no: str = "R1", amount: int | None = None) -> tuple[int, Any]:
        body = {"refund_no": refund_no, "reason": "wrong size"} | ({"amount": amount} if amount else {})
        return await self.call("POST", f"/v1/payments/{payment['id']}/refunds", body)

    async def paid(self, order_no: str = "O1", method: str = "alipay_qr") -> Any:
        """A payment that is paid and known to be."""
        payment = await self.order(order_no, method)
        await self.pay(payment)
        await self.notify()
        return await self.payment(payment)

    async def rows(self, statement: str, *values: object) -> list[Any]:
        async with self.database.connection() as connection:
            return list(await connection.fetch(statement, *values))

    async def notify(self) -> int:
        """The sandbox sends what is due."""
        return await self.sandbox.deliver_due()

    async def verify(self) -> None:
        """Every invariant holds."""
        broken = {rule: rows for rule, rows in (await self.services.verify()).items() if rows}
        assert not broken, broken
