"""Alipay's own pages: the desktop cashier that page.pay redirects to, the mobile one of wap.pay, the agreement page.

Rule: opening the page is not a trade. The trade comes to be when the buyer logs in (pays or declines here) or scans the
page's code; who walks away before that leaves nothing behind.
"""

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tongbao.simulators.alipay import agreements, statements
from tongbao.simulators.channel import Offer, PaymentRefused
from tongbao.simulators.pages import OUTCOME_HEADER, Pages, form_of

if TYPE_CHECKING:
    from tongbao.simulators.alipay.simulator import Alipay


def routes(alipay: "Alipay", pages: Pages) -> list[BaseRoute]:
    cashier = Cashier(alipay, pages)
    made: list[BaseRoute] = []
    for place in ("cashier", "wap"):
        made += [
            Route(f"/alipay/{place}/{{token}}", cashier.show, methods=["GET"], name=f"alipay-{place}"),
            Route(f"/alipay/{place}/{{token}}", cashier.act, methods=["POST"]),
            Route(f"/alipay/{place}/{{token}}/state", cashier.state, methods=["GET"]),
            Route(f"/alipay/{place}/{{token}}/return", cashier.back, methods=["GET"]),
        ]
    signing = Signing(alipay, pages)
    return [
        *made,
        Route("/alipay/sign/{token}", signing.show, methods=["GET"]),
        Route("/alipay/sign/{token}", signing.act, methods=["POST"]),
        Route(statements.PATH, signing.file, methods=["GET"]),
    ]


class Cashier:
    """The page in its states: to pay, paid, declined, abandoned, over."""

    def __init__(self, alipay: "Alipay", pages: Pages) -> None:
        self._alipay = alipay
        self._pages = pages

    async def show(self, request: Request) -> Response:
        offer = self._alipay.offer(request.path_params["token"])
        if offer is None:
            return self._pages.error(request, 404, "no_such_page")
        if offer.state == "paid" and (address := self._address(offer)):
            return _redirect(address)
        return self._page(request, offer)

    async def act(self, request: Request) -> Response:
        """The buyer's decision; a refusal of the payment is shown on the page."""
        offer = self._alipay.offer(request.path_params["token"])
        if offer is None:
            return self._pages.error(request, 404, "no_such_page")
        form = await form_of(request)
        buyer = self._alipay.bank.buyer(form.get("buyer", "")) or self._alipay.bank.first_buyer()
        try:
            if form.get("action") == "pay":
                paid = self._alipay.pay(offer.token, buyer)
                return _redirect(self._address(paid) or request.url.path, outcome="paid")
            if form.get("action") == "decline":
                return self._page(request, self._alipay.decline(offer.token, buyer), outcome="declined")
        except PaymentRefused as refused:
            again = self._alipay.offer(offer.token) or offer
            return self._page(request, again, outcome=refused.code, message=refused.message, status=409)
        return self._page(request, offer, outcome="abandoned")

    async def state(self, request: Request) -> Response:
        """For the page's script: whether the code was paid meanwhile, and where to go then."""
        offer = self._alipay.offer(request.path_params["token"])
        if offer is None:
            return JSONResponse({"state": "unknown"}, status_code=404)
        go = f"{request.url.path.removesuffix('/state')}/return" if offer.state == "paid" else ""
        return JSONResponse({"state": offer.state, "go": go}, headers={"cache-control": "no-store"})

    async def back(self, request: Request) -> Response:
        offer = self._alipay.offer(request.path_params["token"])
        address = self._address(offer) if offer is not None and offer.state == "paid" else ""
        return _redirect(address or request.url.path.removesuffix("/return"))

    def _address(self, offer: Offer) -> str:
        order = self._alipay.book.orders.get(offer.token)
        return "" if order is None else self._alipay.return_address(order)

    def _page(
        self, request: Request, offer: Offer, *, outcome: str = "", message: str = "", status: int = 200
    ) -> Response:
        order = self._alipay.book.orders.get(offer.token)
        place = "wap" if "/wap/" in request.url.path else "cashier"
        response = self._pages.page(
            request,
            f"alipay_{place}.html",
            status=status,
            offer=offer,
            outcome=outcome,
            message=message,
            buyers=self._alipay.bank.buyers.values(),
            quit_url=order.quit_url if order else "",
            now=self._alipay.bank.clock.now(),
        )
        if outcome:
            response.headers[OUTCOME_HEADER] = outcome
        return response


class Signing:
    """The page of alipay.user.agreement.page.sign, and the files behind statement addresses."""

    def __init__(self, alipay: "Alipay", pages: Pages) -> None:
        self._alipay = alipay
        self._pages = pages

    async def show(self, request: Request) -> Response:
        return self._page(request)

    async def act(self, request: Request) -> Response:
        """The buyer agrees, or walks away."""
        made = self._alipay.agreement(request.path_params["token"])
        form = await form_of(request)
        if made is None or form.get("action") != "pay":
            return self._page(request, outcome="declined" if form.get("action") == "decline" else "abandoned")
        buyer = self._alipay.bank.buyer(form.get("buyer", "")) or self._alipay.bank.first_buyer()
        agreements.sign(self._alipay.book, made, buyer)
        return _redirect(self._alipay.agreement_return(made) or request.url.path, outcome="signed")

    def _page(self, request: Request, outcome: str = "") -> Response:
        made = self._alipay.agreement(request.path_params["token"])
        if made is None:
            return self._pages.error(request, 404, "no_such_page")
        app, buyers = self._alipay.apps.get(made.app_id), self._alipay.bank.buyers.values()
        payee = app.seller_name if app else made.seller_id
        response = self._pages.page(
            request, "alipay_sign.html", agreement=made, payee=payee, buyers=buyers, outcome=outcome
        )
        if outcome:
            response.headers[OUTCOME_HEADER] = outcome
        return response

    async def file(self, request: Request) -> Response:
        """A statement; the address dies after 30 seconds."""
        found = statements.download(self._alipay.book, request.query_params.get("token", ""))
        if found is None:
            return Response("The address has expired.", 403)
        name, content = found
        return Response(
            content,
            media_type="application/octet-stream",
            headers={"content-disposition": f"attachment;filename={name}"},
        )


def _redirect(address: str, *, outcome: str = "") -> Response:
    response = RedirectResponse(address, status_code=303)
    response.headers["cache-control"] = "no-store"
    if outcome:
        response.headers[OUTCOME_HEADER] = outcome
    return response
