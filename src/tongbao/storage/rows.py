"""Rows and domain values: one column list per table, one function each way. The only place that spells columns.

A table's columns stand in the order in which `*_row` fills them; `INSERT` and `UPDATE` statements are printed from the
same lists, so a column cannot be forgotten in one of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec

from tongbao.domain.event import Event
from tongbao.domain.ledger import Transfer
from tongbao.domain.money import CURRENCIES, Money
from tongbao.domain.payment import Attempt, AttemptError, AttemptStatus, ClosedReason, Payment, PaymentStatus
from tongbao.domain.refund import Refund, RefundKind, RefundStatus
from tongbao.domain.report import NextAction, NextActionKind

Columns = tuple[tuple[str, str], ...]
_json = msgspec.json.Encoder()

PAYMENT_COLUMNS: Columns = (
    ("app_id", "text"),
    ("id", "text"),
    ("livemode", "boolean"),
    ("order_no", "text"),
    ("amount", "bigint"),
    ("currency", "text"),
    ("subject", "text"),
    ("status", "text"),
    ("closed_reason", "text"),
    ("method", "text"),
    ("return_url", "text"),
    ("buyer", "jsonb"),
    ("metadata", "jsonb"),
    ("created_at", "timestamptz"),
    ("expires_at", "timestamptz"),
    ("paid_at", "timestamptz"),
    ("closed_at", "timestamptz"),
    ("cancel_requested_at", "timestamptz"),
    ("settled_attempt_id", "text"),
    ("amount_refunded", "bigint"),
    ("amount_refunding", "bigint"),
    ("event_seq", "integer"),
)
_LATER = {
    "closed_reason",
    "paid_at",
    "closed_at",
    "cancel_requested_at",
    "settled_attempt_id",
    "amount_refunded",
    "amount_refunding",
}
NEW_PAYMENT_COLUMNS: Columns = tuple(column for column in PAYMENT_COLUMNS if column[0] not in _LATER)
"""What a payment has when it is created. Fewer columns make faster batches."""
_new: Callable[[tuple[Any, ...]], tuple[Any, ...]] = itemgetter(
    *(PAYMENT_COLUMNS.index(column) for column in NEW_PAYMENT_COLUMNS)
)
ATTEMPT_COLUMNS: Columns = (
    ("app_id", "text"),
    ("id", "text"),
    ("payment_id", "text"),
    ("method", "text"),
    ("channel", "text"),
    ("channel_account_id", "text"),
    ("reference", "text"),
    ("amount", "bigint"),
    ("currency", "text"),
    ("status", "text"),
    ("channel_reference", "text"),
    ("next_action", "jsonb"),
    ("error", "jsonb"),
    ("options", "jsonb"),
    ("created_at", "timestamptz"),
    ("expires_at", "timestamptz"),
    ("call_until", "timestamptz"),
    ("next_query_at", "timestamptz"),
    ("close_wanted", "boolean"),
    ("paid_at", "timestamptz"),
    ("amount_refunded", "bigint"),
    ("amount_refunding", "bigint"),
)
REFUND_COLUMNS: Columns = (
    ("app_id", "text"),
    ("id", "text"),
    ("payment_id", "text"),
    ("attempt_id", "text"),
    ("kind", "text"),
    ("refund_no", "text"),
    ("reference", "text"),
    ("amount", "bigint"),
    ("currency", "text"),
    ("reason", "text"),
    ("status", "text"),
    ("channel_reference", "text"),
    ("error", "jsonb"),
    ("created_at", "timestamptz"),
    ("sent_at", "timestamptz"),
    ("next_try_at", "timestamptz"),
    ("tries", "integer"),
    ("succeeded_at", "timestamptz"),
    ("failed_at", "timestamptz"),
)
TRANSFER_COLUMNS: Columns = (
    ("app_id", "text"),
    ("id", "text"),
    ("posting", "text"),
    ("fact_id", "text"),
    ("source", "text"),
    ("target", "text"),
    ("channel_account_id", "text"),
    ("amount", "bigint"),
    ("currency", "text"),
    ("created_at", "timestamptz"),
)
EVENT_COLUMNS: Columns = (
    ("app_id", "text"),
    ("id", "text"),
    ("type", "text"),
    ("payment_id", "text"),
    ("sequence", "integer"),
    ("data", "text"),
    ("created_at", "timestamptz"),
)


def names(columns: Columns, prefix: str = "") -> str:
    """`a, b, c`, each with the prefix in front."""
    return ", ".join(prefix + name for name, _ in columns)


def unnest(columns: Columns) -> str:
    """`unnest($1::text[], ...) AS u(a, ...)`."""
    arrays = ", ".join(f"${number}::{kind}[]" for number, (_, kind) in enumerate(columns, 1))
    return f"unnest({arrays}) AS u({names(columns)})"


def insert_sql(table: str, columns: Columns, tail: str = "") -> str:
    return f"INSERT INTO {table} ({names(columns)}) SELECT {names(columns)} FROM {unnest(columns)} {tail}"


def update_sql(table: str, columns: Columns, fixed: Iterable[str]) -> str:
    """Sets every column that is not fixed, by (app_id, id); the rows are locked already, so their order is free."""
    kept = set(fixed)
    changes = ", ".join(f"{name} = u.{name}" for name, _ in columns if name not in kept)
    return f"UPDATE {table} AS t SET {changes} FROM {unnest(columns)} WHERE t.app_id = u.app_id AND t.id = u.id"


def transpose(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows to one array per column."""
    return [list(column) for column in zip(*rows, strict=True)]


def to_json(value: object) -> str:
    return _json.encode(value).decode()


def from_json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _money(row: Mapping[str, Any]) -> Money:
    return Money(row["amount"], CURRENCIES[row["currency"]])


