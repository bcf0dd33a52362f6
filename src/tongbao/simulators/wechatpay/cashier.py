"""WeChat's own pages: the H5 page in a phone's browser, and the cashier inside the app.

Rule: the H5 page lives five minutes and is no page of the app (it refuses the app's browser, as the real one does; the
real one also wants the merchant's registered domain as Referer, which a sandbox cannot know). The in-app page checks
the parameters as the app does before it shows the cashier. After a decision the buyer goes back to the merchant.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tongbao.simulators.bank import Buyer
from tongbao.simulators.channel import Offer, PaymentRefused
from tongbao.simulators.faults import Fault
from tongbao.simulators.pages import OUTCOME_HEADER, Pages, form_of, from_elsewhere, language
from tongbao.simulators.wechatpay import in_app
from tongbao.simulators.wechatpay.book import Book, NotPayable
from tongbao.simulators.wechatpay.console import Console
from tongbao.simulators.wechatpay.model import PAID_STATES, Order
from tongbao.simulators.wechatpay.orders import H5_PATH

if TYPE_CHECKING:
    from tongbao.simulators.wechatpay.simulator import WeChatPay

IN_APP_PATH = "/wechatpay/jsapi"
APP_AGENT = "MicroMessenger"
ENGLISH = {
    "IN_APP_BROWSER": "Open the order outside WeChat to pay it.",
    "PREPAY_ID_INVALID": "This payment request is no longer valid; start the payment again.",
    "PARAM_MISSING": "A parameter of the call is missing.",
    "PARAM_ERROR": "signType or package is wrong.",
    "APPID_MISMATCH": "App or merchant is not the one of the order.",
    "SIGN_ERROR": "The merchant's signature of the call is wrong.",
    "OPENID_MISMATCH": "The order was made for another buyer.",
    "NOTENOUGH": "The balance does not suffice.",
    "ORDERPAID": "The order is paid already.",
    "ORDERCLOSED": "The order is closed.",
}
"""What the app says in Chinese, for readers of English, by code."""
_RESULTS = {"paid": "ok", "declined": "cancel", "abandoned": "cancel"}
_APP_RESULTS = {"ok": 0, "fail": -1, "cancel": -2}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cashier stands: how it finds its order (raises PaymentRefused), and where it sends the buyer back to."""

    name: str
    find: Callable[[Book, Request], Order]
    back: Callable[[Request, str], str]


def routes(wechat: "WeChatPay", pages: Pages) -> list[BaseRoute]:
    web, inside = Cashier(wechat, pages, WEB), Cashier(wechat, pages, IN_APP)
    client, console = Client(wechat), Console(wechat.book, wechat.gateway.limits)
    return [
        Route(H5_PATH, web.show, methods=["GET"]),
        Route(H5_PATH, web.act, methods=["POST"]),
        Route(IN_APP_PATH, inside.show, methods=["GET"]),
        Route(IN_APP_PATH, inside.act, methods=["POST"]),
        Route("/_sandbox/wechatpay/invoke", client.invoke, methods=["POST"]),
        Route("/_sandbox/wechatpay/keys", console.keys, methods=["GET", "POST"]),
        Route("/_sandbox/wechatpay/merchants", console.merchants, methods=["POST"]),
        Route("/_sandbox/wechatpay/limits", console.limits, methods=["GET", "POST"]),
    ]


class Cashier:
    """The page in its states: to pay, paid, declined, abandoned, over."""

    def __init__(self, wechat: "WeChatPay", pages: Pages, place: Place) -> None:
        self._wechat = wechat
        self._book = wechat.book
        self._pages = pages
        self._place = place

    async def show(self, request: Request) -> Response:
        try:
            order = self._place.find(self._book, request)
            if order.status not in PAID_STATES:
                self._book.opened(order)
        except (PaymentRefused, NotPayable) as refused:
            return self._refused(request, refused.code, refused.message)
        return self._page(request, order, self._offer(order))

    async def act(self, request: Request) -> Response:
        """The buyer's decision; a refusal of the payment is shown on the page."""
        form = await form_of(request)
        if from_elsewhere(request):
            return self._pages.error(request, 403, "cross_site")
        try:
            order = self._place.find(self._book, request)
        except PaymentRefused as refused:
            return self._refused(request, refused.code, refused.message)
        try:
            buyer = chosen(self._wechat, order, form.get("buyer", ""))
            outcome, offer = decided(self._wechat, self._offer(order), buyer, form.get("action", "leave"))
        except PaymentRefused as refused:
            return self._page(request, order, self._offer(order), refused.code, refused.message, 409)
        back = self._place.back(request, outcome)
        if back and outcome != "abandoned" and not self._book.buyer_strikes(order, Fault.RETURN_LOST):
            return _redirect(back, outcome)
        return self._page(request, order, offer, outcome)

    def _offer(self, order: Order) -> Offer:
        offer = self._wechat.offer(order.token)
        assert offer is not None, "the order was found"
        return offer

    def _page(
        self, request: Request, order: Order, offer: Offer, outcome: str = "", message: str = "", status: int = 200
    ) -> Response:
        owner, bank = self._wechat.owner_of(order), self._wechat.bank
        response = self._pages.page(
            request,
            "wechatpay_cashier.html",
            status=status,
            offer=offer,
            outcome=outcome,
            message=_words(request, outcome, message),
            place=self._place.name,
            here=_here(request),
            buyers=[owner] if owner else bank.buyers.values(),
            back=self._place.back(request, outcome or "abandoned"),
            now=bank.clock.now(),
        )
        if outcome:
            response.headers[OUTCOME_HEADER] = outcome
        return response

    def _refused(self, request: Request, code: str, message: str) -> Response:
        said, place = _words(request, code, message), self._place.name
        response = self._pages.page(request, "wechatpay_refused.html", status=409, code=code, message=said, place=place)
        response.headers[OUTCOME_HEADER] = code
        return response


