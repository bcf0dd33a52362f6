"""The shop's pages: one product, a return page, the webhooks that arrived.

Rule: like any merchant's server it creates a payment over HTTP with its API key, sends the buyer to `checkout_url`, and
believes neither the browser that comes back nor a message without a right signature: it asks the API.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tongbao.cli.shop.inbox import Inbox, NotVerified
from tongbao.cli.shop.texts import text
from tongbao.domain.errors import TongbaoError
from tongbao.ports import Request as OutboundRequest
from tongbao.ports import Transport
from tongbao.web.texts import TAGS, language

PRICE_FEN = 9_900
BODY_BYTES_MAX = 256 * 1024
STATIC = {"shop.css": "text/css; charset=utf-8", "shop.js": "text/javascript; charset=utf-8"}


class GatewayRefused(Exception):
    """The gateway's answer was an error; its text says which."""


class Gateway:
    """The merchant's side of the API, as far as this shop needs it."""

    def __init__(self, transport: Transport, url: str, api_key: str) -> None:
        self._transport = transport
        self._url = url
        self._headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}

    async def create_payment(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Sent with the order's number as idempotency key: a repeat is the same payment."""
        return await self._call("POST", "/v1/payments", order, {"idempotency-key": str(order["order_no"])})

    async def payment_of(self, order_no: str) -> dict[str, Any] | None:
        listed = await self._call("GET", f"/v1/payments?order_no={quote(order_no, safe='')}")
        return next(iter(listed["data"]), None)

    async def _call(
        self, method: str, path: str, body: Any = None, more: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        content = b"" if body is None else json.dumps(body).encode()
        request = OutboundRequest(method, self._url + path, {**self._headers, **(more or {})}, content)
        try:
            reply = await self._transport.send(request)
        except TongbaoError as error:
            raise GatewayRefused(error.message) from None
        told: dict[str, Any] = json.loads(reply.body)
        if reply.status >= 400:
            raise GatewayRefused(f"{told.get('code')}: {told.get('detail')}")
        return told


class Shop:
    """The pages. `url` is the shop's own address."""

    def __init__(
        self, gateway: Gateway, inbox: Inbox, url: str, *, now: Callable[[], datetime], make_order_no: Callable[[], str]
    ) -> None:
        self._gateway = gateway
        self._inbox = inbox
        self._url = url
        self._now = now
        self._make_order_no = make_order_no
        self._env = Environment(
            loader=PackageLoader("tongbao.cli.shop"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.asgi = Starlette(
            routes=[
                Route("/", self.product, methods=["GET"]),
                Route("/buy", self.buy, methods=["POST"]),
                Route("/return", self.back, methods=["GET"]),
                Route("/webhooks", self.webhooks, methods=["GET"]),
                Route("/webhooks", self.receive, methods=["POST"]),
                Route("/static/{name}", _static, methods=["GET"]),
            ]
        )

    async def product(self, request: Request) -> Response:
        return self._page(request, "product.html", price=yuan(PRICE_FEN), trouble="")

    async def buy(self, request: Request) -> Response:
        order_no = self._make_order_no()
        order = {
            "order_no": order_no,
            "amount": PRICE_FEN,
            "currency": "CNY",
            "subject": text("product", _lang(request)),
            "return_url": f"{self._url}/return?{urlencode({'order': order_no})}",
        }
        try:
            payment = await self._gateway.create_payment(order)
        except GatewayRefused as refused:
            return self._page(request, "product.html", 502, price=yuan(PRICE_FEN), trouble=str(refused))
        return RedirectResponse(payment["checkout_url"], 303)

    async def back(self, request: Request) -> Response:
        """The buyer is back: the API is asked, the browser is not believed."""
        order_no = request.query_params.get("order", "")
        payment, trouble = None, ""
        try:
            payment = await self._gateway.payment_of(order_no) if order_no else None
        except GatewayRefused as refused:
            trouble = str(refused)
        status = 404 if payment is None and not trouble else 200
        return self._page(request, "return.html", status, order_no=order_no, payment=payment, trouble=trouble)

    async def webhooks(self, request: Request) -> Response:
        return self._page(request, "webhooks.html", arrived=self._inbox.newest(), refused=self._inbox.refused)

    async def receive(self, request: Request) -> Response:
        """Where the gateway sends: 204 once it is verified and kept."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                return JSONResponse({"error": "too large"}, 413)
        try:
            self._inbox.receive(request.headers, body, self._now())
        except NotVerified as refused:
            return JSONResponse({"error": str(refused)}, 401)
        return Response(status_code=204)

    def _page(self, request: Request, template: str, status: int = 200, **values: object) -> Response:
        lang = _lang(request)
        other = "en" if lang == "zh" else "zh"
        html = self._env.get_template(template).render(
            t=lambda key: text(key, lang),
            lang=TAGS[lang],
            other_lang=TAGS[other],
            other_address=f"?{urlencode({**request.query_params, 'lang': other})}",
            yuan=yuan,
            **values,
        )
        response = HTMLResponse(html, status, headers=HEADERS)
        if "lang" in request.query_params:
            response.set_cookie("shop_lang", lang, samesite="lax")
        return response


HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self' http: https:; base-uri 'none'; frame-ancestors 'none'"
    ),
}


def yuan(fen: int) -> str:
    """`9900` -> `99.00`."""
    return f"{fen // 100:,}.{fen % 100:02}"


def _lang(request: Request) -> str:
    wanted = request.query_params.get("lang") or request.cookies.get("shop_lang") or ""
    return language(wanted, request.headers.get("accept-language", ""))


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        return Response(status_code=404)
    body = (files("tongbao.cli.shop") / "static" / name).read_bytes()
    return Response(body, media_type=STATIC[name], headers={"cache-control": "no-cache"})
