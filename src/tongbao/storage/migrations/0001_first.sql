-- The first schema. Every table that grows carries app_id and has it in its primary and unique keys, so that the
-- schema can be distributed by app_id. Amounts are bigint minor units, times timestamptz; SQL never asks for the time.

CREATE TABLE instance (
    name   text PRIMARY KEY,
    sealed bytea NOT NULL
);

CREATE TABLE apps (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    livemode   boolean NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE api_keys (
    app_id     text NOT NULL,
    id         text NOT NULL,
    digest     bytea NOT NULL UNIQUE,
    hint       text NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (app_id, id)
);

CREATE TABLE channel_accounts (
    app_id      text NOT NULL,
    id          text NOT NULL UNIQUE,
    channel     text NOT NULL,
    name        text NOT NULL,
    enabled     boolean NOT NULL,
    account     text NOT NULL,
    seller      text,
    credentials jsonb NOT NULL,
    sealed      bytea NOT NULL,
    metadata    jsonb NOT NULL,
    version     integer NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (app_id, id)
);

CREATE TABLE payments (
    app_id              text NOT NULL,
    id                  text NOT NULL,
    livemode            boolean NOT NULL,
    order_no            text NOT NULL,
    amount              bigint NOT NULL CHECK (amount > 0),
    currency            char(3) NOT NULL,
    subject             text NOT NULL,
    status              text NOT NULL,
    closed_reason       text,
    method              text,
    return_url          text,
    buyer               jsonb,
    metadata            jsonb NOT NULL,
    created_at          timestamptz NOT NULL,
    expires_at          timestamptz NOT NULL,
    paid_at             timestamptz,
    closed_at           timestamptz,
    cancel_requested_at timestamptz,
    settled_attempt_id  text,
    amount_refunded     bigint NOT NULL DEFAULT 0,
    amount_refunding    bigint NOT NULL DEFAULT 0,
    event_seq           integer NOT NULL,
    PRIMARY KEY (app_id, id),
    UNIQUE (app_id, order_no),
    CHECK (amount_refunded >= 0 AND amount_refunding >= 0 AND amount_refunded + amount_refunding <= amount)
);
CREATE INDEX payments_due ON payments (expires_at) WHERE status = 'pending';

CREATE TABLE attempts (
    app_id             text NOT NULL,
    id                 text NOT NULL,
    payment_id         text NOT NULL,
    method             text NOT NULL,
    channel            text NOT NULL,
    channel_account_id text NOT NULL,
    reference          text NOT NULL,
    amount             bigint NOT NULL CHECK (amount > 0),
    currency           char(3) NOT NULL,
    status             text NOT NULL,
    channel_reference  text,
    next_action        jsonb,
    error              jsonb,
    options            jsonb NOT NULL,
    created_at         timestamptz NOT NULL,
    expires_at         timestamptz NOT NULL,
    call_until         timestamptz,
    next_query_at      timestamptz,
    close_wanted       boolean NOT NULL DEFAULT false,
    paid_at            timestamptz,
    amount_refunded    bigint NOT NULL DEFAULT 0,
    amount_refunding   bigint NOT NULL DEFAULT 0,
    leased_by          text,
    PRIMARY KEY (app_id, id),
    UNIQUE (app_id, reference),
    CHECK (amount_refunded >= 0 AND amount_refunding >= 0 AND amount_refunded + amount_refunding <= amount)
);
CREATE INDEX attempts_of_payment ON attempts (app_id, payment_id);
CREATE INDEX attempts_due ON attempts (next_query_at) WHERE next_query_at IS NOT NULL;

CREATE TABLE refunds (
    app_id            text NOT NULL,
    id                text NOT NULL,
    payment_id        text NOT NULL,
    attempt_id        text NOT NULL,
    kind              text NOT NULL,
    refund_no         text NOT NULL,
    reference         text NOT NULL,
    amount            bigint NOT NULL CHECK (amount > 0),
    currency          char(3) NOT NULL,
    reason            text,
    status            text NOT NULL,
    channel_reference text,
    error             jsonb,
    created_at        timestamptz NOT NULL,
    sent_at           timestamptz,
    next_try_at       timestamptz,
    tries             integer NOT NULL DEFAULT 0,
    succeeded_at      timestamptz,
    failed_at         timestamptz,
    leased_by         text,
    PRIMARY KEY (app_id, id),
    UNIQUE (app_id, refund_no),
    UNIQUE (app_id, reference)
);
CREATE INDEX refunds_of_payment ON refunds (app_id, payment_id);
CREATE INDEX refunds_due ON refunds (next_try_at) WHERE next_try_at IS NOT NULL;

CREATE TABLE transfers (
    app_id             text NOT NULL,
    id                 text NOT NULL,
    posting            text NOT NULL,
    fact_id            text NOT NULL,
    source             text NOT NULL,
    target             text NOT NULL,
    channel_account_id text NOT NULL,
    amount             bigint NOT NULL CHECK (amount > 0),
    currency           char(3) NOT NULL,
    created_at         timestamptz NOT NULL,
    PRIMARY KEY (app_id, id)
);
CREATE INDEX transfers_of_fact ON transfers (app_id, fact_id);

-- Balances are inserted as one delta per account and batch and folded by a worker; reads sum. No hot row.
CREATE TABLE balance_deltas (
    app_id             text NOT NULL,
    id                 bigint GENERATED ALWAYS AS IDENTITY,
    kind               text NOT NULL,
    channel_account_id text NOT NULL,
    currency           char(3) NOT NULL,
    minor              bigint NOT NULL,
    PRIMARY KEY (app_id, id)
);

-- xid is the writing transaction's; readers with a cursor read in (xid, id) order below the oldest running one.
CREATE TABLE events (
    app_id     text NOT NULL,
    id         text NOT NULL,
    type       text NOT NULL,
    payment_id text NOT NULL,
    sequence   integer NOT NULL,
    data       text NOT NULL,
    created_at timestamptz NOT NULL,
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (app_id, id),
    UNIQUE (app_id, payment_id, sequence)
);
CREATE INDEX events_in_order ON events (app_id, xid, id);

CREATE TABLE idempotency_keys (
    app_id      text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    object_id   text,
    status      smallint,
    body        text,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (app_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE notifications (
    app_id             text NOT NULL,
    channel_account_id text NOT NULL,
    notification_id    text NOT NULL,
    received_at        timestamptz NOT NULL,
    PRIMARY KEY (app_id, channel_account_id, notification_id)
);

CREATE TABLE quarantine (
    app_id             text NOT NULL,
    id                 text NOT NULL,
    channel_account_id text NOT NULL,
    notification_id    text NOT NULL,
    reference          text,
    mismatches         text[] NOT NULL,
    raw                text NOT NULL,
    status             text NOT NULL,
    created_at         timestamptz NOT NULL,
    PRIMARY KEY (app_id, id),
    UNIQUE (app_id, channel_account_id, notification_id)
);

CREATE TABLE webhook_endpoints (
    app_id         text NOT NULL,
    id             text NOT NULL,
    url            text NOT NULL,
    event_types    text[] NOT NULL,
    enabled        boolean NOT NULL,
    disabled_why   text,
    sealed_secret  bytea NOT NULL,
    sealed_previous bytea,
    previous_until timestamptz,
    metadata       jsonb NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (app_id, id)
);
CREATE UNIQUE INDEX webhook_endpoints_suffix ON webhook_endpoints (app_id, right(id, 6)); -- part of delivery ids

CREATE TABLE deliveries (
    app_id      text NOT NULL,
    id          text NOT NULL,
    endpoint_id text NOT NULL,
    event_id    text NOT NULL,
    payment_id  text NOT NULL,
    sequence    integer NOT NULL,
    status      text NOT NULL,
    tries       integer NOT NULL,
    next_at     timestamptz,
    last_status smallint,
    last_error  text,
    created_at  timestamptz NOT NULL,
    delivered_at timestamptz,
    leased_by   text,
    PRIMARY KEY (app_id, id)
);
CREATE INDEX deliveries_by_endpoint ON deliveries (app_id, endpoint_id, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_in_order ON deliveries (app_id, payment_id, sequence) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_of_event ON deliveries (app_id, event_id);

-- A worker renews its row every 2 s; rows leased by one that is silent for 8 s come back.
CREATE TABLE workers (
    id           text PRIMARY KEY,
    heartbeat_at timestamptz NOT NULL
);
