"""The APIv3 door: from the bytes of a request to the bytes of its answer.

Rule, in this order: route (404, 405: empty and unsigned), user agent, Authorization, time, serial, signature
(unsigned), then faults and rate limits, then JSON and fields, then business (signed). Which family a path
belongs to decides the words of its 401; only `/v3/pay/` counts as payments.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from tongbao.simulators.door import Answer
from tongbao.simulators.faults import FAULT_HEADER, Fault, Stage, find, from_header
from tongbao.simulators.wechatpay.book import CHANNEL, Book
from tongbao.simulators.wechatpay.errors import Refusal, Unsigned
from tongbao.simulators.wechatpay.limits import Limits
from tongbao.simulators.wechatpay.replies import Done, File, Result, Writer
from tongbao.simulators.wechatpay.request import Call, Checks, read_body, read_query
from tongbao.simulators.wechatpay.uploads import Upload, read_upload
from tongbao.transport import RawRequest

PREFIX = "/wechatpay"


@dataclass(frozen=True, slots=True)
class Route:
    """One API. `per_second` 0: no limit is known; `failing_per_second` counts refused calls only."""

    method: str
    template: str
    handle: Callable[[Book, Call], Result]
    per_second: int = 0
    failing_per_second: int = 0
    limit_words: str = "limited"
    upload: bool = False

    @property
    def pays(self) -> bool:
        return self.template.startswith("/v3/pay/")


class Router:
    """Finds the API of a path; a fixed segment goes before a parameter."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._shaped: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        for route in routes:
            known = self._fixed.setdefault(route.template, {})
            if not known and "{" in route.template:
                shape = tuple(route.template.split("/"))
                self._shaped.setdefault(len(shape), []).append((shape, known))
            known[route.method] = route

    def find(self, path: str) -> tuple[Mapping[str, Route], dict[str, str]]:
        """The APIs of a path by HTTP method, and its parameters; empty when there is none."""
        fixed = self._fixed.get(path)
        if fixed is not None:
            return fixed, {}
        segments = path.split("/")
        for shape, routes in self._shaped.get(len(segments), ()):
            if all(want == have or (want[:1] == "{" and have) for want, have in zip(shape, segments, strict=True)):
                pairs = zip(shape, segments, strict=True)
                return routes, {want[1:-1]: unquote(have) for want, have in pairs if want[:1] == "{"}
        return {}, {}


class Gateway:
    """The door with everything behind it."""

    def __init__(
        self, book: Book, checks: Checks, writer: Writer, routes: tuple[Route, ...], limits: Limits | None = None
    ) -> None:
        self._book = book
        self._checks = checks
        self._writer = writer
        self._router = Router(routes)
        self.limits = limits or Limits()

    def answer(self, raw: RawRequest) -> Answer:
        """The whole exchange without I/O."""
        self._book.timers.run()
        path = raw.path.removeprefix(PREFIX)
        routes, params = self._router.find(path)
        route = routes.get(raw.method)
        if route is None:
            return Answer(405) if routes else Answer(404)
        upload = read_upload(raw) if route.upload else None
        signed = raw.body if upload is None else upload.meta
        try:
            call = self._accept(raw, path, route, signed)
        except Unsigned as error:
            return self._writer.unsigned(error)
        call.params = params
        if upload is not None:
            call.document, call.file_name = upload.content, upload.file_name
        return self._answer(raw, route, call, signed, upload)

    def _accept(self, raw: RawRequest, path: str, route: Route, signed: bytes) -> Call:
        self._checks.agent(raw, pays=route.pays)
        proof = self._checks.proof(raw, pays=route.pays)
        query = f"?{raw.query}" if raw.query else ""
        targets = (f"{raw.path}{query}",) if path == raw.path else (f"{raw.path}{query}", f"{path}{query}")
        clock = self._book.bank.clock
        clocks = (clock.machine_now(), clock.now())
        merchant, stamp = self._checks.merchant(raw, proof, targets, signed, clocks)
        scheme = "https" if raw.headers.get("x-forwarded-proto") == "https" else "http"
        site = f"{scheme}://{raw.headers.get('host', '')}"
        prefix = "" if path == raw.path else PREFIX
        return Call(
            merchant=merchant,
            route=route.template,
            params={},
            query=read_query(raw),
            body={},
            serial=raw.headers.get("wechatpay-serial", ""),
            now=clocks[1],
            stamp=stamp,
            base_url=f"{site}{prefix}",
            site=site,
            takes_gzip="gzip" in raw.headers.get("accept-encoding", ""),
        )

    def _answer(self, raw: RawRequest, route: Route, call: Call, signed: bytes, upload: Upload | None) -> Answer:
        try:
            self._draw_faults(raw, call)
            if call.faults and (early := self._writer.before(call)) is not None:
                return early
            self.limits.check(route, call)
            call.body = read_body(raw, signed)
            _same_merchant(call)
            answer = self._written(call, route.handle(self._book, call))
        except Refusal as refusal:
            self.limits.refused(route, call)
            answer = self._writer.refused(call, refusal)
        if call.faults and (slow := find(call.faults, Fault.SLOW)):
            answer.delay_seconds = slow.number(3)
        return answer

    def _written(self, call: Call, result: Result) -> Answer:
        if isinstance(result, Done):
            return self._writer.done(call, result.status, result.fields)
        if isinstance(result, File):
            return self._writer.file(call, result.kind, result.content)
        return self._writer.done(call, 200, result)

    def _draw_faults(self, raw: RawRequest, call: Call) -> None:
        text = raw.headers.get(FAULT_HEADER, "")
        try:
            call.faults = from_header(text) if text else []
        except ValueError as error:
            raise Refusal("param", message=str(error)) from None
        for stage in (Stage.REQUEST, Stage.REPLY):
            call.faults += self._book.bank.faults.draw(stage, CHANNEL, call.merchant.mchid, call.route)


def _same_merchant(call: Call) -> None:
    """The merchant of the header has to be the one of the body or query."""
    for name in ("mchid", "sp_mchid", "combine_mchid"):
        for place in (call.body, call.query):
            if place.get(name) not in (None, "", call.merchant.mchid):
                raise Refusal("mchid_differs")
