"""Whose words are believed: the window, headers of every framework, the switch of keys, serials that nobody knows."""

import asyncio
import json
import threading
from collections import UserDict
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.channels.wechatpay.conftest import (
    APIV3_KEY,
    NOTIFY_URL,
    NOW,
    PUBLIC_KEY_ID,
    TRANSACTION,
    AsyncScript,
    Keys,
    Platform,
    ScriptedWechat,
    TurnedClock,
    answered,
    certificate,
    failed,
    new_key,
    sealed,
    text_of,
    unsigned,
)
from tongbao.channels.wechatpay import AsyncWechatPayClient, WechatPayClient
from tongbao.channels.wechatpay.certificates import ListUndecryptable
from tongbao.channels.wechatpay.errors import WechatPayError
from tongbao.channels.wechatpay.trust import OutsideWindow, SerialUnknown, SignatureProbe
from tongbao.domain.errors import ChannelError, InvalidInput, MessageNotTrusted, OutcomeUnknown
from tongbao.ports import Reply, Request

ORDER: dict[str, Any] = {"out_trade_no": "ORDER1", "amount": 1, "description": "tea", "notify_url": NOTIFY_URL}


@pytest.fixture
def ready(client: WechatPayClient) -> WechatPayClient:
    """With WeChat's certificates."""
    client.load_certificates()
    return client


# --- the window --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(("seconds", "believed"), [(0, True), (299, True), (300, False), (301, False), (86_400, False)])
def test_the_window_both_ways(
    ready: WechatPayClient, wechat: ScriptedWechat, turned: TurnedClock, side: int, seconds: int, believed: bool
) -> None:
    turned.time = NOW.replace(microsecond=0)
    headers, body = wechat.notification(TRANSACTION, shift=side * seconds)
    wechat.script = [answered(200, TRANSACTION, shift=side * seconds)]
    if believed:
        assert ready.verify_notification(headers, body).resource == TRANSACTION
        assert ready.query(out_trade_no=TRANSACTION["out_trade_no"]) == TRANSACTION
        return
    with pytest.raises(OutsideWindow):
        ready.verify_notification(headers, body)
    with pytest.raises(MessageNotTrusted):
        ready.query(out_trade_no=TRANSACTION["out_trade_no"])


def test_a_year_old_notification(ready: WechatPayClient, wechat: ScriptedWechat, turned: TurnedClock) -> None:
    headers, body = wechat.notification(TRANSACTION)
    turned.time = NOW + timedelta(days=365)
    with pytest.raises(OutsideWindow):
        ready.verify_notification(headers, body)
    turned.time = NOW
    with pytest.raises(OutsideWindow):
        ready.verify_notification(headers, body, now=NOW + timedelta(minutes=6))


# --- headers as frameworks give them -----------------------------------------------------------------------------


def as_title(headers: dict[str, str]) -> object:
    return {name.title(): value for name, value in headers.items()}


def as_asgi(headers: dict[str, str]) -> object:
    return [(b"host", b"x"), *((name.encode(), value.encode()) for name, value in headers.items())]


def as_wsgi(headers: dict[str, str]) -> object:
    environ = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()}
    return {"REQUEST_METHOD": "POST", "wsgi.version": (1, 0), **environ}


def as_bytes_mapping(headers: dict[str, str]) -> object:
    return {name.upper().encode(): value.encode() for name, value in headers.items()}


class DjangoHeaders(UserDict[str, str]):
    """As `request.headers`: a mapping of titled names."""


FORMS: list[Callable[[dict[str, str]], object]] = [
    dict,
    as_title,
    as_asgi,
    as_wsgi,
    as_bytes_mapping,
    lambda headers: DjangoHeaders({name.title(): value for name, value in headers.items()}),
    lambda headers: list(headers.items()),
    lambda headers: iter([(name.title(), value) for name, value in headers.items()]),
    lambda headers: [*headers.items(), *((name.title(), value) for name, value in headers.items())],
]


@pytest.mark.parametrize("form", FORMS)
def test_headers_of_every_framework(
    ready: WechatPayClient, wechat: ScriptedWechat, form: Callable[[dict[str, str]], Any]
) -> None:
    headers, body = wechat.notification(TRANSACTION)
    assert ready.verify_notification(form(headers), body).resource == TRANSACTION
    assert ready.verify_notification(form(headers), body.decode()).event_type == "TRANSACTION.SUCCESS"


