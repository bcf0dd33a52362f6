"""The sandbox's pages: templates, language, and the headers that keep a page from loading or leaking anything.

Rule: pages work without JavaScript, load nothing from elsewhere, and carry no inline script or style, so that a strict
content security policy holds. `form-action` is open because a merchant's return address may be anywhere.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qsl

import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tongbao.simulators.texts import LANGUAGES, text

OUTCOME_HEADER = "x-sandbox-outcome"
"""On the answer to a buyer's action: paid, declined, abandoned, or the channel's code of a refusal."""

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self' http: https:; base-uri 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
FOLDER = Path(__file__).parent
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
CHINA = timezone(timedelta(hours=8))


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; of a repeated one the last."""
    body = (await request.body()).decode("utf-8", "replace")
    return dict(parse_qsl(body, keep_blank_values=True))


def from_elsewhere(request: Request) -> bool:
    """Whether another site's page sent this request (as far as the browser says)."""
    return request.headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")


def language(request: Request) -> str:
    """`?lang=` wins and sticks (a cookie), then the browser's preference, then English."""
    wanted = request.query_params.get("lang") or request.cookies.get("sandbox_lang") or ""
    if wanted in LANGUAGES:
        return wanted
    return "zh" if request.headers.get("accept-language", "").lower().lstrip().startswith("zh") else "en"


def qr_svg(content: str) -> Markup:
    """A QR code as inline SVG: level M, quiet zone 4, dark on white."""
    drawn = segno.make(content, error="m").svg_inline(scale=6, border=4, light="#fff", svgclass="qr", omitsize=True)
    return Markup(drawn)  # noqa: S704 - made here, of squares only


def local_time(instant: datetime) -> str:
    """China time, as the channels write it."""
    return instant.astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")


class Pages:
    """Renders templates from the package."""

    def __init__(self) -> None:
        loader = FileSystemLoader(FOLDER / "templates")
        self._env = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
        self._env.filters |= {"local_time": local_time, "qr": qr_svg, "epoch": lambda at: int(at.timestamp())}

    def page(self, request: Request, template: str, *, status: int = 200, **values: object) -> Response:
        """A page in the reader's language."""
        lang = language(request)
        response = HTMLResponse(self.html(template, lang, path=request.url.path, **values), status, headers=HEADERS)
        if request.query_params.get("lang") in LANGUAGES:
            response.set_cookie("sandbox_lang", lang, samesite="lax")
        return response

    def error(self, request: Request, status: int, key: str) -> Response:
        lang = language(request)
        return self.page(request, "error.html", status=status, charset="utf-8", code="", message=text(key, lang))

    def error_html(self, code: str, message: str) -> str:
        """The channel's own error page for a browser, in Chinese and GBK as the real one is."""
        return self.html("error.html", "zh", path="", charset="GBK", code=code, message=message)

    def html(self, template: str, lang: str, **values: object) -> str:
        shown: Mapping[str, object] = {"charset": "utf-8", "lang": lang, "t": lambda key: text(key, lang), **values}
        return self._env.get_template(template).render(shown)

    def routes(self) -> list[Route]:
        """The static files, held in memory."""
        return [Route("/_sandbox/static/{name}", _static, methods=["GET"])]


async def _static(request: Request) -> Response:
    found = _FILES.get(request.path_params["name"])
    if found is None:
        return Response(status_code=404)
    kind, body = found
    return Response(
        body, headers={"cache-control": "max-age=300", "x-content-type-options": "nosniff"}, media_type=kind
    )


_FILES = {
    path.name: (CONTENT_TYPES[path.suffix], path.read_bytes())
    for path in sorted((FOLDER / "static").iterdir())
    if path.suffix in CONTENT_TYPES
}
