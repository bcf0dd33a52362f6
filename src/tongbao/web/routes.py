"""The routes of `/v1`, one row each. The door serves from this table, and OpenAPI is printed from it."""

from tongbao.domain.endpoint import DeliveryStatus
from tongbao.domain.event import EventType
from tongbao.domain.payment import PaymentStatus
from tongbao.domain.refund import RefundStatus
from tongbao.services import views, webhook_views
from tongbao.web import accounts_api, payments_api, schemas, webhooks_api
from tongbao.web.door import Route

LISTING = ("limit", "starting_after", "ending_before")

PAYMENTS = (
    Route(
        "POST",
        "/v1/payments",
        payments_api.create_payment,
        "Create a payment",
        takes=schemas.CreatePayment,
        gives=views.PaymentView,
        status=201,
        keeps=True,
    ),
    Route(
        "GET",
        "/v1/payments",
        payments_api.list_payments,
        "List payments, newest first",
        gives=list[views.PaymentView],
        queries=(*LISTING, "order_no", "channel", "created_after", "created_before"),
        choices={"status": PaymentStatus},
    ),
    Route(
        "GET",
        "/v1/payments/{payment_id}",
        payments_api.read_payment,
        "Read a payment; with refresh=true the channel is asked first",
        gives=views.PaymentView,
        queries=("refresh",),
    ),
    Route(
        "POST",
        "/v1/payments/{payment_id}/attempts",
        payments_api.create_attempt,
        "Pay a pending payment by a method",
        takes=schemas.CreateAttempt,
        gives=views.PaymentView,
        status=201,
        keeps=True,
    ),
    *(
        Route(
            verb,
            "/v1/payments/{payment_id}/cancel",
            payments_api.cancel_payment,
            "Cancel: 200 closed, 202 while the channel cannot prove it, 409 once money is in",
            takes=schemas.Empty,
            gives=views.PaymentView,
        )
        for verb in ("POST", "PUT")
    ),
    Route(
        "POST",
        "/v1/payments/{payment_id}/refunds",
        payments_api.create_refund,
        "Refund a paid payment, whole or in part",
        takes=schemas.CreateRefund,
        gives=views.RefundView,
        status=201,
        keeps=True,
    ),
    Route("GET", "/v1/refunds/{refund_id}", payments_api.read_refund, "Read a refund", gives=views.RefundView),
    Route(
        "GET",
        "/v1/refunds",
        payments_api.list_refunds,
        "List refunds, newest first",
        gives=list[views.RefundView],
        queries=(*LISTING, "payment"),
        choices={"status": RefundStatus},
    ),
)

ACCOUNTS = (
    Route(
        "POST",
        "/v1/channel_accounts",
        accounts_api.create_account,
        "Create a channel account",
        takes=schemas.CreateChannelAccount,
        gives=accounts_api.ChannelAccountView,
        status=201,
    ),
    Route(
        "GET",
        "/v1/channel_accounts",
        accounts_api.list_accounts,
        "List channel accounts, newest first",
        gives=list[accounts_api.ChannelAccountView],
        queries=LISTING,
    ),
    Route(
        "GET",
        "/v1/channel_accounts/{account_id}",
        accounts_api.read_account,
        "Read a channel account",
        gives=accounts_api.ChannelAccountView,
    ),
    *(
        Route(
            verb,
            "/v1/channel_accounts/{account_id}",
            accounts_api.update_account,
            "Change, disable or enable a channel account",
            takes=schemas.UpdateChannelAccount,
            gives=accounts_api.ChannelAccountView,
        )
        for verb in ("PATCH", "POST")
    ),
    Route(
        "POST",
        "/v1/channel_accounts/{account_id}/check",
        accounts_api.check_account,
        "Tell what is wrong with a channel account's credentials",
        takes=schemas.Empty,
        gives=list[accounts_api.FindingView],
    ),
    Route(
        "GET",
        "/v1/methods",
        accounts_api.list_methods,
        "What this app can take now, with bounds",
        gives=list[accounts_api.MethodView],
    ),
    Route(
        "GET", "/v1/balances", accounts_api.list_balances, "The ledger's balances", gives=list[accounts_api.BalanceView]
    ),
    Route(
        "GET",
        "/v1/transfers",
        accounts_api.list_transfers,
        "The ledger's transfers, newest first",
        gives=list[accounts_api.TransferView],
        queries=LISTING,
    ),
)

ENDPOINT = "/v1/webhook_endpoints/{endpoint_id}"
WEBHOOKS = (
    Route(
        "POST",
        "/v1/webhook_endpoints",
        webhooks_api.create_endpoint,
        "Create a webhook endpoint; its secret is shown this once",
        takes=schemas.CreateWebhookEndpoint,
        gives=webhook_views.WebhookEndpointView,
        status=201,
    ),
    Route(
        "GET",
        "/v1/webhook_endpoints",
        webhooks_api.list_endpoints,
        "List webhook endpoints, newest first",
        gives=list[webhook_views.WebhookEndpointView],
        queries=LISTING,
    ),
    Route(
        "GET", ENDPOINT, webhooks_api.read_endpoint, "Read a webhook endpoint", gives=webhook_views.WebhookEndpointView
    ),
    *(
        Route(
            verb,
            ENDPOINT,
            webhooks_api.update_endpoint,
            "Change, disable or enable a webhook endpoint",
            takes=schemas.UpdateWebhookEndpoint,
            gives=webhook_views.WebhookEndpointView,
        )
        for verb in ("PATCH", "POST")
    ),
    Route(
        "DELETE",
        ENDPOINT,
        webhooks_api.delete_endpoint,
        "Delete a webhook endpoint; what is pending is canceled",
        gives=webhooks_api.Deleted,
    ),
    Route(
        "POST",
        ENDPOINT + "/rotate_secret",
        webhooks_api.rotate_secret,
        "A new secret; the old one signs beside it for 24 hours",
        takes=schemas.Empty,
        gives=webhook_views.WebhookEndpointView,
    ),
    Route(
        "GET",
        ENDPOINT + "/deliveries",
        webhooks_api.list_deliveries,
        "List deliveries, newest first",
        gives=list[webhook_views.DeliveryView],
        queries=LISTING,
        choices={"status": DeliveryStatus},
    ),
    Route(
        "POST",
        ENDPOINT + "/test",
        webhooks_api.send_test,
        "Send a webhook.test event",
        takes=schemas.Empty,
        gives=webhook_views.EventView,
        status=201,
    ),
    Route(
        "GET",
        "/v1/events",
        webhooks_api.list_events,
        "The log of facts, newest first",
        gives=list[webhook_views.EventView],
        queries=(*LISTING, "payment"),
        choices={"type": EventType},
    ),
    Route("GET", "/v1/events/{event_id}", webhooks_api.read_event, "Read an event", gives=webhook_views.EventView),
    Route(
        "POST",
        "/v1/events/{event_id}/redeliver",
        webhooks_api.redeliver_event,
        "Send an event again",
        takes=schemas.Redeliver,
        gives=webhooks_api.Redelivered,
        status=202,
    ),
)

ROUTES: tuple[Route, ...] = (*PAYMENTS, *ACCOUNTS, *WEBHOOKS)
