"""The buyer's hand: pays a redirect URL, a QR's content or a hosted checkout as a buyer with a browser would.

Rule: it knows no channel and no keys. It follows redirects, submits forms that post themselves, chooses a method on a
checkout page, presses the cashier's button, scans what a page shows with the sandbox's phone, and lets the wallet be
called by a page that was made for it - nothing that a buyer could not do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec

from tongbao.simulators.pages import OUTCOME_HEADER
from tongbao.transport import Reply, Request

STEPS_MAX = 20
FORM = {"content-type": "application/x-www-form-urlencoded"}
ACTIONS = {"pay": "paid", "decline": "declined", "leave": "abandoned"}


@dataclass(slots=True)
class Form:
    """A form as it stands on the page: where it goes, what it carries, and its named buttons."""

    action: str
    method: str
    marks: Mapping[str, str]
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """What matters of a page: its forms, its title, a QR that it shows, with what it would call the wallet that it is
    made for, and whether it goes on by itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.title = ""
        self.qr = ""
        self.called_with = ""
        self.refresh = ""
        self._script = ""
        self._inside = ""
        self._select = ""
        self.feed(html)
        self.close()

    @property
    def posts_itself(self) -> bool:
        return len(self.forms) == 1 and "submit()" in self._script

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        marks = {name: value or "" for name, value in attrs}
        self._inside = tag if tag in ("title", "script") else self._inside
        self._script += marks.get("onload", "")
        self.qr = self.qr or marks.get("data-qr-content", "")
        self.called_with = self.called_with or _called_with(marks.get("data-bridge", ""))
        if tag == "form":
            self.forms.append(Form(marks.get("action", ""), marks.get("method", "get").upper(), marks))
        elif tag == "meta" and marks.get("http-equiv", "").lower() == "refresh":
            self.refresh = marks.get("content", "").partition("url=")[2].strip("'\"")
        elif self.forms and tag in ("input", "button", "select", "option"):
            self._control(tag, marks)

    def _control(self, tag: str, marks: Mapping[str, str]) -> None:
        form, name, value = self.forms[-1], marks.get("name", ""), marks.get("value", "")
        kind = marks.get("type", "submit" if tag == "button" else "text")
        if tag == "select":
            self._select = name
        elif tag == "option":
            if self._select and ("selected" in marks or self._select not in form.fields):
                form.fields[self._select] = value
        elif kind in ("submit", "image", "button"):
            form.buttons.append((name, value))
        elif name and (kind not in ("radio", "checkbox") or "checked" in marks):
            form.fields[name] = value

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""
        if tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "title":
            self.title += data
        elif self._inside == "script":
            self._script += data

    def button(self, name: str, value: str) -> Form | None:
        """The form that has this button."""
        return next((form for form in self.forms if (name, value) in form.buttons), None)

    def values(self, name: str) -> list[str]:
        """The values of all buttons of that name."""
        return [value for form in self.forms for found, value in form.buttons if found == name]


@dataclass(frozen=True, slots=True)
class Paid:
    """How it ended. `outcome`: paid, signed (an agreement), declined, abandoned, refused; `reason` says why not."""

    outcome: str
    reason: str = ""
    steps: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.outcome in ("paid", "signed")


class Lost(Exception):
    """The way ended before a cashier was reached; the message says where."""