def payment_row(payment: Payment) -> tuple[Any, ...]:
    return (
        payment.app_id,
        payment.id,
        payment.livemode,
        payment.order_no,
        payment.amount.minor,
        payment.amount.currency.code,
        payment.subject,
        payment.status,
        payment.closed_reason,
        payment.method,
        payment.return_url,
        None if payment.buyer is None else to_json(payment.buyer),
        to_json(payment.metadata) if payment.metadata else "{}",
        payment.created_at,
        payment.expires_at,
        payment.paid_at,
        payment.closed_at,
        payment.cancel_requested_at,
        payment.settled_attempt_id,
        payment.amount_refunded,
        payment.amount_refunding,
        payment.event_seq,
    )


def new_payment_row(payment: Payment) -> tuple[Any, ...]:
    return _new(payment_row(payment))


def payment_from(row: Mapping[str, Any]) -> Payment:
    return Payment(
        app_id=row["app_id"],
        id=row["id"],
        livemode=row["livemode"],
        order_no=row["order_no"],
        amount=_money(row),
        subject=row["subject"],
        status=PaymentStatus(row["status"]),
        closed_reason=ClosedReason(row["closed_reason"]) if row["closed_reason"] else None,
        method=row["method"],
        return_url=row["return_url"],
        buyer=from_json(row["buyer"]),
        metadata=from_json(row["metadata"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        paid_at=row["paid_at"],
        closed_at=row["closed_at"],
        cancel_requested_at=row["cancel_requested_at"],
        settled_attempt_id=row["settled_attempt_id"],
        amount_refunded=row["amount_refunded"],
        amount_refunding=row["amount_refunding"],
        event_seq=row["event_seq"],
    )


def _action(action: NextAction | None) -> str | None:
    return None if action is None else to_json({k: v for k, v in asdict(action).items() if v is not None})


def _action_from(text: str | None) -> NextAction | None:
    if text is None:
        return None
    fields = from_json(text)
    until = fields.get("valid_until")
    moment = None if until is None else datetime.fromisoformat(until)
    return NextAction(**{**fields, "kind": NextActionKind(fields["kind"]), "valid_until": moment})


def _error(error: AttemptError | None) -> str | None:
    return None if error is None else to_json(asdict(error))


def _error_from(text: str | None) -> AttemptError | None:
    return None if text is None else AttemptError(**from_json(text))


def attempt_row(attempt: Attempt) -> tuple[Any, ...]:
    return (
        attempt.app_id,
        attempt.id,
        attempt.payment_id,
        attempt.method,
        attempt.channel,
        attempt.channel_account_id,
        attempt.reference,
        attempt.amount.minor,
        attempt.amount.currency.code,
        attempt.status,
        attempt.channel_reference,
        _action(attempt.next_action),
        _error(attempt.error),
        to_json(attempt.options),
        attempt.created_at,
        attempt.expires_at,
        attempt.call_until,
        attempt.next_query_at,
        attempt.close_wanted,
        attempt.paid_at,
        attempt.amount_refunded,
        attempt.amount_refunding,
    )


def attempt_from(row: Mapping[str, Any]) -> Attempt:
    return Attempt(
        app_id=row["app_id"],
        id=row["id"],
        payment_id=row["payment_id"],
        method=row["method"],
        channel=row["channel"],
        channel_account_id=row["channel_account_id"],
        reference=row["reference"],
        amount=_money(row),
        status=AttemptStatus(row["status"]),
        channel_reference=row["channel_reference"],
        next_action=_action_from(row["next_action"]),
        error=_error_from(row["error"]),
        options=from_json(row["options"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        call_until=row["call_until"],
        next_query_at=row["next_query_at"],
        close_wanted=row["close_wanted"],
        paid_at=row["paid_at"],
        amount_refunded=row["amount_refunded"],
        amount_refunding=row["amount_refunding"],
    )


def refund_row(refund: Refund) -> tuple[Any, ...]:
    return (
        refund.app_id,
        refund.id,
        refund.payment_id,
        refund.attempt_id,
        refund.kind,
        refund.refund_no,
        refund.reference,
        refund.amount.minor,
        refund.amount.currency.code,
        refund.reason,
        refund.status,
        refund.channel_reference,
        _error(refund.error),
        refund.created_at,
        refund.sent_at,
        refund.next_try_at,
        refund.tries,
        refund.succeeded_at,
        refund.failed_at,
    )


def refund_from(row: Mapping[str, Any]) -> Refund:
    return Refund(
        app_id=row["app_id"],
        id=row["id"],
        payment_id=row["payment_id"],
        attempt_id=row["attempt_id"],
        kind=RefundKind(row["kind"]),
        refund_no=row["refund_no"],
        reference=row["reference"],
        amount=_money(row),
        reason=row["reason"],
        status=RefundStatus(row["status"]),
        channel_reference=row["channel_reference"],
        error=_error_from(row["error"]),
        created_at=row["created_at"],
        sent_at=row["sent_at"],
        next_try_at=row["next_try_at"],
        tries=row["tries"],
        succeeded_at=row["succeeded_at"],
        failed_at=row["failed_at"],
    )


def transfer_row(transfer: Transfer) -> tuple[Any, ...]:
    return (
        transfer.app_id,
        transfer.id,
        transfer.posting,
        transfer.fact_id,
        transfer.source,
        transfer.target,
        transfer.channel_account_id,
        transfer.amount.minor,
        transfer.amount.currency.code,
        transfer.created_at,
    )


def event_row(event: Event) -> tuple[Any, ...]:
    return (event.app_id, event.id, event.type, event.payment_id, event.sequence, event.data, event.created_at)
