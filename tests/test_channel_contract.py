"""The channel contract: one suite, run unbidden for every channel in CHANNELS against its simulator.

What a channel is only told apart by is data in this file: which method shows a QR, and how the sandbox's accounts are
spelled as credentials. Everything else is the same grammar for all.
"""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.street import credentials_for
from tests.simulated import START, SimClock
from tests.simulators.merchant import counting, key_number
from tongbao.bootstrap import channel_kinds
from tongbao.channels import CHANNELS
from tongbao.domain.errors import InvalidInput, MessageNotTrusted
from tongbao.domain.money import CNY, Money
from tongbao.domain.report import (
    Accepted,
    Closed,
    NextActionKind,
    NotFound,
    Notification,
    Paid,
    RefundDone,
    RefundNotFound,
)
from tongbao.ports import Acknowledgement, AttemptRequest, Channel, KeyWanted, RawRequest, RefundRequest, Verb
from tongbao.simulators.app import Sandbox, build_sandbox
from tongbao.transport import AsgiTransport

KINDS = channel_kinds()
QR_METHODS = {"alipay": "alipay_qr", "wechatpay": "wechat_native"}
SANDBOX, SHOP = "sandbox.test", "shop.test"
METHODS = {
    "alipay": "alipay_page alipay_wap alipay_app alipay_qr alipay_barcode alipay_jsapi",
    "wechatpay": "wechat_native wechat_jsapi wechat_h5 wechat_app wechat_barcode",
    "unionpay": "unionpay_web unionpay_wap unionpay_app unionpay_qr unionpay_barcode",
    "stripe": "stripe_card stripe_checkout stripe_alipay stripe_wechat_pay",
}


class Inbox:
    """The merchant's notification address: keeps what arrives, as it arrived."""

    def __init__(self) -> None:
        self.received: list[RawRequest] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        self.received.append(RawRequest(scope["method"], scope["path"], query, headers, body))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"success"})


class Stage:
    """One channel opened with the sandbox's keys, and the buyer at the other end."""

    def __init__(self, name: str, clock: SimClock) -> None:
        self.name = name
        self.kind = KINDS[name]
        self.clock = clock
        self.inbox = Inbox()
        numbers = iter(range(100))
        self.sandbox: Sandbox = build_sandbox(
            now=clock.now,
            chance=counting(),
            transport=AsgiTransport({SHOP: self.inbox}),
            make_key=lambda: key_number(next(numbers)),
        )
        self.credentials = credentials_for(name, self.sandbox.accounts(f"http://{SANDBOX}"))
        self.transport = AsgiTransport({SANDBOX: self.sandbox.asgi})
        self.channel: Channel = self.kind.open(self.credentials, self.transport, clock)

    def attempt(self, reference: str = "T" * 26, **changes: Any) -> AttemptRequest:
        made = AttemptRequest(
            reference=reference,
            method=QR_METHODS[self.name],
            amount=Money(1234, CNY),
            subject="茶 / tea = good & hot",
            expires_at=START + timedelta(minutes=30),
            created_at=START,
            notify_url=f"http://{SHOP}/notify",
        )
        return replace(made, **changes)

    async def pay(self, accepted: Accepted) -> RawRequest:
        """The buyer pays; the notification as it came."""
        assert accepted.next_action is not None
        found = self.sandbox.find(str(accepted.next_action.content))
        assert found is not None
        found[0].pay(found[1], self.sandbox.buyer())
        await self.sandbox.deliver_due()
        return self.inbox.received[-1]

    async def read(self, raw: RawRequest) -> Notification:
        read = self.channel.read_notification(raw, self.clock.now())
        if isinstance(read, KeyWanted):
            await self.channel.refresh_keys(read.serial)
            read = self.channel.read_notification(raw, self.clock.now())
        assert isinstance(read, Notification)
        return read


@pytest.fixture(params=sorted(CHANNELS))
def stage(request: pytest.FixtureRequest, clock: SimClock) -> Iterator[Stage]:
    made = Stage(request.param, clock)
    yield made
    made.sandbox.close()


@pytest.fixture
async def created(stage: Stage) -> Accepted:
    event = await stage.channel.create(stage.attempt())
    assert isinstance(event, Accepted), event
    return event


def test_the_kind_is_complete(stage: Stage) -> None:
    kind = stage.kind
    assert kind.name == stage.name
    assert set(kind.capabilities.methods) <= set(METHODS[stage.name].split())
    assert kind.production_urls, "a live account needs an address"
    assert all(url.startswith("https://") for url in kind.production_urls)
    assert any(field.secret for field in kind.credentials)
    assert stage.channel.capabilities == kind.capabilities
    for capability in kind.capabilities.methods.values():
        assert 1 <= capability.amount_min <= capability.amount_max
        assert capability.surfaces
        assert capability.currencies


async def test_create_shows_what_comes_next(created: Accepted) -> None:
    assert created.next_action is not None
    assert created.next_action.kind is NextActionKind.QR_CODE
    assert created.next_action.content


async def test_unpaid_is_not_paid(stage: Stage, created: Accepted) -> None:
    assert isinstance(await stage.channel.query(stage.attempt()), Accepted | NotFound)


