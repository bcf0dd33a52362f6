"""`/checkout/{payment_id}?cs=...`: the hosted checkout page.

Rule 1: everything works without JavaScript: choosing is a form, waiting refreshes itself. The script only adds speed.
Rule 2: the server renders each state once, here; the script fetches the same page and swaps it in, so that there is no
        second rendering to disagree with.
Rule 3: whoever has the token may look and pay, nobody else may know that the payment exists.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tongbao.bootstrap import App
from tongbao.domain.errors import InvalidInput, NotFound, StorageUnavailable, TongbaoError, TransitionRefused
from tongbao.domain.money import Money, currency
from tongbao.services.accounts import Offer
from tongbao.services.views import NextActionView, PaymentView, encode_json
from tongbao.web import pages, texts
from tongbao.web.bridges import call_of
from tongbao.web.door import read_body
from tongbao.web.problems import TooLarge
from tongbao.web.shown import CHOOSING, PageState, Snapshot
from tongbao.web.surfaces import Surface, arrange, opened_elsewhere, surface_of, takes
from tongbao.web.tokens import admit
from tongbao.web.watching import Watches, told

log = structlog.get_logger()

FORM_BYTES_MAX = 4096
REFRESH_SECONDS = 3
NAMES_KEPT_MAX = 10_000
POST_SCRIPT = "document.forms[0].submit()"
POST_SCRIPT_HASH = f"'sha256-{b64encode(sha256(POST_SCRIPT.encode()).digest()).decode()}'"
"""The self-posting page has one line of script, which its policy names by its hash."""


class Begun(msgspec.Struct):
    """What matters of the answer to a new attempt."""

    next_action: NextActionView | None = None


def routes(services: App, watches: Watches) -> list[Route]:
    """The pages under `/checkout`."""
    page = Checkout(services, watches)
    return [
        Route("/checkout/{payment_id}", page.safely(page.show), methods=["GET"]),
        Route("/checkout/{payment_id}", page.safely(page.choose), methods=["POST"]),
        Route("/checkout/{payment_id}/status", page.safely(page.status), methods=["GET"]),
        Route("/checkout/{payment_id}/qr.svg", page.safely(page.qr), methods=["GET"]),
        Route("/checkout/{payment_id}/post", page.safely(page.post), methods=["GET"]),
    ]


class Checkout:
    """One payment's page in its states."""

    def __init__(self, services: App, watches: Watches) -> None:
        self._services = services
        self._watches = watches
        self._pages = pages.Pages()
        self._names: dict[str, str] = {}

    # --- handlers

    async def show(self, request: Request) -> Response:
        snapshot = await self._snapshot(request)
        self._watches.ask(snapshot)
        return await self._page(request, snapshot)

    async def choose(self, request: Request) -> Response:
        """Begins an attempt by the method whose button was pressed; the buyer goes on at the channel, or here."""
        snapshot = await self._snapshot(request)
        if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return await self._page(request, snapshot, notice="cross_site", status=403)
        body = await read_body(request.scope, request.receive, FORM_BYTES_MAX)
        method = dict(parse_qsl(body.decode("utf-8", "replace"))).get("method", "")
        payment, _ = await self._services.reading.payment_by_id(snapshot.view.id)
        try:
            offer = next((one for one in await self._offers(snapshot) if one.method == method), None)
            if offer is None:
                raise InvalidInput("not offered", code="unknown_method")
            begun = await self._services.attempts.begin(
                payment.app_id, payment, method, {}, None, None, request.client.host if request.client else None
            )
        except TransitionRefused:
            return self._redirect(self._address(request))
        except InvalidInput as error:
            log.info("checkout_method_refused", payment_id=payment.id, method=method[:64], code=error.code)
            return await self._page(request, snapshot, notice="method_gone", status=422)
        action = msgspec.json.decode(begun.body, type=Begun).next_action
        on = action.url if action is not None and action.type == "redirect" else None
        return self._redirect(on, _referrer([offer])) if on else self._redirect(self._address(request))

    async def status(self, request: Request) -> Response:
        """For the page's script when it has no stream; asks the channel like an open page does."""
        self._admit(request)
        snapshot = await self._watches.look(request.path_params["payment_id"])
        self._watches.ask(snapshot)
        kept = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
        return Response(told(snapshot.shown, self._services), headers=kept, media_type="application/json")

    async def qr(self, request: Request) -> Response:
        """The code as an image, for pages of the merchant's own."""
        snapshot = await self._snapshot(request)
        if snapshot.shown.state is not PageState.SCAN:
            raise NotFound("nothing to scan")
        svg = pages.qr_svg(_content(snapshot.view), whole_file=True)
        only_image = pages.headers() | {"content-security-policy": "default-src 'none'"}
        return Response(svg, headers=only_image, media_type="image/svg+xml")

    async def post(self, request: Request) -> Response:
        """Where a channel wants a posted form: a page that posts it, by script or by its button."""
        snapshot = await self._snapshot(request)
        action = snapshot.view.next_action
        if snapshot.shown.state is not PageState.REDIRECT or action is None or action.form is None:
            return self._redirect(self._address(request))
        head = pages.headers(script=POST_SCRIPT_HASH, insecure_forms=not snapshot.view.livemode)
        return self._pages.page(
            "checkout/post.html", head=head, form=action.form, script=POST_SCRIPT, **self._words(request, snapshot)
        )

    # --- one request

    def _admit(self, request: Request) -> None:
        admit(self._services.views, request.path_params["payment_id"], request.query_params.get("cs", ""))

    async def _snapshot(self, request: Request) -> Snapshot:
        self._admit(request)
        return await self._watches.look(request.path_params["payment_id"], 0.0)

    def safely(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """The handler, with a page for everything that can go wrong."""

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except NotFound:
                return self._problem(request, 404, "missing")
            except TooLarge:
                return self._problem(request, 413, "broken")
            except StorageUnavailable:
                return self._problem(request, 503, "away")
            except TongbaoError as error:
                log.error("checkout_failed", code=error.code, message=error.message)
            except Exception:
                log.exception("checkout_crashed")
            return self._problem(request, 500, "broken")

        return handle

    def _problem(self, request: Request, status: int, kind: str) -> Response:
        lang = pages.language(request)
        head = pages.headers() | ({"retry-after": "2"} if status == 503 else {})
        again = request.method == "GET" and status == 503
        return self._pages.page(
            "checkout/problem.html",
            status,
            head,
            title=texts.text(f"{kind}_title", lang),
            message=texts.text(f"{kind}_text", lang),
            refresh_seconds=REFRESH_SECONDS if again else 0,
            **self._plain_words(request),
        )

    @staticmethod
    def _redirect(url: str, referrer: str = pages.NO_REFERRER) -> Response:
        return RedirectResponse(url, 303, {"cache-control": "no-store", "referrer-policy": referrer})

    def _address(self, request: Request, lang: str = "") -> str:
        """This page, in the language that was asked for."""
        query = {"cs": request.query_params.get("cs", "")}
        wanted = lang or request.query_params.get("lang", "")
        if wanted:
            query["lang"] = wanted
        return f"/checkout/{request.path_params['payment_id']}?{urlencode(query)}"

    # --- what is shown

    async def _offers(self, snapshot: Snapshot) -> list[Offer]:
        view = snapshot.view
        amount = Money(view.amount, currency(view.currency))
        return [offer for offer in await self._services.accounts.offers(snapshot.app_id) if takes(offer, amount)]

    async def _merchant(self, app_id: str) -> str:
        name = self._names.get(app_id)
        if name is None:
            if len(self._names) >= NAMES_KEPT_MAX:
                self._names.clear()
            name = self._names[app_id] = (await self._services.accounts.read_app(app_id)).name
        return name

    async def _page(self, request: Request, snapshot: Snapshot, *, notice: str = "", status: int = 200) -> Response:
        view, shown = snapshot.view, snapshot.shown
        lang, surface = pages.language(request), surface_of(request.headers.get("user-agent", ""))
        merchant, offered = await self._merchant(snapshot.app_id), list[Offer]()
        inside = shown.state is PageState.IN_APP and surface.wallet == view.channel
        if shown.state in CHOOSING and not inside:
            offered = arrange(await self._offers(snapshot), surface)
        now = self._services.clock.now()
        return self._pages.page(
            "checkout/page.html",
            status,
            pages.headers(insecure_forms=not snapshot.view.livemode, referrer=_referrer(offered)),
            view=view,
            shown=shown,
            merchant=merchant,
            amount=pages.amount_text(Money(view.amount, currency(view.currency))),
            symbol=pages.SYMBOLS.get(view.currency, ""),
            offers=offered,
            notice=_notice(notice, offered, surface, lang, is_for_app=shown.state is PageState.IN_APP),
            app=texts.app_name(view.channel or "", lang),
            qr=pages.markup(pages.qr_svg(_content(view))) if shown.state is PageState.SCAN else "",
            bridge=_bridge(view) if shown.state is PageState.IN_APP else "",
            inside=inside,
            page_code=_page_code(view, surface) if shown.state is PageState.IN_APP and not inside else "",
            left=_left(view.expires_at, now),
            now_ms=int(now.timestamp() * 1000),
            expires_ms=int(view.expires_at.timestamp() * 1000),
            refresh_seconds=REFRESH_SECONDS if _waits(shown.state, shown.final) else 0,
            **self._words(request, snapshot),
        )

    def _words(self, request: Request, snapshot: Snapshot) -> Mapping[str, Any]:
        token = urlencode({"cs": request.query_params.get("cs", "")})
        payment_id = snapshot.view.id
        return {
            **self._plain_words(request),
            "livemode": snapshot.view.livemode,
            "stream": f"/v1/payments/{payment_id}/stream?{token}",
            "status_address": f"/checkout/{payment_id}/status?{token}",
        }

    def _plain_words(self, request: Request) -> dict[str, Any]:
        lang = pages.language(request)
        other = "en" if lang == "zh" else "zh"

        def t(key: str, **values: str) -> str:
            return texts.text(key, lang, **values)

        return {
            "t": t,
            "lang": texts.TAGS[lang],
            "other_lang": texts.TAGS[other],
            "other_address": self._address(request, other),
            "address": self._address(request),
            "channel_name": lambda channel: texts.channel_name(channel, lang),
            "method_hint": lambda method: texts.method_hint(method, lang),
            "livemode": True,
        }


def _content(view: PaymentView) -> str:
    action = view.next_action
    assert action is not None, "the state is SCAN"
    return action.content or ""


def _bridge(view: PaymentView) -> str:
    """What the script is told, as JSON."""
    assert view.latest_attempt is not None, "the state is IN_APP"
    return encode_json(call_of(view.latest_attempt)).decode()


def _page_code(view: PaymentView, surface: Surface) -> str:
    """This page's address as a code, for the phone of a buyer who opened it on a desk."""
    return pages.markup(pages.qr_svg(view.checkout_url)) if surface.device == "desk" else ""


def _referrer(offers: Sequence[Offer]) -> str:
    """A page's address holds its token, so nobody is told it; a channel that wants to know the site is told that."""
    return pages.ORIGIN_ONLY if any(offer.capability.wants_origin for offer in offers) else pages.NO_REFERRER


def _waits(state: PageState, final: bool) -> bool:
    """Whether something may happen while the page is only looked at."""
    return not final and state not in (PageState.CHOOSE, PageState.FAILED)


def _left(until: datetime, now: datetime) -> str:
    """`29:41`, the text that the script keeps running."""
    seconds = max(0, int((until - now).total_seconds()))
    hours, rest = divmod(seconds, 3600)
    minutes = f"{rest // 60:02}:{rest % 60:02}"
    return f"{hours}:{minutes}" if hours else minutes


def _notice(key: str, offered: list[Offer], surface: Surface, lang: str, *, is_for_app: bool) -> str:
    """What stands above the methods: a refusal, or that another app should open this page."""
    if key:
        return texts.text(key, lang)
    if offered and not is_for_app and surface.wallet is not None and opened_elsewhere(offered, surface):
        names = list(dict.fromkeys(texts.channel_name(offer.channel, lang) for offer in offered))
        others = ("、" if lang == "zh" else ", ").join(names)
        return texts.text("wrong_app", lang, wallet=texts.app_name(surface.wallet, lang), others=others)
    return ""
