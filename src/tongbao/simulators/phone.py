"""The buyer's phone: scan a code, look at what it asks for, pay, decline, walk away; as pages and as one JSON call."""

from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tongbao.simulators.bank import Buyer
from tongbao.simulators.channel import ChannelSimulator, House, Offer, PaymentRefused
from tongbao.simulators.pages import OUTCOME_HEADER, form_of, from_elsewhere
from tongbao.simulators.panel import answer_json, refusal
from tongbao.simulators.texts import text


class ScanOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_sandbox/scan`: a QR's content or an in-app order; `action`: look, scan, pay, decline, leave.

    `look` leaves no trace; `scan` opens the cashier; `leave` scans and walks away. `buyer` is a user or logon id.
    """

    content: str
    buyer: str = ""
    action: str = "pay"


class Phone:
    """The phone of whichever buyer is chosen."""

    def __init__(self, sandbox: House) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/phone", self.show, methods=["GET"]),
            Route("/phone", self.scan, methods=["POST"]),
            Route("/phone/{channel}/{token}", self.offer, methods=["GET"]),
            Route("/phone/{channel}/{token}", self.act, methods=["POST"]),
            Route("/_sandbox/scan", self.api, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        return self._list(request)

    def _list(self, request: Request, message: str = "", status: int = 200) -> Response:
        offers = [offer for channel in self._sandbox.channels for offer in channel.codes()]
        return self._sandbox.pages.page(
            request,
            "phone.html",
            status=status,
            offers=offers,
            message=message,
            buyers=self._sandbox.bank.buyers.values(),
            chosen=request.query_params.get("buyer", ""),
        )

    async def scan(self, request: Request) -> Response:
        """The buyer scans: at most channels the trade comes to be now."""
        form = await form_of(request)
        if from_elsewhere(request):
            return self._sandbox.pages.error(request, 403, "cross_site")
        buyer = self._buyer(form.get("buyer", ""))
        try:
            found = self._sandbox.find(form.get("content") or form.get("code", ""))
            if found is None:
                return self._list(request, text("not_a_code", self._sandbox.language(request)), 404)
            channel, token = found
            channel.scan(token, buyer)
        except PaymentRefused as refused:
            return self._list(request, f"{refused.message} ({refused.code})", 409)
        query = urlencode({"buyer": buyer.user_id})
        return RedirectResponse(f"/phone/{channel.name}/{token}?{query}", status_code=303)

    async def offer(self, request: Request) -> Response:
        channel, offer = self._asked(request)
        if channel is None or offer is None:
            return self._sandbox.pages.error(request, 404, "no_such_page")
        return self._page(request, offer, self._buyer(request.query_params.get("buyer", "")))

    async def act(self, request: Request) -> Response:
        channel, offer = self._asked(request)
        form = await form_of(request)
        if channel is None or offer is None:
            return self._sandbox.pages.error(request, 404, "no_such_page")
        if from_elsewhere(request):
            return self._sandbox.pages.error(request, 403, "cross_site")
        buyer, action = self._buyer(form.get("buyer", "")), form.get("action", "leave")
        try:
            done = _ACTIONS.get(action, _leave)(channel, offer.token, buyer)
        except PaymentRefused as refused:
            again = channel.offer(offer.token) or offer
            return self._page(request, again, buyer, refused.code, refused.message, 409)
        return self._page(request, done, buyer, _OUTCOMES.get(action, "abandoned"))

    async def api(self, request: Request) -> Response:
        """`POST /_sandbox/scan`: 200 with the offer, 404 for an unknown code, 409 with the channel's refusal."""
        if from_elsewhere(request):
            return refusal("another site's page", 403)
        try:
            order = msgspec.json.decode(await request.body(), type=ScanOrder)
        except msgspec.MsgspecError as error:
            return refusal(str(error))
        if order.action not in _ACTIONS:
            return refusal(f"action is one of {', '.join(_ACTIONS)}")
        if order.buyer and self._sandbox.bank.buyer(order.buyer) is None:
            known = ", ".join(buyer.logon_id for buyer in self._sandbox.bank.buyers.values())
            return refusal(f"there is no buyer {order.buyer!r}; there are {known}")
        try:
            found = self._sandbox.find(order.content)
            if found is None:
                return refusal("this is not a code of any channel of this sandbox", 404)
            channel, token = found
            offer = _ACTIONS[order.action](channel, token, self._buyer(order.buyer))
        except PaymentRefused as refused:
            return answer_json({"error": refused.code, "message": refused.message}, 409)
        return answer_json({**offer.facts(), "outcome": _OUTCOMES[order.action]})

    def _asked(self, request: Request) -> tuple[ChannelSimulator | None, Offer | None]:
        channel = self._sandbox.channel(request.path_params["channel"])
        return channel, channel.offer(request.path_params["token"]) if channel else None

    def _buyer(self, who: str) -> Buyer:
        return self._sandbox.bank.buyer(who) or self._sandbox.bank.first_buyer()

    def _page(
        self, request: Request, offer: Offer, buyer: Buyer, outcome: str = "", message: str = "", status: int = 200
    ) -> Response:
        response = self._sandbox.pages.page(
            request,
            "offer.html",
            status=status,
            offer=offer,
            buyer=buyer,
            outcome=outcome,
            message=message,
            now=self._sandbox.bank.clock.now(),
        )
        if outcome:
            response.headers[OUTCOME_HEADER] = outcome
        return response


def _look(channel: ChannelSimulator, token: str, _: Buyer) -> Offer:
    offer = channel.offer(token)
    assert offer is not None, "the token was recognised"
    return offer


def _leave(channel: ChannelSimulator, token: str, buyer: Buyer) -> Offer:
    return channel.scan(token, buyer)


_ACTIONS = {
    "look": _look,
    "scan": lambda channel, token, buyer: channel.scan(token, buyer),
    "pay": lambda channel, token, buyer: channel.pay(token, buyer),
    "decline": lambda channel, token, buyer: channel.decline(token, buyer),
    "leave": _leave,
}
_OUTCOMES = {"look": "", "scan": "", "pay": "paid", "decline": "declined", "leave": "abandoned"}
