"""The demo's second start finds what the first one made, and its shop believes right signatures only."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from tests.scenarios.street import Street
from tongbao.cli.demo import CREDENTIALS, Addresses, Seeds, seed, welcome
from tongbao.cli.shop.inbox import Inbox, NotVerified
from tongbao.cli.shop.texts import TEXTS
from tongbao.domain.webhook import make_secret

AT = Addresses("http://127.0.0.1:1000", "http://127.0.0.1:1001", "http://127.0.0.1:1002")
MOVED = Addresses("http://127.0.0.1:2000", "http://127.0.0.1:2001", "http://127.0.0.1:2002")
SECRET = make_secret(bytes(range(24)))
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def allowed(street: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo allows the loopback, where its shop listens."""
    from tongbao.domain.address_guard import networks_from

    monkeypatch.setattr(street.services.webhooks, "_allowed", networks_from(["127.0.0.0/8"]))


@pytest.mark.usefixtures("allowed")
async def test_a_second_start_keeps_everything_and_follows_the_ports(street: Street, tmp_path: Path) -> None:
    path, services = tmp_path / "demo.json", street.services
    first = await seed(services, street.sandbox, AT, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.api_key.startswith("sk_test_")
    assert await seed(services, street.sandbox, AT, path) == first
    assert await seed(services, street.sandbox, MOVED, path) == first
    app = await services.accounts.app_by_key(first.api_key.encode())
    assert app is not None
    accounts = await services.accounts.list_accounts(app.id)
    assert sorted(account.channel for account in accounts) == ["alipay", "wechatpay"]
    assert all(account.credentials["gateway_url"].startswith(MOVED.sandbox) for account in accounts)
    assert (await services.webhooks.read(app.id, first.endpoint_id)).url == f"{MOVED.shop}/webhooks"
    assert len([one for one in await services.accounts.list_apps() if one.name == app.name]) == 1


@pytest.mark.usefixtures("allowed")
async def test_a_channel_that_joined_since_gets_its_account(
    street: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data directory of an earlier version knows Alipay alone."""
    path, services = tmp_path / "demo.json", street.services
    with monkeypatch.context() as earlier:
        earlier.delitem(CREDENTIALS, "wechatpay")
        first = await seed(services, street.sandbox, AT, path)
    app = await services.accounts.app_by_key(first.api_key.encode())
    assert app is not None
    (before,) = await services.accounts.list_accounts(app.id)
    assert await seed(services, street.sandbox, AT, path) == first
    after = await services.accounts.list_accounts(app.id)
    assert sorted(account.channel for account in after) == ["alipay", "wechatpay"]
    assert before in after, "what was there is left alone"


@pytest.mark.usefixtures("allowed")
async def test_an_emptied_database_gets_the_key_that_people_have(street: Street, tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    kept = Seeds("sk_test_kept", "we_gone", SECRET)
    path.write_text(json.dumps({"api_key": kept.api_key, "endpoint_id": "we_gone", "webhook_secret": SECRET}))
    after = await seed(street.services, street.sandbox, AT, path)
    assert after.api_key == kept.api_key
    assert after.webhook_secret != SECRET, "the endpoint is a new one"
    path.unlink()
    found = await seed(street.services, street.sandbox, AT, path)
    assert found.api_key != kept.api_key, "a lost file: the same app gets another key"
    assert len(await street.services.accounts.list_apps()) == 2, "the street's own, and the demo's"


def test_what_is_printed_can_be_pasted() -> None:
    import shlex

    text = welcome(AT, Seeds("sk_test_1"), Path("data"), 1.0)
    line = next(line for line in text.splitlines() if line.strip().startswith("curl"))
    words = shlex.split(line.replace("$(date +%s)", "1"))
    order = json.loads(words[words.index("-d") + 1])
    assert order == {"order_no": "DEMO_1", "amount": 9999, "currency": "CNY", "subject": "A course"}
    assert "Authorization: Bearer sk_test_1" in words


def signed(body: bytes, at: datetime = NOW, secret: str = SECRET) -> dict[str, str]:
    """As the `standardwebhooks` package signs."""
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("evt_1", at, body.decode()),
    }


BODY = json.dumps({"type": "payment.succeeded", "data": {"order_no": "O1", "amount": 1, "currency": "CNY"}}).encode()


def test_the_shop_believes_a_right_signature_and_counts_repeats() -> None:
    inbox = Inbox(SECRET)
    inbox.receive(signed(BODY), BODY, NOW)
    headers = signed(BODY)
    headers["webhook-signature"] = f"v1,AAAA {headers['webhook-signature']}"
    inbox.receive(headers, BODY, NOW)
    (arrived,) = inbox.newest()
    assert (arrived.type, arrived.order_no, arrived.tries) == ("payment.succeeded", "O1", 2)


Change = Callable[[dict[str, str]], dict[str, str]]
FORGED: list[tuple[str, Change, bytes]] = [
    ("another body", lambda headers: headers, BODY.replace(b"1", b"2")),
    ("another key", lambda _: signed(BODY, secret=make_secret(bytes(24))), BODY),
    ("long ago", lambda _: signed(BODY, NOW - timedelta(seconds=301)), BODY),
    ("tomorrow", lambda _: signed(BODY, NOW + timedelta(days=1)), BODY),
    ("another id", lambda headers: {**headers, "webhook-id": "evt_2"}, BODY),
    ("no signature", lambda headers: {**headers, "webhook-signature": ""}, BODY),
    ("no headers", lambda _: {}, BODY),
    ("no time", lambda headers: {**headers, "webhook-timestamp": "soon"}, BODY),
    ("no JSON", lambda _: signed(b"{"), b"{"),
]


@pytest.mark.parametrize(("change", "body"), [row[1:] for row in FORGED], ids=[row[0] for row in FORGED])
def test_the_shop_refuses_all_else(change: Change, body: bytes) -> None:
    inbox = Inbox(SECRET)
    with pytest.raises(NotVerified):
        inbox.receive(change(signed(BODY)), body, NOW)
    assert (inbox.newest(), inbox.refused) == ([], 1)


def test_the_shop_speaks_both_languages() -> None:
    assert all(english and chinese for english, chinese in TEXTS.values())
