"""Commands that look at money and move it: payments, refunds, events."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tongbao.cli.admin import AppOption, one_app, services
from tongbao.cli.output import Format, FormatOption, run, show, show_rows
from tongbao.domain.event import EventType
from tongbao.domain.payment import PaymentStatus
from tongbao.domain.refund import RefundStatus

if TYPE_CHECKING:
    from tongbao.domain.event import Event

payments = typer.Typer(help="Payments: list, show, ask the channel, cancel, refund.", no_args_is_help=True)
refunds = typer.Typer(help="Refunds: list, show.", no_args_is_help=True)
events = typer.Typer(help="Events: list, show, redeliver.", no_args_is_help=True)

Limit = Annotated[int, typer.Option(min=1, max=100)]

PAYMENT_COLUMNS = ("id", "order_no", "status", "amount", "currency", "method", "amount_refunded", "created_at")


def _views(found: list[Any]) -> list[dict[str, Any]]:
    import msgspec

    return [msgspec.to_builtins(view) for view in found]


def _event(event: "Event") -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "payment": event.payment_id,
        "sequence": event.sequence,
        "created_at": event.created_at,
    }


@payments.command("list")
def list_payments(
    status: Annotated[PaymentStatus | None, typer.Option()] = None,
    order_no: Annotated[str | None, typer.Option()] = None,
    limit: Limit = 20,
    app: AppOption = "",
    form: FormatOption = Format.TEXT,
) -> None:
    """List payments, newest first."""

    async def work() -> None:
        from tongbao.ports.reading import Page, PaymentFilter

        async with services() as built:
            filters = PaymentFilter(order_no=order_no, status=status)
            found, _ = await built.reading.list_payments(await one_app(built, app), filters, Page(limit))
            show_rows(_views([built.views.payment(*pair) for pair in found]), PAYMENT_COLUMNS, form)

    run(work())


@payments.command("show")
def show_payment(
    payment_id: str,
    refresh: Annotated[bool, typer.Option("--refresh", help="ask the channel first")] = False,
    app: AppOption = "",
    form: FormatOption = Format.TEXT,
) -> None:
    """Show one payment."""

    async def work() -> None:
        async with services() as built:
            app_id = await one_app(built, app)
            if refresh:
                await built.asking.refresh(app_id, payment_id)
            show(_views([built.views.payment(*await built.reading.payment(app_id, payment_id))])[0], form)

    run(work())


@payments.command("cancel")
def cancel_payment(payment_id: str, app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """Cancel a pending payment."""

    async def work() -> None:
        async with services() as built:
            canceled = await built.asking.cancel(await one_app(built, app), payment_id)
            show(_views([built.views.payment(*canceled)])[0], form)

    run(work())


@payments.command("refund")
def refund_payment(
    payment_id: str,
    refund_no: Annotated[str, typer.Option(help="your number of this refund; a repeat is the same refund")],
    amount: Annotated[int | None, typer.Option(min=1, help="minor units; all that is left without it")] = None,
    reason: Annotated[str | None, typer.Option()] = None,
    app: AppOption = "",
    form: FormatOption = Format.TEXT,
) -> None:
    """Refund a paid payment; the workers send it."""

    async def work() -> None:
        async with services() as built:
            app_id = await one_app(built, app)
            created = await built.refunds.create(app_id, payment_id, refund_no, amount, reason, None)
            refund = await built.reading.refund(app_id, created.refund_id)
            show(_views([built.views.refund(*refund)])[0], form)

    run(work())


@refunds.command("list")
def list_refunds(
    payment: Annotated[str | None, typer.Option(help="of this payment only")] = None,
    status: Annotated[RefundStatus | None, typer.Option()] = None,
    limit: Limit = 20,
    app: AppOption = "",
    form: FormatOption = Format.TEXT,
) -> None:
    """List refunds, newest first."""

    async def work() -> None:
        from tongbao.ports.reading import Page

        async with services() as built:
            found, _ = await built.reading.list_refunds(await one_app(built, app), payment, status, Page(limit))
            columns = ("id", "payment", "refund_no", "status", "amount", "currency", "kind", "created_at")
            show_rows(_views([built.views.refund(*pair) for pair in found]), columns, form)

    run(work())


@refunds.command("show")
def show_refund(refund_id: str, app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """Show one refund."""

    async def work() -> None:
        async with services() as built:
            refund = await built.reading.refund(await one_app(built, app), refund_id)
            show(_views([built.views.refund(*refund)])[0], form)

    run(work())


@events.command("list")
def list_events(
    payment: Annotated[str | None, typer.Option(help="of this payment only")] = None,
    kind: Annotated[EventType | None, typer.Option("--type")] = None,
    limit: Limit = 20,
    app: AppOption = "",
    form: FormatOption = Format.TEXT,
) -> None:
    """List events, newest first."""

    async def work() -> None:
        from tongbao.ports.events import EventFilter
        from tongbao.ports.reading import Page

        async with services() as built:
            filters = EventFilter(kind, payment)
            found, _ = await built.events.list_events(await one_app(built, app), filters, Page(limit))
            show_rows([_event(event) for event in found], ("id", "type", "payment", "sequence", "created_at"), form)

    run(work())


@events.command("show")
def show_event(event_id: str, app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """Show one event with the object as it was then."""

    async def work() -> None:
        import json

        async with services() as built:
            event = await built.events.event(await one_app(built, app), event_id)
            show({**_event(event), "data": json.loads(event.data)}, form)

    run(work())


@events.command("redeliver")
def redeliver_event(event_id: str, app: AppOption = "", form: FormatOption = Format.TEXT) -> None:
    """Send an event to its webhook endpoints again."""

    async def work() -> None:
        async with services() as built:
            count = await built.webhooks.redeliver(await one_app(built, app), event_id)
            show({"id": event_id, "endpoints": count}, form)

    run(work())
