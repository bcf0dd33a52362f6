"""gateway.do: one door for all methods.

Rule: every answer is HTTP 200 with `text/html`, also an error; gateway errors are unsigned, answers of methods are
signed. A page method answers the buyer's browser: a redirect to the cashier, or an error page in GBK. What was done is
in the journal before the answer leaves, whatever fault then happens to the answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tongbao.simulators.alipay.errors import SUB_MESSAGES, Failure, GatewayError, failure_node, success_node
from tongbao.simulators.alipay.model import Order
from tongbao.simulators.alipay.replies import Writer
from tongbao.simulators.alipay.request import Call, Checks, read_params
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.door import Answer
from tongbao.simulators.faults import FAULT_HEADER, Fault, Stage, Struck, at, find, from_header
from tongbao.transport import RawRequest

CHANNEL = "alipay"
CONTENT_TYPE = "text/html;charset={charset}"


@dataclass(frozen=True, slots=True)
class Handler:
    """How a method is carried out: `answer` for server calls, `page` for browser redirects; neither: not by HTTP.

    `plain`: the answer is not signed by its nature. `error_node`: the node's name when the method fails.
    """

    answer: Callable[[Book, Call], Mapping[str, object]] | None = None
    page: Callable[[Book, Call], Order] | None = None
    code: str = "10000"
    plain: bool = False
    error_node: str = ""


ErrorPage = Callable[[str, str], str]
"""`error_page(sub_code, sub_msg)` is the HTML that a buyer sees."""


class Gateway:
    """The door with everything behind it."""

    def __init__(
        self, book: Book, checks: Checks, writer: Writer, handlers: Mapping[str, Handler], error_page: ErrorPage
    ) -> None:
        self._book = book
        self._checks = checks
        self._writer = writer
        self._handlers = handlers
        self._error_page = error_page

    def answer(self, raw: RawRequest) -> Answer:
        """The whole exchange without I/O: what is sent back, or how the connection ends."""
        try:
            params = read_params(raw)
            call = self._checks.accept(params, self._book.bank.clock.now())
            call.base_url = f"http://{raw.headers.get('host', '')}"
            handler = self._handlers[call.method]
            if handler.answer is None and handler.page is None:
                raise GatewayError("40002", "isv.invalid-method", method=call.method, charset=call.codec)
            call.faults = _faults_of(self._book, raw, call, replies=handler.page is None)
        except GatewayError as error:
            return self._refused(error)
        early = at(Stage.REQUEST, call.faults)
        if early and (answer := self._writer.instead(call, early)) is not None:
            return answer
        if handler.page is not None:
            return self._page(handler.page, call)
        answer = self._carry_out(handler, call)
        if slow := find(early, Fault.SLOW):
            answer.delay_seconds = slow.number(3)
        return answer

    def _carry_out(self, handler: Handler, call: Call) -> Answer:
        assert handler.answer is not None
        try:
            fields = handler.answer(self._book, call)
            code = str(fields.get("code", handler.code))
            node = success_node({name: value for name, value in fields.items() if name != "code"}, code=code)
        except Failure as failure:
            if failure.code == "20001":
                return self._refused(
                    GatewayError(failure.code, failure.sub_code, method=call.method, charset=call.codec)
                )
            node = failure_node(failure.code, failure.sub_code, failure.fields)
            if handler.error_node:
                return self._writer.envelope(call, node, name=handler.error_node)
        except GatewayError as error:
            error.method, error.charset = call.method, call.codec
            return self._refused(error)
        return self._writer.plain(call, node) if handler.plain else self._writer.envelope(call, node)

    def _page(self, make: Callable[[Book, Call], Order], call: Call) -> Answer:
        try:
            order = make(self._book, call)
        except Failure as failure:
            return self._error_answer(failure.sub_code)
        place = order.product if order.product in ("wap", "sign") else "cashier"
        return Answer(302, {"location": f"/alipay/{place}/{order.token}", "cache-control": "no-store"}, b"")

    def _refused(self, error: GatewayError) -> Answer:
        handler = self._handlers.get(error.method)
        if handler is not None and handler.page is not None:
            return self._error_answer(error.sub_code)
        return self._writer.unsigned(error, known=handler is not None)

    def _error_answer(self, sub_code: str) -> Answer:
        body = self._error_page(sub_code, SUB_MESSAGES.get(sub_code, "")).encode("gbk", "xmlcharrefreplace")
        return Answer(200, {"content-type": CONTENT_TYPE.format(charset="GBK")}, body)


def _faults_of(book: Book, raw: RawRequest, call: Call, *, replies: bool) -> list[Struck]:
    """Faults from the header of this request, and those that strike calls from the board."""
    try:
        struck = from_header(raw.headers.get(FAULT_HEADER, ""))
    except ValueError:
        raise GatewayError("40002", "isv.invalid-parameter", method=call.method, charset=call.codec) from None
    for stage in (Stage.REQUEST, Stage.REPLY) if replies else (Stage.REQUEST,):
        struck += book.bank.faults.draw(stage, CHANNEL, call.app.app_id, call.method)
    return struck