class Hand:
    """One buyer at one running sandbox. `send` is a transport that follows no redirects; it raises what it raises."""

    def __init__(self, send: Callable[[Request], Reply], sandbox_url: str, *, buyer: str = "") -> None:
        self._send = send
        self._sandbox_url = sandbox_url.rstrip("/")
        self._buyer = buyer
        self._cookies: dict[str, dict[str, str]] = {}
        self._steps: list[str] = []

    def pay(self, what: str, *, action: str = "pay", method: str = "") -> Paid:
        """`what`: a redirect URL, a QR's content, or a checkout URL with a `method`; `action`: pay, decline, leave."""
        try:
            if self._is_code(what):
                return self._scan(what, action)
            if urlsplit(what).scheme not in ("http", "https"):
                raise Lost("this is neither a code of this sandbox nor an address")
            return self._follow(what, action, method)
        except Lost as lost:
            return Paid("refused", str(lost), tuple(self._steps))

    # --- the phone

    def _is_code(self, what: str) -> bool:
        reply = self._phone(what, "look")
        if reply.status == 400:  # no such buyer
            raise Lost(str(msgspec.json.decode(reply.body)["error"]))
        return reply.status in (200, 409)

    def _scan(self, content: str, action: str) -> Paid:
        self._steps.append(f"scan {content}")
        reply = self._phone(content, action)
        told = msgspec.json.decode(reply.body, type=dict[str, str]) if reply.body else {}
        if reply.status != 200:
            why = " ".join(filter(None, (told.get("message", ""), f"({told.get('error', reply.status)})")))
            return Paid("refused", why, tuple(self._steps))
        return self._ended(told.get("outcome", ""))

    def _phone(self, content: str, action: str) -> Reply:
        body = msgspec.json.encode({"content": content, "action": action, "buyer": self._buyer})
        headers = {"content-type": "application/json"}
        return self._send(Request("POST", f"{self._sandbox_url}/_sandbox/scan", headers, body))

    # --- the browser

    def _follow(self, url: str, action: str, method: str) -> Paid:
        address, reply = self._go(Request("GET", url))
        for _ in range(STEPS_MAX):
            page = Page(reply.body.decode(_charset(reply), "replace"))
            cashier = next((form for form in page.forms if form.marks.get("data-sandbox-form") == "cashier"), None)
            chooser = page.button("method", method) if method else None
            if cashier is not None:
                return self._press(address, cashier, action)
            if chooser is not None:
                address, reply = self._go(_submit(address, chooser, {"method": method}))
                method = ""
            elif page.qr or page.called_with:
                return self._scan(page.qr or page.called_with, action)
            elif page.posts_itself:
                address, reply = self._go(_submit(address, page.forms[0], {}))
            elif page.refresh:
                address, reply = self._go(Request("GET", urljoin(address, page.refresh)))
            else:
                raise Lost(_where(address, reply, page, method))
        raise Lost(f"no cashier after {STEPS_MAX} pages, the last one was {address}")

    def _press(self, address: str, form: Form, action: str) -> Paid:
        """Presses the cashier's button; when paid, goes back to the merchant as a browser does."""
        chosen = {"action": action} | ({"buyer": self._buyer} if self._buyer else {})
        request = _submit(address, form, chosen)
        self._steps.append(f"{action} at {request.url}")
        reply = self._once(request)
        outcome = reply.headers.get(OUTCOME_HEADER, "")
        if outcome in ("paid", "signed") and (back := reply.headers.get("location")):
            try:
                self._go(Request("GET", urljoin(request.url, back)))
            except Exception as error:  # the money has moved; a merchant's page that fails changes nothing
                self._steps.append(f"the merchant's page could not be opened: {error}")
        return self._ended(outcome)

    def _ended(self, outcome: str) -> Paid:
        if outcome in ("paid", "signed"):
            return Paid(outcome, steps=tuple(self._steps))
        reasons = {"declined": "the buyer declined", "abandoned": "the buyer walked away"}
        known = outcome in reasons
        reason = reasons.get(outcome, f"the cashier refused: {outcome or 'no outcome'}")
        return Paid(outcome if known else "refused", reason, tuple(self._steps))

    def _go(self, request: Request) -> tuple[str, Reply]:
        """Sends and follows redirects; returns the last address and its answer."""
        for _ in range(STEPS_MAX):
            self._steps.append(f"{request.method} {request.url}")
            reply = self._once(request)
            location = reply.headers.get("location")
            if reply.status not in (301, 302, 303, 307, 308) or not location:
                return request.url, reply
            keeps = reply.status in (307, 308)
            url = urljoin(request.url, location)
            request = Request(request.method, url, request.headers, request.body) if keeps else Request("GET", url)
        raise Lost(f"more than {STEPS_MAX} redirects, the last one to {request.url}")

    def _once(self, request: Request) -> Reply:
        jar = self._cookies.setdefault(urlsplit(request.url).netloc, {})
        headers = {"accept": "text/html", "user-agent": "tongbao-sandbox-buyer", **request.headers}
        if jar:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        reply = self._send(Request(request.method, request.url, headers, request.body, request.timeouts))
        name, mark, value = reply.headers.get("set-cookie", "").partition(";")[0].partition("=")
        if mark:
            jar[name.strip()] = value.strip()
        return reply


def _submit(address: str, form: Form, button: Mapping[str, str]) -> Request:
    url, data = urljoin(address, form.action or address), urlencode({**form.fields, **button})
    if form.method == "POST":
        return Request("POST", url, FORM, data.encode())
    return Request("GET", f"{url}{'&' if '?' in url else '?'}{data}")


class _Call(msgspec.Struct):
    """What a page hands to its wallet."""

    params: dict[str, str]


def _called_with(text: str) -> str:
    """The parameters as the wallet knows them: one alone as it is, several as JSON."""
    try:
        params = msgspec.json.decode(text, type=_Call).params if text else {}
    except msgspec.MsgspecError:
        return ""
    return "".join(params.values()) if len(params) < 2 else msgspec.json.encode(params).decode()


def _charset(reply: Reply) -> str:
    charset = reply.headers.get("content-type", "").lower().partition("charset=")[2].strip().strip('"')
    return charset if charset in ("utf-8", "gbk") else "utf-8"


def _where(address: str, reply: Reply, page: Page, method: str) -> str:
    """Why the way ends on this page, in one line."""
    offered = page.values("method")
    title = " ".join(page.title.split())
    if method:
        return f"{address} offers no method {method}; it " + (
            f"offers {', '.join(offered)}" if offered else f"says {title!r}"
        )
    if offered:
        return f"a checkout page: choose one of its methods with --method: {', '.join(offered)}"
    return f"no cashier: {address} answered {reply.status}" + (f" '{title}'" if title else "")