async def test_a_stranger_is_not_found(stage: Stage) -> None:
    assert isinstance(await stage.channel.query(stage.attempt("X" * 26)), NotFound)


async def test_paid_is_stated_alike_by_query_and_notification(stage: Stage, created: Accepted) -> None:
    raw = await stage.pay(created)
    notification = await stage.read(raw)
    (report,) = notification.reports
    asked = await stage.channel.query(stage.attempt())
    for event in (report.event, asked):
        assert isinstance(event, Paid)
        assert event.stated.amount == Money(1234, CNY)
        assert event.paid_at == stage.clock.now()
        assert event.channel_reference
    assert report.reference == "T" * 26
    assert isinstance(report.event, Paid)
    assert isinstance(asked, Paid)
    assert report.event.channel_reference == asked.channel_reference
    assert {"amount", "account"} <= report.event.stated.required
    assert report.event.stated.account == stage.channel.identity.account
    assert notification.notification_id


async def test_every_flipped_byte_of_a_notification_is_refused_or_means_the_same(
    stage: Stage, created: Accepted
) -> None:
    raw = await stage.pay(created)
    genuine = await stage.read(raw)
    step = max(1, len(raw.body) // 120)
    for position in range(0, len(raw.body), step):
        body = bytearray(raw.body)
        body[position] ^= 1
        try:
            read = stage.channel.read_notification(replace(raw, body=bytes(body)), stage.clock.now())
        except (MessageNotTrusted, InvalidInput):
            continue
        assert read == genuine, f"byte {position} was changed and believed"


async def test_what_is_no_message_is_refused(stage: Stage) -> None:
    for body in (b"", b"{}", b"\xff\xfe", b"a=b", b"sign=&sign_type=", b"[" * 1000, b"null"):
        raw = RawRequest("POST", "/notify", "", {"content-type": "application/json"}, body)
        with pytest.raises((MessageNotTrusted, InvalidInput)):
            stage.channel.read_notification(raw, stage.clock.now())


async def test_close_then_query(stage: Stage, created: Accepted) -> None:
    found = stage.sandbox.find(str(created.next_action and created.next_action.content))
    assert found is not None
    found[0].scan(found[1], stage.sandbox.buyer())
    assert isinstance(await stage.channel.close(stage.attempt()), Closed)
    assert isinstance(await stage.channel.query(stage.attempt()), Closed)


async def test_close_of_a_paid_one_says_paid(stage: Stage, created: Accepted) -> None:
    await stage.pay(created)
    assert isinstance(await stage.channel.close(stage.attempt()), Paid)


async def test_refund_and_its_repeat(stage: Stage, created: Accepted) -> None:
    raw = await stage.pay(created)
    (report,) = (await stage.read(raw)).reports
    assert isinstance(report.event, Paid)
    refund = RefundRequest(
        "R" * 26, "T" * 26, Money(34, CNY), Money(1234, CNY), "wrong size", report.event.channel_reference
    )
    assert isinstance(await stage.channel.query_refund(refund), RefundNotFound)
    await stage.channel.refund(refund)
    stage.sandbox.advance(60)
    stage.clock.advance(60)
    done = await stage.channel.query_refund(refund)
    assert isinstance(done, RefundDone), done
    if Verb.REFUND in stage.kind.capabilities.idempotent:
        await stage.channel.refund(refund)
        again = await stage.channel.query_refund(refund)
        assert isinstance(again, RefundDone)


def test_acknowledgements_differ(stage: Stage) -> None:
    accepted, refused, later = (stage.channel.acknowledge(outcome) for outcome in Acknowledgement)
    assert 200 <= accepted.status < 300
    for other in (refused, later):
        assert (other.status, other.body) != (accepted.status, accepted.body)


async def test_check_finds_nothing_wrong(stage: Stage) -> None:
    assert [finding.level for finding in await stage.channel.check() if finding.level != "ok"] == []


def test_unreadable_credentials_are_named(stage: Stage) -> None:
    for field in stage.kind.credentials:
        if field.secret and field.name in stage.credentials:
            with pytest.raises(InvalidInput) as refused:
                stage.kind.open({**stage.credentials, field.name: "nonsense"}, stage.transport, stage.clock)
            assert refused.value.param == f"/credentials/{field.name}"
            assert "nonsense" not in refused.value.message


async def test_no_secret_in_log(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that prints an opened channel, its errors or its log lines tells a secret."""
    caplog.set_level(logging.DEBUG)
    secrets = [stage.credentials[f.name] for f in stage.kind.credentials if f.secret and f.name in stage.credentials]
    told = [repr(stage.channel), str(stage.channel.__dict__) if hasattr(stage.channel, "__dict__") else ""]
    result = await asyncio.gather(stage.channel.query(stage.attempt("X" * 26)), return_exceptions=True)
    told += [repr(result), caplog.text]
    for secret in secrets:
        middle = secret.replace("\n", "")[len(secret) // 3 : len(secret) // 3 + 24]
        assert all(middle not in text.replace("\n", "") for text in told)
