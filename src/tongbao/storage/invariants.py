"""The invariants, as statements that find what breaks them. Each returns (app_id, id, detail) rows; none is the rule.

Run in one repeatable-read transaction, so that they see one moment, at any time and beside any load.
"""

from dataclasses import dataclass

from tongbao.storage.database import Database

ROWS_MAX = 20


@dataclass(frozen=True, slots=True)
class Broken:
    """One row that breaks a rule."""

    rule: str
    app_id: str
    id: str
    detail: str


RULES: dict[str, str] = {
    "an acknowledged command exists": """
        SELECT i.app_id, i.key AS id, 'answered for ' || i.object_id AS detail FROM idempotency_keys i
        WHERE i.status IN (200, 201) AND i.object_id IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.app_id = i.app_id AND p.id = i.object_id)
          AND NOT EXISTS (SELECT 1 FROM refunds r WHERE r.app_id = i.app_id AND r.id = i.object_id)""",
    "a payment has its attempt's terms": """
        SELECT a.app_id, a.id, 'attempt over ' || a.amount || ', payment over ' || p.amount AS detail
        FROM attempts a JOIN payments p ON p.app_id = a.app_id AND p.id = a.payment_id
        WHERE a.amount <> p.amount OR a.currency <> p.currency""",
    "a succeeded payment is settled by a paid attempt": """
        SELECT p.app_id, p.id, 'settled by ' || coalesce(p.settled_attempt_id, 'none') AS detail FROM payments p
        WHERE p.status = 'succeeded' AND NOT EXISTS (
            SELECT 1 FROM attempts a WHERE a.app_id = p.app_id AND a.id = p.settled_attempt_id
              AND a.payment_id = p.id AND a.status = 'succeeded')""",
    "surplus money is on its way back": """
        SELECT a.app_id, a.id, 'paid beside ' || coalesce(p.settled_attempt_id, 'none') AS detail
        FROM attempts a JOIN payments p ON p.app_id = a.app_id AND p.id = a.payment_id
        WHERE a.status = 'succeeded' AND a.id IS DISTINCT FROM p.settled_attempt_id AND NOT EXISTS (
            SELECT 1 FROM refunds r WHERE r.app_id = a.app_id AND r.attempt_id = a.id AND r.kind = 'surplus')""",
    "paid money is in the ledger once": """
        SELECT a.app_id, a.id, count(t.id) || ' transfers of ' || coalesce(sum(t.amount), 0) AS detail
        FROM attempts a LEFT JOIN transfers t ON t.app_id = a.app_id AND t.fact_id = a.id
        WHERE a.status = 'succeeded'
        GROUP BY a.app_id, a.id, a.amount HAVING count(t.id) <> 1 OR sum(t.amount) <> a.amount""",
    "unpaid attempts are not in the ledger": """
        SELECT a.app_id, a.id, 'transfer ' || t.id AS detail
        FROM attempts a JOIN transfers t ON t.app_id = a.app_id AND t.fact_id = a.id WHERE a.status <> 'succeeded'""",
    "an attempt's sums are those of its refunds": """
        SELECT a.app_id, a.id, 'refunded ' || a.amount_refunded || ', refunding ' || a.amount_refunding AS detail
        FROM attempts a LEFT JOIN refunds r ON r.app_id = a.app_id AND r.attempt_id = a.id
        GROUP BY a.app_id, a.id
        HAVING a.amount_refunded <> coalesce(sum(r.amount) FILTER (WHERE r.status = 'succeeded'), 0)
            OR a.amount_refunding <> coalesce(sum(r.amount) FILTER (WHERE r.status = 'pending'), 0)
            OR a.amount_refunded + a.amount_refunding > a.amount""",
    "a payment's sums are those of its merchant refunds": """
        SELECT p.app_id, p.id, 'refunded ' || p.amount_refunded || ', refunding ' || p.amount_refunding AS detail
        FROM payments p LEFT JOIN refunds r ON r.app_id = p.app_id AND r.payment_id = p.id AND r.kind = 'merchant'
        GROUP BY p.app_id, p.id
        HAVING p.amount_refunded <> coalesce(sum(r.amount) FILTER (WHERE r.status = 'succeeded'), 0)
            OR p.amount_refunding <> coalesce(sum(r.amount) FILTER (WHERE r.status = 'pending'), 0)""",
    "a refund's transfers end where its status says": """
        SELECT r.app_id, r.id, r.status || ' with ' || coalesce(sum(CASE
                   WHEN t.target = 'refunds_under_way' THEN t.amount
                   WHEN t.source = 'refunds_under_way' THEN -t.amount ELSE 0 END), 0) || ' under way' AS detail
        FROM refunds r LEFT JOIN transfers t ON t.app_id = r.app_id AND t.fact_id = r.id
        GROUP BY r.app_id, r.id
        HAVING coalesce(sum(CASE WHEN t.target = 'refunds_under_way' THEN t.amount
                                 WHEN t.source = 'refunds_under_way' THEN -t.amount ELSE 0 END), 0)
               <> CASE WHEN r.status = 'pending' THEN r.amount ELSE 0 END
            OR coalesce(sum(CASE WHEN t.target = 'receivable' THEN t.amount
                                 WHEN t.source = 'receivable' THEN -t.amount ELSE 0 END), 0)
               <> CASE WHEN r.status = 'succeeded' THEN r.amount ELSE 0 END""",
    "balances are the sums of transfers": """
        SELECT app_id, kind || '/' || channel_account_id || '/' || currency AS id, sum(minor)::text AS detail
        FROM (SELECT app_id, kind, channel_account_id, currency, minor FROM balance_deltas
              UNION ALL SELECT app_id, target, channel_account_id, currency, -amount FROM transfers
              UNION ALL SELECT app_id, source, channel_account_id, currency, amount FROM transfers) AS everything
        GROUP BY app_id, kind, channel_account_id, currency HAVING sum(minor) <> 0""",
    "a payment's events are numbered without a gap": """
        SELECT p.app_id, p.id, count(e.id) || ' events up to ' || coalesce(max(e.sequence), 0) AS detail
        FROM payments p LEFT JOIN events e ON e.app_id = p.app_id AND e.payment_id = p.id
        GROUP BY p.app_id, p.id HAVING count(e.id) <> p.event_seq OR coalesce(max(e.sequence), 0) <> p.event_seq""",
    "a final status has exactly one event": """
        SELECT p.app_id, p.id, p.status || ' with ' || count(e.id) || ' events' AS detail
        FROM payments p LEFT JOIN events e ON e.app_id = p.app_id AND e.payment_id = p.id
             AND e.type IN ('payment.succeeded', 'payment.closed')
        GROUP BY p.app_id, p.id
        HAVING count(e.id) <> CASE WHEN p.status = 'pending' THEN 0 ELSE 1 END
            OR (p.status <> 'pending' AND max(e.type) <> 'payment.' || p.status)""",
    "an event is delivered, on its way, dead or canceled": """
        SELECT d.app_id, d.id, d.status || ' without a time' AS detail FROM deliveries d
        WHERE (d.status = 'pending') <> (d.next_at IS NOT NULL)
           OR d.status NOT IN ('pending', 'delivered', 'dead', 'canceled')""",
    "money that is awaited is asked about": """
        SELECT a.app_id, a.id, a.status || ' without a time to ask' AS detail FROM attempts a
        WHERE a.status IN ('created', 'pending') AND a.next_query_at IS NULL
        UNION ALL
        SELECT r.app_id, r.id, 'refund without a time to try' FROM refunds r
        WHERE r.status = 'pending' AND r.next_try_at IS NULL""",
}


async def find_broken(database: Database) -> dict[str, list[Broken]]:
    """Every rule with the rows that break it (at most 20 each); empty lists when all is well."""
    found: dict[str, list[Broken]] = {}
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        for rule, statement in RULES.items():
            rows = await connection.fetch(f"{statement} LIMIT {ROWS_MAX}", timeout=600)
            found[rule] = [Broken(rule, row["app_id"], row["id"], row["detail"]) for row in rows]
    return found