def test_headers_that_are_refused(ready: WechatPayClient, wechat: ScriptedWechat) -> None:
    headers, body = wechat.notification(TRANSACTION)
    with pytest.raises(InvalidInput):
        ready.verify_notification({}, body)
    with pytest.raises(InvalidInput, match="twice"):
        ready.verify_notification([*headers.items(), ("Wechatpay-Nonce", "other")], body)
    for name in ("timestamp", "nonce", "serial"):
        with pytest.raises(MessageNotTrusted, match="missing"):
            ready.verify_notification({**headers, f"wechatpay-{name}": ""}, body)
    for timestamp in ("", "soon", "-1", "١", "9" * 40):
        with pytest.raises(MessageNotTrusted):
            ready.verify_notification({**headers, "wechatpay-timestamp": timestamp}, body)
    unnamed = {name: value for name, value in headers.items() if name != "wechatpay-signature-type"}
    assert ready.verify_notification(unnamed, body).resource == TRANSACTION


# --- forged ------------------------------------------------------------------------------------------------------


@given(place=st.integers(0), bit=st.integers(0, 7))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_flipped_byte(ready: WechatPayClient, wechat: ScriptedWechat, place: int, bit: int) -> None:
    headers, body = wechat.notification(TRANSACTION)
    broken = bytearray(body)
    broken[place % len(broken)] ^= 1 << bit
    with pytest.raises(MessageNotTrusted):
        ready.verify_notification(headers, bytes(broken))


def test_a_probe_is_refused_quietly(ready: WechatPayClient, wechat: ScriptedWechat) -> None:
    headers, body = wechat.notification(TRANSACTION)
    probe = {**headers, "wechatpay-signature": "WECHATPAY/SIGNTEST/" + headers["wechatpay-signature"]}
    with pytest.raises(SignatureProbe):
        ready.verify_notification(probe, body)
    with pytest.raises(SignatureProbe):
        ready.verify_notification({**probe, "wechatpay-serial": "ABCDEF"}, body)
    assert wechat.list_calls == 1, "a probe fetches nothing"


def test_signed_rightly_and_made_for_somebody_else(ready: WechatPayClient, wechat: ScriptedWechat) -> None:
    """Platform certificates sign for every merchant; only the APIv3 key makes a notification ours."""
    body = text_of(
        {
            "id": "1",
            "event_type": "TRANSACTION.SUCCESS",
            "resource": {"original_type": "transaction", **sealed(text_of(TRANSACTION), "transaction", "x" * 32)},
        }
    )
    with pytest.raises(MessageNotTrusted, match="APIv3"):
        ready.verify_notification(wechat.headers(body), body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"<xml/>",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        b'{"resource":1,"id":"1","event_type":"x"}',
        text_of({"id": "1", "resource": sealed(b"{}", "a")}),
        text_of({"id": "1", "event_type": "x", "resource": sealed(b"[]", "a")}),
        text_of({"id": "1", "event_type": "x", "resource": {**sealed(b"{}", "a"), "nonce": 1}}),
        b'{"a":"' + b"x" * (2 * 1024 * 1024) + b'"}',
    ],
)
def test_signed_rightly_and_no_notification(ready: WechatPayClient, wechat: ScriptedWechat, body: bytes) -> None:
    with pytest.raises(InvalidInput):
        ready.verify_notification(wechat.headers(body), body)


def test_content_without_associated_data(ready: WechatPayClient, wechat: ScriptedWechat) -> None:
    resource = sealed(text_of(TRANSACTION), "")
    del resource["associated_data"]
    body = text_of({"id": "1", "event_type": "x", "resource": resource})
    message = ready.verify_notification(wechat.headers(body), body)
    assert (message.resource, message.original_type, message.summary) == (TRANSACTION, "", "")


# --- the first list, and others ----------------------------------------------------------------------------------


def test_the_first_call_fetches_the_list(client: WechatPayClient, wechat: ScriptedWechat, keys: Keys) -> None:
    wechat.script = [{"code_url": "a"}, {"code_url": "b"}]
    assert client.native_pay(**ORDER) == {"code_url": "a"}
    assert client.native_pay(**ORDER) == {"code_url": "b"}
    assert wechat.list_calls == 1
    assert "wechatpay-serial" not in wechat.calls[0].headers
    assert wechat.calls[1].headers["wechatpay-serial"] == keys.old.serial.lstrip("0")


def entry(platform: Platform, **changes: Any) -> dict[str, Any]:
    return {
        "serial_no": platform.serial,
        "encrypt_certificate": sealed(platform.pem.encode(), "certificate"),
        **changes,
    }


def listing(*entries: Any, **how: Any) -> Callable[[ScriptedWechat], Reply]:
    return lambda script: script.reply(200, text_of({"data": list(entries)}), **how)


