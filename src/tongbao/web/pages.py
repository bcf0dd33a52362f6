"""Pages for people: templates, language, static files, and the headers under which a page may load and send nothing
that is not ours.

`form-action` is the one opening: Chromium checks every hop of a redirect that answers a form, and a buyer who chose a
method is redirected to the channel, which redirects on among hosts that only the channel knows. So a form may end at
any https address (for a test payment at http too: sandboxes are served so); its `action` is always our own.
"""

from collections.abc import Mapping
from functools import cache, lru_cache, partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tongbao.domain.money import Money
from tongbao.web import texts

FOLDER = Path(__file__).parent
CONTENT_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
SYMBOLS = {"CNY": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£", "HKD": "HK$", "TWD": "NT$", "KRW": "₩"}
CACHED = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


NO_REFERRER, ORIGIN_ONLY = "no-referrer", "strict-origin"
"""What a browser that leaves a page says of where it comes from: nothing, or the site without the address."""


def headers(*, script: str = "'self'", insecure_forms: bool = False, referrer: str = NO_REFERRER) -> dict[str, str]:
    """The headers of every page."""
    forms = "'self' https: http:" if insecure_forms else "'self' https:"
    policy = (
        f"default-src 'none'; script-src {script}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        f"form-action {forms}; frame-ancestors 'none'; base-uri 'none'"
    )
    return {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "referrer-policy": referrer,
        "x-content-type-options": "nosniff",
        "cross-origin-opener-policy": "same-origin",
        "vary": "accept-language, user-agent",
    }


def language(request: Request) -> str:
    """`?lang=` wins, then what the browser prefers."""
    return texts.language(request.query_params.get("lang", ""), request.headers.get("accept-language", ""))


def amount_text(amount: Money) -> str:
    """`1,234.50`; the currency stands beside it."""
    whole, point, rest = amount.major().partition(".")
    return f"{int(whole):,}{point}{rest}"


@lru_cache(maxsize=256)
def qr_svg(content: str, *, whole_file: bool = False) -> str:
    """A QR code as SVG: level M, quiet zone 4, dark on white. Inline it has no size of its own; the style gives it."""
    code = segno.make_qr(content, error="m", boost_error=False)
    made = BytesIO()
    save = partial(code.save, made, kind="svg", scale=8, border=4, dark="#000", light="#fff")
    if whole_file:
        save()
    else:
        save(xmldecl=False, svgns=False, svgclass="qr", omitsize=True, nl=False)
    return made.getvalue().decode()


class Pages:
    """Renders the package's templates."""

    def __init__(self) -> None:
        loader = FileSystemLoader(FOLDER / "templates")
        self._env = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._env.globals |= {"static": static_url}

    def html(self, template: str, **values: object) -> str:
        return self._env.get_template(template).render(values)

    def page(
        self, template: str, status: int = 200, head: Mapping[str, str] | None = None, **values: object
    ) -> HTMLResponse:
        return HTMLResponse(self.html(template, **values), status, headers=dict(head or headers()))


def markup(made_here: str) -> Markup:
    """Marks HTML that this program made of its own parts; never of a text from outside."""
    return Markup(made_here)  # noqa: S704 - see above


@cache
def _files() -> Mapping[str, tuple[str, bytes]]:
    found = sorted((FOLDER / "static").iterdir())
    return {path.name: (CONTENT_TYPES[path.suffix], path.read_bytes()) for path in found}


@cache
def static_url(name: str) -> str:
    """The address of a static file; it changes with its content, so that it can be kept for ever."""
    return f"/static/{name}?v={sha256(_files()[name][1]).hexdigest()[:10]}"


async def _static(request: Request) -> Response:
    found = _files().get(request.path_params["name"])
    if found is None:
        return Response(status_code=404)
    kind, body = found
    return Response(body, headers=CACHED, media_type=kind)


def static_routes() -> list[Route]:
    """The files, held in memory."""
    return [Route("/static/{name}", _static, methods=["GET"])]
