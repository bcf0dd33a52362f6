"""The doctor names one cause and one next step for everything that is usually wrong with a WeChat Pay account."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.channels.wechatpay.conftest import (
    APIV3_KEY,
    APPID,
    GATEWAY_URL,
    MCHID,
    MERCHANT_SERIAL,
    NOTIFY_URL,
    NOW,
    PUBLIC_KEY_ID,
    Keys,
    Platform,
    ScriptedWechat,
    TurnedClock,
    answered,
    certificate,
    failed,
    new_key,
    unsigned,
)
from tongbao.channels.exchange import drive
from tongbao.channels.wechatpay import doctor
from tongbao.crypto import RsaPrivateKey
from tongbao.domain.errors import ChannelUnavailable, OutcomeUnknown
from tongbao.ports import Finding, Reply, Request

NOT_THERE = failed("ORDER_NOT_EXIST", 404)
RIGHT = ["apiv3_key_right", "keys_right"]


@pytest.fixture
def credentials(keys: Keys) -> dict[str, str]:
    return {
        "gateway_url": GATEWAY_URL,
        "mchid": MCHID,
        "appid": APPID,
        "merchant_private_key": keys.merchant_private,
        "merchant_serial": MERCHANT_SERIAL,
        "apiv3_key": APIV3_KEY,
    }


@pytest.fixture
def examine(credentials: dict[str, str], wechat: ScriptedWechat, turned: TurnedClock) -> Callable[..., list[Finding]]:
    def run(transport: Any = None, notify_url: str | None = None, **changes: str) -> list[Finding]:
        exchange = doctor.examine({**credentials, **changes}, turned, notify_url)
        found = drive(exchange, transport or wechat)
        for finding in found:
            assert finding.level in ("ok", "warning", "error")
            assert finding.advice or finding.level == "ok", finding
            assert APIV3_KEY not in finding.message + finding.advice
        return found

    return run


Examine = Callable[..., list[Finding]]


def codes(found: list[Finding]) -> list[str]:
    return [finding.code for finding in found]


def test_all_is_right(examine: Examine, wechat: ScriptedWechat) -> None:
    wechat.script = [NOT_THERE]
    found = examine()
    assert codes(found) == RIGHT
    assert {finding.level for finding in found} == {"ok"}


def test_an_order_of_that_number_is_right_too(examine: Examine, wechat: ScriptedWechat) -> None:
    wechat.script = [{"out_trade_no": doctor.PROBE_NUMBER, "trade_state": "NOTPAY"}]
    assert codes(examine()) == RIGHT


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"merchant_private_key": "nonsense"}, "merchant_key_unreadable"),
        ({"merchant_serial": "nonsense"}, "merchant_serial_wrong"),
        ({"apiv3_key": "nonsense"}, "apiv3_key_wrong"),
        ({"public_key": "nonsense", "public_key_id": PUBLIC_KEY_ID}, "public_key_wrong"),
        ({"public_key": "nonsense", "public_key_id": "1"}, "public_key_id_wrong"),
        ({"mchid": "nonsense"}, "mchid_wrong"),
        ({"appid": "non sense"}, "appid_wrong"),
        ({"gateway_url": "nonsense"}, "gateway_url_wrong"),
    ],
)
def test_what_can_be_seen_offline(examine: Examine, change: dict[str, str], code: str) -> None:
    [finding] = examine(**change)
    assert (finding.level, finding.code) == ("error", code)


def test_a_wrong_apiv3_key(examine: Examine, wechat: ScriptedWechat, keys: Keys) -> None:
    """In certificate mode the list does not decrypt; in public-key mode the rest is right all the same."""
    wechat.script = [NOT_THERE]
    assert codes(examine(apiv3_key="w" * 32)) == ["apiv3_key_wrong"]
    wechat.script = [answered(404, {"code": "ORDER_NOT_EXIST"}, key=keys.public, serial=PUBLIC_KEY_ID)]
    modern = {"public_key_id": PUBLIC_KEY_ID, "public_key": keys.public_pem}
    assert codes(examine(apiv3_key="w" * 32, **modern)) == ["apiv3_key_wrong", "keys_right"]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("签名错误", "merchant_key_wrong"),
        ("商户证书序列号有误。请使用签名私钥匹配的证书序列号", "merchant_serial_wrong"),
        ("商户证书已过期，请更换", "merchant_certificate_expired"),
        ("商户证书已作废", "merchant_certificate_revoked"),
        ("商户已更换证书，请使用新证书", "merchant_certificate_replaced"),
        ("商户未申请过证书。", "merchant_certificate_missing"),
        ("商户未设置APIv3密钥。", "apiv3_key_unset"),
        ("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟", "clock_off"),
        ("something new", "merchant_key_wrong"),
    ],
)
def test_a_refused_signature(examine: Examine, wechat: ScriptedWechat, message: str, code: str) -> None:
    refused = failed("SIGN_ERROR", 401, signed=False, message=message)
    assert callable(refused)
    wechat.list_answer, wechat.script = refused, [refused]
    [finding] = examine()
    assert (finding.level, finding.code) == ("error", code)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (failed("MCH_NOT_EXISTS", 400), "mchid_wrong"),
        (failed("NO_AUTH", 403), "permission_missing"),
        (failed("NOAUTH", 403), "permission_missing"),
        (failed("APPID_MCHID_NOT_MATCH", 400), "appid_not_bound"),
        (failed("NEVER_HEARD_OF", 400), "NEVER_HEARD_OF"),
        (failed("ORDER_NOT_EXIST", 404, signed=False), "ORDER_NOT_EXIST"),
        (unsigned(502), "http_502"),
        (ChannelUnavailable("refused"), "gateway_unreachable"),
        (OutcomeUnknown("broken"), "gateway_no_answer"),
        (unsigned(200, b"<html>"), "answer_not_trusted"),
    ],
)
def test_other_answers(examine: Examine, wechat: ScriptedWechat, answer: Any, code: str) -> None:
    wechat.script = [answer]
    assert [finding.code for finding in examine() if finding.level == "error"] == [code]


def test_nobody_is_there(examine: Examine) -> None:
    class Nobody:
        def send(self, request: Request) -> Reply:
            raise ChannelUnavailable("refused")

    assert codes(examine(Nobody())) == ["gateway_unreachable"]


def test_the_public_key_of_another_merchant(examine: Examine, wechat: ScriptedWechat, keys: Keys) -> None:
    wechat.script = [answered(404, {"code": "ORDER_NOT_EXIST"}, key=keys.public, serial=PUBLIC_KEY_ID)]
    other = RsaPrivateKey(new_key()).public().pem()
    found = examine(public_key_id=PUBLIC_KEY_ID, public_key=other)
    assert codes(found) == ["apiv3_key_right", "public_key_wrong"]


def test_the_id_of_another_public_key(examine: Examine, wechat: ScriptedWechat, keys: Keys) -> None:
    wechat.script = [answered(404, {"code": "ORDER_NOT_EXIST"}, key=keys.public, serial=PUBLIC_KEY_ID)]
    found = examine(public_key_id=PUBLIC_KEY_ID + "7", public_key=keys.public_pem)
    assert codes(found) == ["apiv3_key_right", "public_key_id_wrong"]


def test_a_merchant_without_certificates(examine: Examine, wechat: ScriptedWechat, keys: Keys) -> None:
    by_public = {"key": keys.public, "serial": PUBLIC_KEY_ID}
    wechat.list_answer = lambda script: script.reply(404, b'{"code":"RESOURCE_NOT_EXISTS"}', **by_public)
    wechat.script = [answered(404, {"code": "ORDER_NOT_EXIST"}, **by_public)]
    found = examine(public_key_id=PUBLIC_KEY_ID, public_key=keys.public_pem)
    assert [(finding.level, finding.code) for finding in found] == [
        ("warning", "apiv3_key_unproven"),
        ("ok", "keys_right"),
    ]
    wechat.script = [answered(404, {"code": "ORDER_NOT_EXIST"}, **by_public)]
    assert "public_key_missing" in codes(examine())


def test_a_certificate_that_ends_soon_or_has_ended(examine: Examine, wechat: ScriptedWechat, keys: Keys) -> None:
    soon = Platform(keys.old.key, certificate(keys.old.key, 5, start=NOW - timedelta(days=90), days=100))
    wechat.listed, wechat.signer, wechat.script = [soon], soon, [NOT_THERE]
    assert codes(examine()) == ["apiv3_key_right", "certificate_expiring", "keys_right"]
    past = Platform(keys.old.key, certificate(keys.old.key, 5, start=NOW - timedelta(days=90), days=30))
    wechat.listed, wechat.signer, wechat.script = [past], past, [NOT_THERE]
    found = examine()
    assert "certificate_list_refused" in codes(found)
    assert "keys_right" not in codes(found)


@pytest.mark.parametrize(("minutes", "word"), [(-6, "ahead"), (6, "behind"), (-2, "ahead"), (0, "")])
def test_the_clock(examine: Examine, wechat: ScriptedWechat, turned: TurnedClock, minutes: int, word: str) -> None:
    """WeChat's Date is right; ours is minutes away. At five minutes each refuses the other."""
    theirs = turned.now() + timedelta(minutes=minutes)
    date = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT")
    shift = minutes * 60

    def dated(answer: Callable[[ScriptedWechat], Reply]) -> Callable[[ScriptedWechat], Reply]:
        def answer_with_date(script: ScriptedWechat) -> Reply:
            reply = answer(script)
            return Reply(reply.status, {**reply.headers, "date": date}, reply.body)

        return answer_with_date

    wechat.list_answer = dated(lambda script: script.certificates(shift=shift))
    wechat.script = [dated(lambda script: script.reply(404, b'{"code":"ORDER_NOT_EXIST"}', shift=shift))]
    found = examine()
    assert codes(found).count("clock_off") == (1 if minutes else 0)
    if minutes:
        assert word in found[0].message
    assert ("keys_right" in codes(found)) is (abs(minutes) < 5)


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 01 Jan 2026 10:00:00"])
def test_a_date_that_is_none(examine: Examine, wechat: ScriptedWechat, date: str) -> None:
    reply = Reply(404, {"date": date}, b"")
    wechat.list_answer = lambda script: reply
    wechat.script = [NOT_THERE]
    assert "clock_off" not in codes(examine())