def forged_lists(keys: Keys) -> dict[str, Callable[[ScriptedWechat], Reply]]:
    forged = Platform(keys.public, certificate(keys.public, 99))
    past = Platform(keys.old.key, certificate(keys.old.key, 5, start=NOW - timedelta(days=90), days=30))
    return {
        "unsigned": lambda script: Reply(200, {}, script.certificates().body),
        "signed by another key": listing(entry(keys.old), key=keys.public),
        "signed by a key that is not in it": listing(entry(keys.old), signer=keys.new),
        "a probe": lambda script: Reply(
            200, {**script.headers(b""), "wechatpay-signature": "WECHATPAY/SIGNTEST/A"}, script.certificates().body
        ),
        "old": listing(entry(keys.old), shift=-400),
        "another APIv3 key": listing(
            entry(keys.old, encrypt_certificate=sealed(keys.old.pem.encode(), "certificate", "y" * 32))
        ),
        "another serial": listing(entry(keys.old, serial_no="77")),
        "no certificate inside": listing(
            entry(keys.old, encrypt_certificate=sealed(b"-----BEGIN CERTIFICATE-----", "certificate"))
        ),
        "not this root": listing(entry(keys.old), entry(forged)),
        "expired": listing(entry(past), signer=past),
        "empty": listing(),
        "no entry": listing(1),
        "no list": lambda script: script.reply(200, b"{}"),
        "no JSON": lambda script: script.reply(200, b"<html>"),
        "refused": lambda script: Reply(401, {}, b'{"code":"SIGN_ERROR"}'),
        "refused, signed by nobody known": lambda script: script.reply(404, b'{"code":"X"}', key=keys.public),
        "broken": lambda script: (_ for _ in ()).throw(OutcomeUnknown("broken")),
    }


