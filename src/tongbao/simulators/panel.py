"""The sandbox's home page and its JSON API: faults, clock, accounts, trades, notifications.

Rule: page and API call the same functions of the bank. A form that another site's page sends is refused, so that a page
in the developer's browser cannot turn this sandbox's switches.
"""

from datetime import timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from tongbao.simulators.channel import House
from tongbao.simulators.faults import Fault, Stage
from tongbao.simulators.pages import form_of, from_elsewhere

ROWS_MAX = 100
STAGES = {stage.value: [fault for fault in Fault if fault.stage is stage] for stage in Stage}


class FaultOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_sandbox/faults`. `calls` null: until cleared."""

    fault: str
    channel: str | None = None
    merchant: str | None = None
    method: str | None = None
    calls: int | None = 1
    argument: float | None = None


class ClockOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_sandbox/clock`."""

    advance_seconds: float = 0
    compression: int | None = None


def answer_json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def refusal(message: str, status: int = 400) -> Response:
    return answer_json({"error": message}, status)


class Panel:
    """Home page and API of one sandbox."""

    def __init__(self, sandbox: House) -> None:
        self._sandbox = sandbox
        self._bank = sandbox.bank

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.home, methods=["GET"]),
            Route("/panel/faults", self.switch_on, methods=["POST"]),
            Route("/panel/faults/clear", self.switch_off, methods=["POST"]),
            Route("/panel/clock", self.turn, methods=["POST"]),
            Route("/_sandbox/faults", self.faults, methods=["GET", "POST", "DELETE"]),
            Route("/_sandbox/clock", self.clock, methods=["GET", "POST"]),
            Route("/_sandbox/accounts", self.accounts, methods=["GET"]),
            Route("/_sandbox/trades", self.trades, methods=["GET"]),
            Route("/_sandbox/notifications", self.notifications, methods=["GET"]),
        ]

    # --- the page

    async def home(self, request: Request) -> Response:
        return self._home(request)

    def _home(self, request: Request, message: str = "", status: int = 200) -> Response:
        state = self._bank.clock.state
        ahead = str(timedelta(seconds=int(state.offset_seconds))) if state.offset_seconds else ""
        return self._sandbox.pages.page(
            request,
            "home.html",
            status=status,
            message=message,
            now=self._bank.clock.now(),
            ahead=ahead,
            compression=state.compression,
            buyers=self._bank.buyers.values(),
            channels={channel.name: channel.merchants() for channel in self._sandbox.channels},
            rows=self._sandbox.rows(ROWS_MAX),
            entries=self._bank.outbox.entries(ROWS_MAX),
            rules=self._bank.faults.rules(),
            stages=STAGES,
        )

    async def switch_on(self, request: Request) -> Response:
        form = await form_of(request)
        if from_elsewhere(request):
            return self._sandbox.pages.error(request, 403, "cross_site")
        try:
            self._bank.faults.set(
                form.get("fault", ""),
                merchant=form.get("merchant") or None,
                method=form.get("method") or None,
                calls=int(form["calls"]) if form.get("calls") else None,
                argument=float(form["argument"]) if form.get("argument") else None,
            )
        except ValueError as error:
            return self._home(request, str(error), 400)
        return _see("/#faults")

    async def switch_off(self, request: Request) -> Response:
        form = await form_of(request)
        if from_elsewhere(request):
            return self._sandbox.pages.error(request, 403, "cross_site")
        self._bank.faults.clear(form.get("id") or None)
        return _see("/#faults")

    async def turn(self, request: Request) -> Response:
        form = await form_of(request)
        if from_elsewhere(request):
            return self._sandbox.pages.error(request, 403, "cross_site")
        try:
            if form.get("advance_seconds"):
                self._sandbox.advance(float(form["advance_seconds"]))
            if form.get("compression"):
                self._bank.clock.compress(int(form["compression"]))
        except ValueError as error:
            return self._home(request, str(error), 400)
        return _see("/")

    # --- the API

    async def faults(self, request: Request) -> Response:
        """GET the rules and all that can be switched; POST one (`FaultOrder`); DELETE all or `?id=`."""
        if from_elsewhere(request):
            return refusal("another site's page", 403)
        if request.method == "DELETE":
            return answer_json({"cleared": self._bank.faults.clear(request.query_params.get("id"))})
        if request.method == "GET":
            known = [{"fault": one.code, "stage": one.stage, "description": one.description} for one in Fault]
            return answer_json({"rules": self._bank.faults.rules(), "faults": known})
        try:
            order = msgspec.json.decode(await request.body(), type=FaultOrder)
            rule = self._bank.faults.set(
                order.fault,
                channel=order.channel,
                merchant=order.merchant,
                method=order.method,
                calls=order.calls,
                argument=order.argument,
            )
        except (ValueError, msgspec.MsgspecError) as error:
            return refusal(str(error))
        return answer_json(rule, 201)

    async def clock(self, request: Request) -> Response:
        """GET the sandbox's time; POST `ClockOrder` to turn it forward or compress the notification schedules."""
        if from_elsewhere(request):
            return refusal("another site's page", 403)
        if request.method == "POST":
            try:
                order = msgspec.json.decode(await request.body(), type=ClockOrder)
                self._sandbox.advance(order.advance_seconds)
                if order.compression is not None:
                    self._bank.clock.compress(order.compression)
            except (ValueError, msgspec.MsgspecError) as error:
                return refusal(str(error))
        state = self._bank.clock.state
        return answer_json(
            {"now": self._bank.clock.now(), "offset_seconds": state.offset_seconds, "compression": state.compression}
        )

    async def accounts(self, request: Request) -> Response:
        return answer_json(self._sandbox.accounts(str(request.base_url)))

    async def trades(self, _: Request) -> Response:
        rows = [{name: getattr(row, name) for name in row.__slots__} for row in self._sandbox.rows(ROWS_MAX)]
        return answer_json({"trades": rows})

    async def notifications(self, _: Request) -> Response:
        shown = [
            {
                name: getattr(entry, name)
                for name in ("id", "channel", "about", "label", "url", "state", "due_at", "tries")
            }
            for entry in self._bank.outbox.entries(ROWS_MAX)
        ]
        return answer_json({"notifications": shown})


def _see(path: str) -> Response:
    return RedirectResponse(path, status_code=303)