# --- the notification address ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "notify_url_answers"),
        (400, "notify_url_answers"),
        (200, "notify_url_trusts_all"),
        (204, "notify_url_trusts_all"),
        (302, "notify_url_unreachable"),
        (404, "notify_url_unreachable"),
        (502, "notify_url_unreachable"),
    ],
)
def test_the_notification_address(examine: Examine, wechat: ScriptedWechat, status: int, code: str) -> None:
    class WithShop:
        def send(self, request: Request) -> Reply:
            return Reply(status, {}, b"") if request.url == NOTIFY_URL else wechat.send(request)

    wechat.script = [NOT_THERE]
    assert codes(examine(WithShop(), NOTIFY_URL)) == [*RIGHT, code]


@pytest.mark.parametrize("url", ["shop.test/n", "https://", "https://shop.test/n?a=1", "https://shop.test/a b"])
def test_a_notification_address_that_is_none(examine: Examine, wechat: ScriptedWechat, url: str) -> None:
    wechat.script = [NOT_THERE]
    assert codes(examine(None, url))[-1] == "notify_url_wrong"


def test_an_unreachable_notification_address(examine: Examine, wechat: ScriptedWechat) -> None:
    class WithoutShop:
        def send(self, request: Request) -> Reply:
            if request.url == NOTIFY_URL:
                raise ChannelUnavailable("refused")
            return wechat.send(request)

    wechat.script = [NOT_THERE]
    assert codes(examine(WithoutShop(), NOTIFY_URL))[-1] == "notify_url_unreachable"
