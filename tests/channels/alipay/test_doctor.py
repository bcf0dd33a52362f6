"""The doctor: every cause that it names, tried on a planted case."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.channels.alipay.conftest import (
    APP_ID,
    GATEWAY_URL,
    NOW,
    FixedClock,
    Keys,
    ScriptedAlipay,
    failed,
    ok,
    unsigned,
)
from tests.channels.alipay.test_certificate_mode import Pki, issue, pki
from tongbao.channels.alipay.doctor import examine
from tongbao.channels.exchange import drive
from tongbao.crypto import RsaPrivateKey
from tongbao.domain.errors import ChannelUnavailable, OutcomeUnknown
from tongbao.ports import Finding, Reply, Request

NOTIFY_URL = "https://shop.test/notify/ca_1"
_ = pki  # a fixture of the certificate tests


@dataclass
class World:
    """The gateway, and the notification address beside it."""

    gateway: ScriptedAlipay
    notify_status: int = 400
    notify_error: Exception | None = None
    date: str | None = None

    def send(self, request: Request) -> Reply:
        if not request.url.startswith(GATEWAY_URL):
            if self.notify_error is not None:
                raise self.notify_error
            return Reply(self.notify_status, {}, b"fail")
        reply = self.gateway.send(request)
        return reply if self.date is None else replace(reply, headers={**reply.headers, "date": self.date})


@pytest.fixture
def world(alipay: ScriptedAlipay) -> World:
    alipay.script = [failed("ACQ.TRADE_NOT_EXIST")]
    return World(alipay, date=format_datetime(NOW + timedelta(seconds=2)))


@pytest.fixture
def credentials(keys: Keys) -> dict[str, str]:
    return {
        "gateway_url": GATEWAY_URL,
        "app_id": APP_ID,
        "private_key": keys.app_private,
        "alipay_public_key": keys.alipay_public,
    }


def found(world: World, credentials: dict[str, str], notify_url: str | None = NOTIFY_URL) -> dict[str, Finding]:
    findings = drive(examine(credentials, FixedClock(), notify_url), world)
    for finding in findings:
        assert finding.level == "ok" or finding.advice, finding
        assert credentials["private_key"][200:260] not in str(finding) or len(credentials["private_key"]) < 260
    return {finding.code: finding for finding in findings}


def test_a_healthy_account(world: World, credentials: dict[str, str]) -> None:
    assert [finding.level for finding in found(world, credentials).values()] == ["ok", "ok"]


# --- credentials -----------------------------------------------------------------------------------------------------


def test_the_own_public_key_in_place_of_alipays(world: World, credentials: dict[str, str], keys: Keys) -> None:
    credentials["alipay_public_key"] = RsaPrivateKey(keys.app).public().bare()
    assert "own private key" in found(world, credentials)["alipay_public_key_wrong"].message


def test_another_public_key_in_place_of_alipays(world: World, credentials: dict[str, str]) -> None:
    credentials["alipay_public_key"] = RsaPrivateKey.generate().public().bare()
    assert found(world, credentials)["alipay_public_key_wrong"].level == "error"


def test_a_private_key_of_another_pair(world: World, credentials: dict[str, str]) -> None:
    world.gateway.script = [unsigned(failed("isv.invalid-signature", code="40002"))]
    assert "other half" in found(world, credentials)["isv.invalid-signature"].message


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (
            lambda key: key.pem_pkcs8().replace("BEGIN ", "BEGIN RSA ").replace("END ", "END RSA "),
            "private_key_mislabelled",
        ),
        (
            lambda key: key.pem_pkcs1().replace("BEGIN RSA ", "BEGIN ").replace("END RSA ", "END "),
            "private_key_mislabelled",
        ),
        (lambda key: key.bare_pkcs8()[:-40], "private_key_unreadable"),
        (lambda key: key.public().pem(), "private_key_unreadable"),
    ],
    ids=["PKCS#8 as PKCS#1", "PKCS#1 as PKCS#8", "cut off", "a public key"],
)
def test_the_private_keys_form(
    world: World, credentials: dict[str, str], keys: Keys, make: Callable[[RsaPrivateKey], str], code: str
) -> None:
    credentials["private_key"] = make(RsaPrivateKey(keys.app))
    findings = found(world, credentials)
    assert code in findings
    assert ("keys_right" in findings) is (code == "private_key_mislabelled")


@pytest.mark.parametrize("form", ["pem_pkcs8", "pem_pkcs1", "bare_pkcs8"])
def test_honest_forms_are_not_remarked_upon(world: World, credentials: dict[str, str], keys: Keys, form: str) -> None:
    credentials["private_key"] = getattr(RsaPrivateKey(keys.app), form)()
    assert found(world, credentials).keys() == {"keys_right", "notify_url_answers"}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("charset", "utf-16", "charset_wrong"),
        ("gateway_url", "openapi.alipay.com", "gateway_url_wrong"),
        ("aes_key", "short", "aes_key_wrong"),
        ("app_id", "", "app_id_wrong"),
        ("sign_type", "MD5", "sign_type_wrong"),
        ("private_key", "", "private_key_unreadable"),
    ],
)
def test_settings(world: World, credentials: dict[str, str], name: str, value: str, code: str) -> None:
    assert found(world, {**credentials, name: value})[code].level == "error"


def test_the_old_sandbox(world: World, credentials: dict[str, str]) -> None:
    credentials["gateway_url"] = "https://openapi.alipaydev.com/gateway.do"
    assert "retired" in found(world, credentials)["gateway_retired"].message


# --- certificates ----------------------------------------------------------------------------------------------------


@pytest.fixture
def certified(credentials: dict[str, str], pki: Pki) -> dict[str, str]:
    del credentials["alipay_public_key"]
    return {
        **credentials,
        "app_cert": pki.app.pem,
        "alipay_cert": pki.alipay.pem + pki.class2.pem,
        "alipay_root_cert": pki.bundle,
    }


def test_a_healthy_account_in_certificate_mode(world: World, certified: dict[str, str]) -> None:
    assert found(world, certified).keys() == {"keys_right", "notify_url_answers"}


def test_a_certificate_of_another_app(world: World, certified: dict[str, str], pki: Pki, keys: Keys) -> None:
    other = issue("2088000000000001-2021999999999999", pki.class1, keys.app, 70)
    findings = found(world, {**certified, "app_cert": other.pem})
    assert "2021999999999999" in findings["app_cert_wrong"].message
    another_key = issue("2088000000000001-2021000000000001", pki.class1, pki.spare, 71)
    assert "private key" in found(world, {**certified, "app_cert": another_key.pem})["app_cert_wrong"].message


def test_a_root_bundle_cut_in_the_middle_of_a_certificate(world: World, certified: dict[str, str], pki: Pki) -> None:
    assert found(world, {**certified, "alipay_root_cert": pki.bundle[:-200]})["root_bundle_cut"].level == "error"


def test_a_root_bundle_cut_between_certificates(world: World, certified: dict[str, str], pki: Pki) -> None:
    findings = found(world, {**certified, "alipay_root_cert": pki.others["second"].pem})
    assert findings["root_bundle_cut"].level == "warning"


# --- gateway ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "side"), [(1, "behind"), (-1, "ahead of")])
def test_the_clock(world: World, credentials: dict[str, str], hours: int, side: str) -> None:
    world.date = format_datetime(NOW + timedelta(hours=hours))
    assert side in found(world, credentials)["clock_off"].message


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 02 Jan 2026 03:04:05 -0000"])
def test_a_gateway_without_a_usable_date(world: World, credentials: dict[str, str], date: str) -> None:
    world.date = date
    assert "clock_off" not in found(world, credentials)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (ChannelUnavailable("refused"), "gateway_unreachable"),
        (OutcomeUnknown("reset"), "gateway_no_answer"),
        (unsigned(failed("isv.invalid-app-id", code="40002")), "isv.invalid-app-id"),
        (unsigned(failed("isv.invalid-timestamp", code="40002")), "isv.invalid-timestamp"),
        (unsigned(failed("isv.invalid-charset", code="40002")), "isv.invalid-charset"),
        (unsigned(failed("isv.missing-app-cert-sn", code="40002")), "isv.missing-app-cert-sn"),
        (unsigned(failed("isv.something-else", code="40006")), "isv.something-else"),
        (unsigned(ok()), "alipay_public_key_wrong"),
    ],
)
def test_what_the_gateway_says(world: World, credentials: dict[str, str], answer: Any, code: str) -> None:
    world.gateway.script = [answer]
    assert found(world, credentials)[code].level == "error"


# --- notifications ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "status", "error", "code"),
    [
        (NOTIFY_URL, 404, None, "notify_url_unreachable"),
        (NOTIFY_URL, 502, None, "notify_url_unreachable"),
        (NOTIFY_URL, 301, None, "notify_url_unreachable"),
        (NOTIFY_URL, 400, ChannelUnavailable("refused"), "notify_url_unreachable"),
        ("shop.test/notify", 400, None, "notify_url_wrong"),
        ("https://shop.test/a b", 400, None, "notify_url_wrong"),
        ("http://192.168.1.7/notify", 200, None, "notify_url_unreachable"),
        ("http://100.64.0.1/notify", 200, None, "notify_url_unreachable"),
        ("http://localhost:8000/notify", 200, None, "notify_url_unreachable"),
        (NOTIFY_URL, 200, OutcomeUnknown("reset"), "notify_url_unreachable"),
        (NOTIFY_URL, 200, None, "notify_url_answers"),
    ],
)
def test_the_notification_address(
    world: World, credentials: dict[str, str], url: str, status: int, error: Exception | None, code: str
) -> None:
    world.notify_status, world.notify_error = status, error
    assert code in found(world, credentials, url)


def test_no_notification_address(world: World, credentials: dict[str, str]) -> None:
    assert found(world, credentials, None).keys() == {"keys_right"}