NAMES = [
    "unsigned",
    "signed by another key",
    "signed by a key that is not in it",
    "a probe",
    "old",
    "another APIv3 key",
    "another serial",
    "no certificate inside",
    "not this root",
    "expired",
    "empty",
    "no entry",
    "no list",
    "no JSON",
    "refused",
    "refused, signed by nobody known",
    "broken",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_list_that_is_not_proven_changes_nothing(
    settings_of: dict[str, Any], wechat: ScriptedWechat, turned: TurnedClock, keys: Keys, name: str
) -> None:
    client = WechatPayClient(**settings_of, platform_root=keys.root.pem, transport=wechat)
    assert set(forged_lists(keys)) == set(NAMES)
    client.load_certificates()
    before = client.account.keys.certificates
    turned.time += timedelta(minutes=2)
    wechat.list_answer = forged_lists(keys)[name]
    with pytest.raises(ChannelError):
        client.load_certificates()
    assert client.account.keys.certificates == before
    headers, body = wechat.notification(TRANSACTION)
    assert client.verify_notification(headers, body).resource == TRANSACTION


def test_a_wrong_apiv3_key_has_a_name(settings_of: dict[str, Any], wechat: ScriptedWechat) -> None:
    client = WechatPayClient(**{**settings_of, "apiv3_key": "z" * 32}, transport=wechat)
    with pytest.raises(ListUndecryptable):
        client.load_certificates()


def test_certificates_that_were_kept(settings_of: dict[str, Any], wechat: ScriptedWechat, keys: Keys) -> None:
    client = WechatPayClient(**settings_of, platform_certs=keys.old.pem + keys.new.pem, transport=wechat)
    headers, body = wechat.notification(TRANSACTION, signer=keys.new)
    assert client.verify_notification(headers, body).resource == TRANSACTION
    assert wechat.list_calls == 0


def test_an_expired_certificate_is_not_believed(
    ready: WechatPayClient, wechat: ScriptedWechat, turned: TurnedClock, keys: Keys
) -> None:
    turned.time = keys.old.certificate.not_valid_after_utc + timedelta(days=1)
    headers, body = wechat.notification(TRANSACTION)
    with pytest.raises(MessageNotTrusted, match="not valid now"):
        ready.verify_notification(headers, body)


def test_encryption_takes_the_newest_valid_key(
    client: WechatPayClient, wechat: ScriptedWechat, turned: TurnedClock, keys: Keys
) -> None:
    assert client.encrypted(None, None) == (None, [None, None])
    assert wechat.list_calls == 0
    wechat.listed = [keys.new, keys.old]
    serial, [text] = client.encrypted("张三")
    assert (serial, wechat.list_calls) == (keys.new.serial.lstrip("0"), 1)
    assert text != "张三"
    turned.time += timedelta(hours=11)
    client.encrypted("张三")
    assert wechat.list_calls == 1
    turned.time += timedelta(hours=1)
    client.encrypted("张三")
    assert wechat.list_calls == 2, "a list that is 12 hours old is fetched anew"
    turned.time += timedelta(hours=12)
    wechat.list_answer = lambda script: Reply(502, {}, b"")
    assert client.encrypted("张三")[0] == serial, "the old list stays until the new one is in"


def test_nothing_to_encrypt_with(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    wechat.list_answer = lambda script: Reply(502, {}, b"")
    with pytest.raises(WechatPayError):
        client.encrypted("张三")
    with pytest.raises(InvalidInput, match="214"):
        WechatPayClient.opened(client.account, WechatAgain(wechat)).encrypted("张" * 100)


class WechatAgain:
    """The list, however the script was told to answer."""

    def __init__(self, script: ScriptedWechat) -> None:
        self.script = script

    def send(self, request: Request) -> Reply:
        self.script.list_answer = None
        return self.script.send(request)


# --- a whole switch ----------------------------------------------------------------------------------------------


def test_certificate_and_public_key_through_a_whole_switch(
    settings_of: dict[str, Any], wechat: ScriptedWechat, turned: TurnedClock, keys: Keys
) -> None:
    """Certificates alone, a second one beside the first, the public key greyed in from 0.1 to 100 %, rolled back, then
    for good: not one genuine message is refused, and not one forged believed."""

    def both_ways(client: WechatPayClient, **how: Any) -> None:
        wechat.script = [answered(200, TRANSACTION, **how), answered(204, None, **how)]
        assert dict(client.query(out_trade_no=TRANSACTION["out_trade_no"])) == TRANSACTION
        client.close(out_trade_no="ORDER1")
        headers, body = wechat.notification(TRANSACTION, **how)
        assert client.receive_notification(headers, body).resource == TRANSACTION
        forged = {**how, "key": keys.merchant}
        headers, body = wechat.notification(TRANSACTION, **forged)
        with pytest.raises(MessageNotTrusted):
            client.receive_notification(headers, body)

    by_public = {"key": keys.public, "serial": PUBLIC_KEY_ID}
    only = WechatPayClient(**settings_of, transport=wechat)
    both_ways(only)
    turned.time += timedelta(hours=1)
    wechat.listed = [keys.old, keys.new]
    both_ways(only, signer=keys.new)
    both_ways(only, signer=keys.old)
    assert wechat.list_calls == 2

    both = WechatPayClient(**settings_of, public_key_id=PUBLIC_KEY_ID, public_key=keys.public_pem, transport=wechat)
    for percent in (0, 0.1, 1, 5, 10, 0, 10, 20, 50, 100):
        turned.time += timedelta(hours=12)
        both_ways(both, **(by_public if percent else {"signer": keys.new}))
        both_ways(both, **(by_public if percent == 100 else {"signer": keys.old}))
        assert {call.headers["wechatpay-serial"] for call in wechat.calls[-4:]} == {PUBLIC_KEY_ID}
    wechat.list_answer = lambda script: script.reply(404, b'{"code":"RESOURCE_NOT_EXISTS"}', **by_public)
    both_ways(both, **by_public)
    assert wechat.list_calls == 3, "the second client fetched its list once"
    headers, body = wechat.notification(TRANSACTION, key=keys.public, serial="PUB_KEY_ID_999")
    with pytest.raises(SerialUnknown):
        both.receive_notification(headers, body)
    assert wechat.list_calls == 3, "a public key cannot be fetched"


def test_rotation_is_noticed_by_a_reply(
    client: WechatPayClient, wechat: ScriptedWechat, turned: TurnedClock, keys: Keys
) -> None:
    client.load_certificates()
    turned.time += timedelta(hours=1)
    wechat.listed = [keys.new]
    wechat.script = [answered(200, {"code_url": "weixin://x"}, signer=keys.new)]
    assert client.native_pay(**ORDER) == {"code_url": "weixin://x"}
    assert [key.serial for key in client.account.keys.certificates] == [keys.new.serial.lstrip("0")]


# --- serials that nobody knows -----------------------------------------------------------------------------------

MANY = 10_000


def test_an_unknown_serial_ten_thousand_times_is_one_fetch(
    ready: WechatPayClient, wechat: ScriptedWechat, turned: TurnedClock
) -> None:
    turned.time += timedelta(hours=1)
    before = wechat.list_calls
    headers, body = wechat.notification(TRANSACTION)
    for number in range(MANY):
        with pytest.raises(SerialUnknown):
            ready.receive_notification({**headers, "wechatpay-serial": f"{number:040X}"}, body)
    assert wechat.list_calls == before + 1
    turned.time += timedelta(seconds=60)
    headers, body = wechat.notification(TRANSACTION)
    with pytest.raises(SerialUnknown):
        ready.receive_notification({**headers, "wechatpay-serial": "AB"}, body)
    assert wechat.list_calls == before + 2


async def test_ten_thousand_at_once_wait_for_one_fetch(settings_of: dict[str, Any], wechat: ScriptedWechat) -> None:
    """The first list is on its way when all of them come; every genuine one is believed when it is there."""
    arrived = asyncio.Event()

    class Slow(AsyncScript):
        async def send(self, request: Request) -> Reply:
            await arrived.wait()
            return self.script.send(request)

    client = AsyncWechatPayClient(**settings_of, transport=Slow(wechat))
    headers, body = wechat.notification(TRANSACTION)
    waiting = [asyncio.ensure_future(client.receive_notification(headers, body)) for _ in range(MANY)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    arrived.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(not isinstance(one, BaseException) for one in results[1:])
    assert wechat.list_calls == 1


def test_threads_wait_for_one_fetch(settings_of: dict[str, Any], wechat: ScriptedWechat) -> None:
    gate, inside = threading.Event(), threading.Semaphore(0)

    class Slow:
        def send(self, request: Request) -> Reply:
            inside.release()
            gate.wait(5)
            return wechat.send(request)

    client = WechatPayClient(**settings_of, transport=Slow())
    headers, body = wechat.notification(TRANSACTION)
    results: list[object] = []

    def work() -> None:
        try:
            results.append(client.receive_notification(headers, body).resource)
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    assert inside.acquire(timeout=5)
    assert not inside.acquire(timeout=0.2), "the others wait for the one that is on its way"
    gate.set()
    for thread in threads:
        thread.join()
    assert results == [TRANSACTION] * 16
    assert wechat.list_calls == 1


def test_waiters_get_the_flight_s_error(settings_of: dict[str, Any], wechat: ScriptedWechat) -> None:
    client = WechatPayClient(**settings_of, transport=wechat)
    wechat.list_answer = lambda script: (_ for _ in ()).throw(OutcomeUnknown("broken"))
    with pytest.raises(OutcomeUnknown):
        client.load_certificates()
    wechat.list_answer = None
    assert client.load_certificates()


def test_a_merchant_without_certificates_is_not_asked_for_ever(
    settings_of: dict[str, Any], wechat: ScriptedWechat, keys: Keys
) -> None:
    client = WechatPayClient(**settings_of, public_key_id=PUBLIC_KEY_ID, public_key=keys.public_pem, transport=wechat)
    wechat.list_answer = lambda script: script.reply(
        404, b'{"code":"RESOURCE_NOT_EXISTS"}', key=keys.public, serial=PUBLIC_KEY_ID
    )
    headers, body = wechat.notification(TRANSACTION)
    for _ in range(100):
        with pytest.raises(SerialUnknown):
            client.receive_notification(headers, body)
    assert wechat.list_calls == 1


def test_the_plain_verification_fetches_nothing(client: WechatPayClient, wechat: ScriptedWechat, keys: Keys) -> None:
    headers, body = wechat.notification(TRANSACTION)
    with pytest.raises(SerialUnknown) as caught:
        client.verify_notification(headers, body)
    assert caught.value.serial == keys.old.serial
    assert wechat.list_calls == 0


def test_a_key_of_another_kind(ready: WechatPayClient, wechat: ScriptedWechat, keys: Keys) -> None:
    """The serial of one key over the signature of another."""
    other = replace(keys.old, key=new_key())
    headers, body = wechat.notification(TRANSACTION, signer=other)
    with pytest.raises(MessageNotTrusted, match="not of WeChat's key"):
        ready.verify_notification(headers, body)


def test_an_error_s_signature_is_checked_too(ready: WechatPayClient, wechat: ScriptedWechat) -> None:
    wechat.script = [failed("ORDER_NOT_EXIST", 404), unsigned(404, b'{"code":"ORDER_NOT_EXIST"}')]
    with pytest.raises(WechatPayError) as signed:
        ready.query(out_trade_no="ORDER1")
    with pytest.raises(WechatPayError) as bare:
        ready.query(out_trade_no="ORDER1")
    assert (signed.value.signed, bare.value.signed) == (True, False)
    assert isinstance(bare.value, OutcomeUnknown)


def test_the_apiv3_key_of_this_test_is_in_no_message(ready: WechatPayClient) -> None:
    assert APIV3_KEY not in json.dumps([repr(ready.account), repr(ready.account.keys), repr(ready.account.roots)])
