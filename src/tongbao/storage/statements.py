"""Every statement of the write path, named. What is printed from column lists stands beside what is written by hand.

`{KEYS}` is a list of (app_id, key) pairs given as two arrays; a statement that locks says its order itself.
"""

from tongbao.storage import rows
from tongbao.storage.rows import insert_sql, names, update_sql

KEYS = "unnest($1::text[], $2::text[]) AS k(app_id, id)"


def delivery_id(event_id: str, endpoint_id: str) -> str:
    """The id of an event's one delivery to an endpoint; an app's endpoints differ in their last six characters."""
    return f"'del' || substr({event_id}, 4) || '_' || right({endpoint_id}, 6)"


INSERT_PAYMENTS = insert_sql(
    "payments", rows.NEW_PAYMENT_COLUMNS, "ON CONFLICT (app_id, order_no) DO NOTHING RETURNING app_id, order_no"
)
INSERT_ATTEMPTS = insert_sql("attempts", rows.ATTEMPT_COLUMNS)
INSERT_REFUNDS = insert_sql("refunds", rows.REFUND_COLUMNS)
INSERT_TRANSFERS = insert_sql("transfers", rows.TRANSFER_COLUMNS)
INSERT_EVENTS = insert_sql("events", rows.EVENT_COLUMNS)
UPDATE_PAYMENTS = update_sql(
    "payments",
    rows.PAYMENT_COLUMNS,
    ("app_id", "id", "livemode", "order_no", "amount", "currency", "subject", "created_at", "metadata", "buyer"),
)
UPDATE_ATTEMPTS = update_sql(
    "attempts",
    rows.ATTEMPT_COLUMNS,
    ("app_id", "id", "payment_id", "reference", "amount", "currency", "options", "created_at"),
)
UPDATE_REFUNDS = update_sql(
    "refunds",
    rows.REFUND_COLUMNS,
    ("app_id", "id", "payment_id", "attempt_id", "kind", "refund_no", "reference", "amount", "currency", "created_at"),
)
LOCK_PAYMENTS = f"""
    SELECT {names(rows.PAYMENT_COLUMNS, "p.")} FROM {KEYS} JOIN payments p USING (app_id, id)
    ORDER BY p.app_id, p.id FOR NO KEY UPDATE OF p"""
LOCK_ATTEMPTS_OF = f"""
    SELECT {names(rows.ATTEMPT_COLUMNS, "a.")} FROM {KEYS}
    JOIN attempts a ON a.app_id = k.app_id AND a.payment_id = k.id
    ORDER BY a.app_id, a.id FOR NO KEY UPDATE OF a"""
LOCK_REFUNDS = f"""
    SELECT {names(rows.REFUND_COLUMNS, "r.")} FROM {KEYS} JOIN refunds r USING (app_id, id)
    ORDER BY r.app_id, r.id FOR NO KEY UPDATE OF r"""
REFUNDS_BY_NO = f"""
    SELECT {names(rows.REFUND_COLUMNS, "r.")} FROM {KEYS} JOIN refunds r ON r.app_id = k.app_id AND r.refund_no = k.id
    """
PAYMENTS_BY_ORDER_NO = f"""
    SELECT {names(rows.PAYMENT_COLUMNS, "p.")} FROM {KEYS} JOIN payments p ON p.app_id = k.app_id AND p.order_no = k.id
    """
ATTEMPTS_OF = f"""
    SELECT {names(rows.ATTEMPT_COLUMNS, "a.")} FROM {KEYS}
    JOIN attempts a ON a.app_id = k.app_id AND a.payment_id = k.id
    ORDER BY a.app_id, a.id"""
RESOLVE = """
    SELECT k.app_id, k.id AS reference, a.payment_id, a.id AS attempt_id, NULL AS refund_id, a.channel_account_id
    FROM unnest($1::text[], $2::text[]) AS k(app_id, id)
    JOIN attempts a ON a.app_id = k.app_id AND a.reference = k.id
    UNION ALL
    SELECT k.app_id, k.id, r.payment_id, r.attempt_id, r.id, a.channel_account_id
    FROM unnest($1::text[], $2::text[]) AS k(app_id, id)
    JOIN refunds r ON r.app_id = k.app_id AND r.reference = k.id
    JOIN attempts a ON a.app_id = r.app_id AND a.id = r.attempt_id"""
INSERT_EVENTS_AND_DELIVERIES = f"""
    WITH e AS ({INSERT_EVENTS} RETURNING app_id, id, type, payment_id, sequence, created_at)
    INSERT INTO deliveries (app_id, id, endpoint_id, event_id, payment_id, sequence, status, tries, next_at, created_at)
    SELECT w.app_id, {delivery_id("e.id", "w.id")}, w.id, e.id, e.payment_id, e.sequence,
           'pending', 0, e.created_at, e.created_at
    FROM e JOIN webhook_endpoints w ON w.app_id = e.app_id AND w.enabled
         AND (w.event_types = '{{}}' OR e.type = ANY (w.event_types))"""
INSERT_DELTAS = """
    INSERT INTO balance_deltas (app_id, kind, channel_account_id, currency, minor)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])"""
INSERT_CLAIMS = """
    INSERT INTO idempotency_keys (app_id, key, fingerprint, object_id, status, body, created_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::smallint[], $6::text[], $7::timestamptz[])
    ON CONFLICT (app_id, key) DO NOTHING RETURNING app_id, key"""
READ_CLAIMS = """
    SELECT i.app_id, i.key, i.fingerprint, i.object_id, i.status, i.created_at,
           coalesce(i.body, (SELECT e.data FROM events e WHERE i.status IS NOT NULL AND e.app_id = i.app_id
                             AND e.payment_id = i.object_id AND e.sequence = 1)) AS body
    FROM unnest($1::text[], $2::text[]) AS k(app_id, key) JOIN idempotency_keys i USING (app_id, key)
    ORDER BY i.app_id, i.key FOR NO KEY UPDATE OF i"""
ANSWER_CLAIMS = """
    UPDATE idempotency_keys AS i SET status = u.status, body = u.body, object_id = u.object_id
    FROM unnest($1::text[], $2::text[], $3::smallint[], $4::text[], $5::text[])
         AS u(app_id, key, status, body, object_id)
    WHERE i.app_id = u.app_id AND i.key = u.key"""
RENEW_CLAIMS = """
    UPDATE idempotency_keys AS i SET created_at = $3
    FROM unnest($1::text[], $2::text[]) AS u(app_id, key) WHERE i.app_id = u.app_id AND i.key = u.key"""
DROP_CLAIMS = """
    DELETE FROM idempotency_keys AS i USING unnest($1::text[], $2::text[]) AS u(app_id, key)
    WHERE i.app_id = u.app_id AND i.key = u.key"""
INSERT_NOTIFICATIONS = """
    INSERT INTO notifications (app_id, channel_account_id, notification_id, received_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
    ON CONFLICT DO NOTHING RETURNING app_id, channel_account_id, notification_id"""
INSERT_QUARANTINE = """
    INSERT INTO quarantine
        (app_id, id, channel_account_id, notification_id, reference, mismatches, raw, status, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', $8) ON CONFLICT DO NOTHING"""
LAST_REFUND_SENT_AT = "SELECT max(sent_at) FROM refunds WHERE app_id = $1 AND attempt_id = $2"