def chosen(wechat: "WeChatPay", order: Order | None, who: str) -> Buyer:
    """The buyer who is named, or whom the order was made for, or the first one."""
    owner = wechat.owner_of(order) if order is not None else None
    return wechat.bank.buyer(who) or owner or wechat.bank.first_buyer()


def decided(wechat: "WeChatPay", offer: Offer, buyer: Buyer, action: str) -> tuple[str, Offer]:
    """What came of it; raises PaymentRefused."""
    if action == "pay":
        return "paid", wechat.pay(offer.token, buyer)
    if action == "decline":
        return "declined", wechat.decline(offer.token, buyer)
    return "abandoned", offer


def _web_order(book: Book, request: Request) -> Order:
    if APP_AGENT in request.headers.get("user-agent", ""):
        raise PaymentRefused("IN_APP_BROWSER", "请在微信外打开订单，进行支付")
    order = book.by_handle(request.query_params.get("prepay_id", ""))
    if order is None or order.product != "MWEB":
        raise PaymentRefused("PREPAY_ID_INVALID", "支付请求已失效，请重新发起支付")
    return order


def _in_app_order(book: Book, request: Request) -> Order:
    params: dict[str, object] = {name.lower(): value for name, value in request.query_params.items()}
    return in_app.order_of(book, {"paysign": "", **params})


def _web_back(request: Request, _: str) -> str:
    return _web_address(request.query_params.get("redirect_url", ""))


def _in_app_back(request: Request, outcome: str) -> str:
    """The client hands `err_msg` to the page's callback; here it goes back in the query of `return_url`."""
    address = _web_address(request.query_params.get("return_url", ""))
    result = urlencode({"err_msg": f"get_brand_wcpay_request:{_RESULTS.get(outcome, 'fail')}"})
    return f"{address}{'&' if urlsplit(address).query else '?'}{result}" if address else ""


WEB = Place("h5", _web_order, _web_back)
IN_APP = Place("jsapi", _in_app_order, _in_app_back)


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_sandbox/wechatpay/invoke`. `action`: pay, decline or leave."""

    params: dict[str, object]
    buyer: str = ""
    action: str = "pay"


class Client:
    """The app's side of a call from a page, a mini program or another app, as one JSON call."""

    def __init__(self, wechat: "WeChatPay") -> None:
        self._wechat = wechat

    async def invoke(self, request: Request) -> Response:
        """Answers as the client does: `err_msg`, for an app `errCode`; 409 when it does not open the cashier."""
        if from_elsewhere(request):
            return _json({"error": "another site's page"}, 403)
        try:
            order = msgspec.json.decode(await request.body(), type=Invocation)
        except msgspec.MsgspecError as error:
            return _json({"error": str(error)}, 400)
        text = msgspec.json.encode(order.params).decode()
        kind = in_app.kind_of(in_app.read_params(text) or {"paysign": ""})
        try:
            outcome, offer = self._called(text, order)
        except PaymentRefused as refused:
            return _json({**_told(kind, "fail"), "err_desc": refused.message, "error": refused.code}, 409)
        return _json({**_told(kind, _RESULTS[outcome]), "outcome": outcome, **offer.facts()})

    def _called(self, text: str, order: Invocation) -> tuple[str, Offer]:
        token = self._wechat.recognise(text)
        if token is None:
            raise PaymentRefused("PARAM_MISSING", "调用支付缺少参数：package")
        buyer = chosen(self._wechat, self._wechat.book.by_token(token), order.buyer)
        return decided(self._wechat, self._wechat.scan(token, buyer), buyer, order.action)


def _told(kind: str, result: str) -> dict[str, object]:
    """What the client is told; only a hint."""
    if kind == "app":
        return {"errCode": _APP_RESULTS[result]}
    name = "requestMerchantTransfer" if kind == "transfer" else "get_brand_wcpay_request"
    return {"err_msg": f"{name}:{result}"}


def _words(request: Request, code: str, message: str) -> str:
    """The app's words; before them, for who reads English, what they mean."""
    return f"{ENGLISH[code]} {message}" if language(request) == "en" and code in ENGLISH else message


def _here(request: Request) -> str:
    """The page's own address, without the language that was chosen."""
    query = urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "lang"])
    return f"{request.url.path}?{query}"


def _web_address(text: str) -> str:
    """Only addresses of the web are gone back to."""
    return text if urlsplit(text).scheme in ("http", "https") else ""


def _redirect(address: str, outcome: str) -> Response:
    response = RedirectResponse(address, status_code=303)
    response.headers["cache-control"] = "no-store"
    response.headers[OUTCOME_HEADER] = outcome
    return response


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
