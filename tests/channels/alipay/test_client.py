"""Alipay's clients: both shells, every method, what is sent, what is believed and what is refused."""

import copy
import inspect
import json
import threading
import typing
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.channels.alipay.conftest import (
    APP_ID,
    GATEWAY_URL,
    NOW,
    NOW_CHINA,
    AsyncScript,
    Keys,
    ScriptedAlipay,
    canonical,
    failed,
    ok,
    signed_with,
    unsigned,
)
from tongbao.channels.alipay import AlipayClient, AsyncAlipayClient
from tongbao.channels.alipay.errors import (
    AlipayDeclined,
    AlipayError,
    AlipayOutcomeUnknown,
    AlipayUnavailable,
    NextStep,
)
from tongbao.channels.alipay.notifications import SerialUnknown
from tongbao.channels.exchange import Exchange
from tongbao.crypto import RsaPrivateKey
from tongbao.domain.errors import (
    ChannelUnavailable,
    CurrencyMismatch,
    InvalidInput,
    MessageNotTrusted,
    Outcome,
    OutcomeUnknown,
)
from tongbao.domain.money import CNY, CURRENCIES, Money
from tongbao.ports import Reply, Request

ORDER: dict[str, Any] = {"out_trade_no": "T1", "total_amount": "0.01", "subject": "tea"}

EXCHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    "precreate": ("alipay.trade.precreate", {**ORDER}),
    "pay": ("alipay.trade.pay", {**ORDER, "auth_code": "28763443825664394"}),
    "create": ("alipay.trade.create", {**ORDER, "buyer_id": "2088102"}),
    "query": ("alipay.trade.query", {"out_trade_no": "T1"}),
    "cancel": ("alipay.trade.cancel", {"out_trade_no": "T1"}),
    "close": ("alipay.trade.close", {"trade_no": "2026"}),
    "refund": ("alipay.trade.refund", {"out_trade_no": "T1", "refund_amount": 1, "out_request_no": "R1"}),
    "refund_query": ("alipay.trade.fastpay.refund.query", {"out_trade_no": "T1", "out_request_no": "R1"}),
    "order_settle": (
        "alipay.trade.order.settle",
        {
            "out_request_no": "S1",
            "trade_no": "2026",
            "royalty_parameters": [{"trans_in": "2088", "amount": Decimal("0.10")}],
            "royalty_finish": True,
        },
    ),
    "order_settle_query": ("alipay.trade.order.settle.query", {"settle_no": "2026"}),
    "royalty_bind": (
        "alipay.trade.royalty.relation.bind",
        {"out_request_no": "B1", "receiver_list": [{"type": "userId", "account": "2088"}]},
    ),
    "royalty_unbind": (
        "alipay.trade.royalty.relation.unbind",
        {"out_request_no": "B1", "receiver_list": [{"type": "userId", "account": "2088"}]},
    ),
    "royalty_query": ("alipay.trade.royalty.relation.batchquery", {"out_request_no": "B1"}),
    "transfer": (
        "alipay.fund.trans.uni.transfer",
        {"out_biz_no": "P1", "trans_amount": 1, "payee_info": {"identity": "2088", "identity_type": "ALIPAY_USER_ID"}},
    ),
    "transfer_query": ("alipay.fund.trans.common.query", {"out_biz_no": "P1"}),
    "auth_freeze": (
        "alipay.fund.auth.order.freeze",
        {"out_order_no": "A1", "out_request_no": "A1", "amount": 1, "order_title": "deposit", "auth_code": "28" * 9},
    ),
    "auth_unfreeze": (
        "alipay.fund.auth.order.unfreeze",
        {"auth_no": "2026", "out_request_no": "A2", "amount": 1, "remark": "back"},
    ),
    "auth_query": ("alipay.fund.auth.operation.detail.query", {"out_order_no": "A1", "out_request_no": "A1"}),
    "agreement_query": ("alipay.user.agreement.query", {"agreement_no": "2026"}),
    "agreement_unsign": ("alipay.user.agreement.unsign", {"agreement_no": "2026"}),
    "bill_url": ("alipay.data.dataservice.bill.downloadurl.query", {"bill_date": "2026-01-01"}),
}
"""Every method that is one call with biz_content."""
OTHERWISE = {
    "call",
    "call_v3",
    "load_certificate",
    "oauth_token",
    "download_bill",
    "page_pay",
    "wap_pay",
    "app_pay",
    "agreement_page_sign",
    "verify_notification",
    "verify_return",
}
HOUSEKEEPING = {"opened", "run", "disconnect"}


def public(shell: type) -> set[str]:
    return {name for name in dir(shell) if not name.startswith("_")} - HOUSEKEEPING


# --- both shells -------------------------------------------------------------------------------------------------


def test_both_clients_have_the_same_methods_and_all_are_tried_here() -> None:
    assert public(AlipayClient) == public(AsyncAlipayClient) == EXCHANGES.keys() | OTHERWISE


@pytest.mark.parametrize("shell", [AlipayClient, AsyncAlipayClient])
def test_help_shows_what_a_caller_needs(shell: type) -> None:
    for name in public(shell):
        method = getattr(shell, name)
        assert method.__doc__, name
        shape = inspect.signature(method)
        assert next(iter(shape.parameters)) == "self"
        assert "account" not in shape.parameters
        assert typing.get_origin(shape.return_annotation) is not Generator


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_method_blocking(client: AlipayClient, alipay: ScriptedAlipay, name: str) -> None:
    wire, arguments = EXCHANGES[name]
    before = copy.deepcopy(arguments)
    alipay.script = [ok(extra="field")]
    assert getattr(client, name)(**arguments) == ok(extra="field")
    assert arguments == before
    method, business = alipay.calls[0]
    assert method == wire
    for field, value in arguments.items():
        if isinstance(value, str) and field in business:
            assert business[field] == value


@pytest.mark.parametrize("name", EXCHANGES)
async def test_every_method_awaited(async_client: AsyncAlipayClient, alipay: ScriptedAlipay, name: str) -> None:
    wire, arguments = EXCHANGES[name]
    alipay.script = [ok(), failed("ACQ.INVALID_PARAMETER")]
    assert await getattr(async_client, name)(**arguments) == ok()
    with pytest.raises(AlipayDeclined):
        await getattr(async_client, name)(**arguments)
    assert [method for method, _ in alipay.calls] == [wire, wire]


def test_what_is_sent(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    alipay.script = [ok()]
    client.precreate(**ORDER, notify_url="https://shop.test/n?a=1&b=2", app_auth_token="tok", store_id="S1")
    assert {name: value for name, value in alipay.params[0].items() if name != "sign"} == {
        "app_id": APP_ID,
        "method": "alipay.trade.precreate",
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": NOW_CHINA,
        "version": "1.0",
        "notify_url": "https://shop.test/n?a=1&b=2",
        "app_auth_token": "tok",
        "biz_content": '{"out_trade_no":"T1","total_amount":"0.01","subject":"tea","store_id":"S1"}',
    }


def test_one_client_many_threads(settings_of: dict[str, Any], keys: Keys) -> None:
    """Exchanges share nothing but the account."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        script = ScriptedAlipay(keys, [ok(out_trade_no=f"T{number}")])
        client = AlipayClient(**settings_of, transport=script)
        try:
            assert client.query(out_trade_no=f"T{number}").get("out_trade_no") == f"T{number}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# --- pages and order strings ---------------------------------------------------------------------------------------


def test_a_page_as_address_and_as_form(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    page = client.page_pay(**ORDER, return_url='https://shop.test/?a="b"', qr_pay_mode="2")
    whole = alipay.received(Request("GET", page.url))
    form = alipay.received(
        Request("POST", page.action, body=f"biz_content={quote_plus(page.fields['biz_content'])}".encode())
    )
    assert whole == form
    html = page.html()
    assert 'name="punchout_form" method="post"' in html
    assert "{&quot;out_trade_no&quot;:&quot;T1&quot;" in html
    assert "document.forms[0].submit()" in html


def test_an_order_string(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    order = client.app_pay(**ORDER)
    assert [name for name, _ in parse_qsl(order)] == sorted(name for name, _ in parse_qsl(order))
    assert alipay.received(Request("GET", f"{GATEWAY_URL}?{order}"))["method"] == "alipay.trade.app.pay"


def test_an_agreement_page(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    page = client.agreement_page_sign(
        personal_product_code="CYCLE_PAY_AUTH_P",
        sign_scene="INDUSTRY|DIGITAL_MEDIA",
        access_params={"channel": "QRCODE"},
        more={"agreement_effect_type": "DIRECT"},
    )
    business = json.loads(alipay.received(Request("GET", page.url))["biz_content"])
    assert business["access_params"] == {"channel": "QRCODE"}
    assert business["agreement_effect_type"] == "DIRECT"


def test_a_gateway_address_with_a_port_and_a_query(settings_of: dict[str, Any], alipay: ScriptedAlipay) -> None:
    client = AlipayClient(
        **{**settings_of, "gateway_url": "http://127.0.0.1:8020/alipay/gateway.do?x=1"}, transport=alipay
    )
    url = urlsplit(client.wap_pay(**ORDER).url)
    assert url.netloc == "127.0.0.1:8020"
    assert url.query.startswith("x=1&app_id=")


# --- amounts, times, values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("12.34", "12.34"),
        ("12", "12.00"),
        (12, "12.00"),
        (Decimal("12.3"), "12.30"),
        (Decimal("1E+2"), "100.00"),
        (Money(1, CNY), "0.01"),
        (100_000_000, "100000000.00"),
    ],
)
def test_amounts(client: AlipayClient, alipay: ScriptedAlipay, amount: Any, text: str) -> None:
    alipay.script = [ok()]
    client.precreate(**{**ORDER, "total_amount": amount})
    assert alipay.calls[0][1]["total_amount"] == text


@pytest.mark.parametrize(
    "amount",
    [0.01, 1.0, True, "0", 0, -1, "0.001", "1e400", "NaN", "Infinity", "", "one", None, 100_000_001, Decimal("NaN")],
)
def test_amounts_refused(client: AlipayClient, alipay: ScriptedAlipay, amount: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.precreate(**{**ORDER, "total_amount": amount})
    assert refused.value.param == "total_amount"
    assert alipay.calls == []


def test_another_currency_is_refused(client: AlipayClient) -> None:
    with pytest.raises(CurrencyMismatch):
        client.page_pay(**{**ORDER, "total_amount": Money(1, CURRENCIES["USD"])})


def test_a_float_is_refused_wherever_it_stands(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    goods = [{"goods_id": "g", "goods_name": "tea", "quantity": 1, "price": 0.01}]
    with pytest.raises(InvalidInput, match="float") as refused:
        client.precreate(**ORDER, goods_detail=goods)
    assert refused.value.param == "biz_content.goods_detail[0].price"
    with pytest.raises(InvalidInput):
        client.call("alipay.any.method", {"deep": {"down": [1, 2.5]}})
    with pytest.raises(InvalidInput):
        client.call("alipay.any.method", {"raw": b"bytes"})


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-8)), timezone(timedelta(hours=8))])
def test_times_are_china_time_from_any_zone(client: AlipayClient, alipay: ScriptedAlipay, zone: timezone) -> None:
    alipay.script = [ok()]
    client.precreate(**ORDER, time_expire=NOW.astimezone(zone))
    assert alipay.calls[0][1]["time_expire"] == NOW_CHINA


def test_a_naive_time_is_refused(client: AlipayClient) -> None:
    with pytest.raises(InvalidInput):
        client.page_pay(**ORDER, time_expire=datetime(2026, 1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"out_trade_no": "a b"},
        {"out_trade_no": ""},
        {"out_trade_no": "订单"},
        {"out_trade_no": "x" * 65},
        {"subject": "a=b"},
        {"subject": ""},
        {"subject": "x" * 257},
    ],
)
def test_orders_that_alipay_would_refuse(client: AlipayClient, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.page_pay(**{**ORDER, **wrong})
    assert refused.value.param == next(iter(wrong))


def test_a_field_that_does_not_exist(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    with pytest.raises(TypeError, match="stor_id"):
        client.page_pay(**{**ORDER, "stor_id": "1"})
    alipay.script = [ok()]
    client.precreate(**ORDER, more={"brand_new": "1"})
    assert alipay.calls[0][1]["brand_new"] == "1"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("query", {}),
        ("close", {}),
        ("refund", {"refund_amount": 1, "out_request_no": "R"}),
        ("refund", {"refund_amount": 1, "out_request_no": "R 1", "out_trade_no": "T"}),
        ("order_settle_query", {"out_request_no": "S"}),
        ("transfer_query", {}),
        ("agreement_query", {}),
        ("oauth_token", {}),
        ("oauth_token", {"code": "a", "refresh_token": "b"}),
    ],
)
def test_a_trade_must_be_named(client: AlipayClient, name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        getattr(client, name)(**arguments)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subject=st.text(st.characters(codec="utf-8", exclude_characters="/=&"), min_size=1, max_size=60))
def test_any_subject_survives_the_way(client: AlipayClient, alipay: ScriptedAlipay, subject: str) -> None:
    params = alipay.received(Request("GET", client.page_pay(**{**ORDER, "subject": subject}).url))
    assert json.loads(params["biz_content"])["subject"] == subject


def test_a_lone_surrogate_is_refused(client: AlipayClient) -> None:
    with pytest.raises(InvalidInput):
        client.page_pay(**ORDER, notify_url="https://shop.test/\ud800")


# --- answers -------------------------------------------------------------------------------------------------------


def test_errors_tell_what_to_do_next(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    alipay.script = [failed("ACQ.SELLER_BALANCE_NOT_ENOUGH")]
    with pytest.raises(AlipayUnavailable) as caught:
        client.refund(out_trade_no="T1", refund_amount=1, out_request_no="R1")
    error = caught.value
    assert (error.public_code, error.sub_code, error.sub_message) == ("40004", "ACQ.SELLER_BALANCE_NOT_ENOUGH", "text")
    assert (error.channel_request_id, error.outcome, error.signed) == ("trace-1", Outcome.NOT_EXECUTED, True)
    assert error.next_step is NextStep.OPERATIONS
    assert error.next_step.value in error.message
    assert isinstance(error, ChannelUnavailable)


def forged_with(digest: hashes.HashAlgorithm) -> Callable[[ScriptedAlipay, str, bytes], Reply]:
    def answer(script: ScriptedAlipay, name: str, _: bytes) -> Reply:
        node = '{"code":"10000"}'
        signature = signed_with(script.keys.alipay, node.encode(), digest)
        return Reply(200, {}, f'{{"{name}":{node},"sign":"{signature}"}}'.encode())

    return answer


def signed_by_the_app(script: ScriptedAlipay, name: str, _: bytes) -> Reply:
    node = '{"code":"10000"}'
    return Reply(200, {}, f'{{"{name}":{node},"sign":"{signed_with(script.keys.app, node.encode())}"}}'.encode())


def http(status: int, body: bytes = b"") -> Callable[[ScriptedAlipay, str, bytes], Reply]:
    return lambda script, name, _: Reply(status, {}, body)


def empty_signature(script: ScriptedAlipay, name: str, _: bytes) -> Reply:
    return Reply(200, {}, f'{{"{name}":{{"code":"10000"}},"sign":""}}'.encode())


UNTRUSTED = {
    "SHA-1 where RSA2 is configured": forged_with(hashes.SHA1()),
    "our own key": signed_by_the_app,
    "unsigned": unsigned(ok()),
    "unsigned, still paying": unsigned({"code": "10003"}),
    "empty signature": empty_signature,
    "another trade": ok(out_trade_no="T2"),
}


@pytest.mark.parametrize("why", UNTRUSTED)
def test_answers_not_believed(client: AlipayClient, alipay: ScriptedAlipay, why: str) -> None:
    alipay.script = [UNTRUSTED[why], UNTRUSTED[why]]
    with pytest.raises(MessageNotTrusted):
        client.query(out_trade_no="T1")
    with pytest.raises(OutcomeUnknown, match="query it"):
        client.close(out_trade_no="T1")


@pytest.mark.parametrize(
    "answer",
    [http(500), http(502, b"<html>"), http(302), http(404, b"{}"), http(200, b"<html>"), http(200, b"\xff\xfe\x81")],
)
def test_what_is_no_answer_of_alipays(client: AlipayClient, alipay: ScriptedAlipay, answer: Any) -> None:
    alipay.script = [answer]
    with pytest.raises(OutcomeUnknown):
        client.close(out_trade_no="T1")


def test_an_unsigned_business_failure_is_no_failure(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    alipay.script = [unsigned(failed("ACQ.TRADE_NOT_EXIST")), failed("ACQ.TRADE_NOT_EXIST")]
    with pytest.raises(AlipayOutcomeUnknown):
        client.query(out_trade_no="T1")
    with pytest.raises(AlipayDeclined):
        client.query(out_trade_no="T1")


def test_an_error_in_gbk_under_utf8(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    body = '{"error_response":{"code":"40002","msg":"无效","sub_code":"isv.invalid-app-id","sub_msg":"无效的应用"}}'
    alipay.script = [http(200, body.encode("gbk"))]
    with pytest.raises(AlipayUnavailable, match="无效的应用"):
        client.query(out_trade_no="T1")


def test_a_token_answer_has_no_code(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    alipay.script = [{"access_token": "t", "user_id": "2088"}, {"sub_code": "isv.code-invalid", "code": "40002"}]
    assert client.oauth_token(code="c").get("user_id") == "2088"
    assert alipay.params[0]["grant_type"] == "authorization_code"
    assert "biz_content" not in alipay.params[0]
    with pytest.raises(AlipayError):
        client.oauth_token(refresh_token="r")


def test_the_bill_is_fetched_from_where_alipay_says(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    class WithFiles:
        def __init__(self) -> None:
            self.status = 200

        def send(self, request: Request) -> Reply:
            if request.url == "http://bill.test/file":
                return Reply(self.status, {}, b"PK")
            return alipay.send(request)

    files = WithFiles()
    client._transport = files
    alipay.script = [ok(bill_download_url="http://bill.test/file")] * 2
    assert client.download_bill(bill_date="2026-01-01") == b"PK"
    files.status = 403
    with pytest.raises(ChannelUnavailable):
        client.download_bill(bill_date="2026-01-01")


def test_transport_errors_pass_through_the_exchange(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    alipay.script = [ChannelUnavailable("gone")]
    with pytest.raises(ChannelUnavailable, match="gone"):
        client.query(out_trade_no="T1")


def test_an_exchange_of_ones_own(client: AlipayClient) -> None:
    def own() -> Exchange[int]:
        yield from ()
        return 7

    assert client.run(own()) == 7


# --- GBK, AES, legacy RSA ------------------------------------------------------------------------------------------


def test_gbk_end_to_end(settings_of: dict[str, Any], keys: Keys) -> None:
    script = ScriptedAlipay(keys, [ok(subject="茶")], charset="gbk")
    client = AlipayClient(**settings_of, charset="GBK", transport=script)
    assert client.precreate(**{**ORDER, "subject": "茶 ü 😀"}, notify_url="https://shop.test/茶") == ok(subject="茶")
    assert script.params[0]["charset"] == "GBK"
    assert script.params[0]["notify_url"].endswith("茶")
    assert script.calls[0][1]["subject"] == "茶 ü 😀"
    params = client.verify_notification(script.notification(subject="茶", out_trade_no="T1"))
    assert params["subject"] == "茶"


def test_gbk_text_with_braces_in_its_second_bytes(settings_of: dict[str, Any], keys: Keys) -> None:
    """Some GBK characters end in the byte of `{`, `}` or a backslash."""
    text = "亄亊亯亰亱乗乚乛"
    assert set(text.encode("gbk")) & set(b"{}\\[]")
    script = ScriptedAlipay(keys, [ok(subject=text)], charset="gbk")
    client = AlipayClient(**settings_of, charset="gbk", transport=script)
    assert client.call("alipay.trade.query", {}) == ok(subject=text)


def test_a_character_that_gbk_lacks_outside_the_json(settings_of: dict[str, Any], alipay: ScriptedAlipay) -> None:
    client = AlipayClient(**settings_of, charset="gbk", transport=alipay)
    with pytest.raises(InvalidInput, match="gbk"):
        client.page_pay(**ORDER, notify_url="https://shop.test/😀")


AES_KEY = "AAECAwQFBgcICQoLDA0ODw=="


def test_encrypted_content(settings_of: dict[str, Any], keys: Keys) -> None:
    from tongbao.channels.alipay.signing import decrypt_content, encrypt_content
    from tongbao.crypto import decode_base64

    raw_key = decode_base64(AES_KEY) or b""
    seen: list[dict[str, str]] = []

    class Encrypting(ScriptedAlipay):
        def send(self, request: Request) -> Reply:
            params = self.received(request)
            seen.append(params)
            node = json.dumps(encrypt_content(json.dumps(self.script.pop(0)), raw_key, "utf-8"))
            return self.reply(params["method"].replace(".", "_") + "_response", node)

    script = Encrypting(keys, [ok(trade_status="WAIT_BUYER_PAY"), failed("ACQ.TRADE_NOT_EXIST"), ok()])
    client = AlipayClient(**settings_of, aes_key=AES_KEY, transport=script)
    assert client.query(out_trade_no="T1").get("trade_status") == "WAIT_BUYER_PAY"
    assert seen[0]["encrypt_type"] == "AES"
    assert decrypt_content(seen[0]["biz_content"], raw_key, "utf-8") == {"out_trade_no": "T1"}
    with pytest.raises(AlipayDeclined):
        client.query(out_trade_no="T1")
    with pytest.raises(MessageNotTrusted, match="no AES key"):
        AlipayClient(**settings_of, transport=script).query(out_trade_no="T1")


def test_legacy_rsa(settings_of: dict[str, Any], keys: Keys) -> None:
    class Legacy(ScriptedAlipay):
        def received(self, request: Request) -> dict[str, str]:
            return dict(parse_qsl(urlsplit(request.url).query))

    script = Legacy(keys, [forged_with(hashes.SHA1())])
    client = AlipayClient(**settings_of, sign_type="RSA", transport=script)
    assert client.query(out_trade_no="T1") == {"code": "10000"}


# --- keys ----------------------------------------------------------------------------------------------------------


def forms(key: RsaPrivateKey, folder: Path) -> dict[str, Any]:
    path = folder / "key.pem"
    path.write_text(key.pem_pkcs8())
    return {
        "PKCS#8": key.pem_pkcs8(),
        "PKCS#1": key.pem_pkcs1(),
        "bare PKCS#8": key.bare_pkcs8(),
        "bare PKCS#1": "".join(key.pem_pkcs1().splitlines()[1:-1]),
        "CRLF": key.pem_pkcs8().replace("\n", "\r\n"),
        "bytes": key.pem_pkcs1().encode(),
        "path": path,
        "path as text": str(path),
        "spaces around": f"\n  {key.bare_pkcs8()}  \n",
    }


def test_keys_in_every_form(settings_of: dict[str, Any], keys: Keys, tmp_path: Path) -> None:
    pem = RsaPrivateKey(keys.alipay).public().pem()
    publics = [pem, pem.replace("\n", "\r\n"), pem.encode(), keys.alipay_public]
    for number, form in enumerate(forms(RsaPrivateKey(keys.app), tmp_path).values()):
        given = {**settings_of, "private_key": form, "alipay_public_key": publics[number % len(publics)]}
        script = ScriptedAlipay(keys, [ok()])
        assert AlipayClient(**given, transport=script).query(out_trade_no="T1") == ok()


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"private_key": "nonsense"}, "private_key"),
        ({"private_key": RsaPrivateKey.generate(1024).pem_pkcs8()}, "private_key"),
        ({"alipay_public_key": "nonsense"}, "alipay_public_key"),
        ({"alipay_public_key": None}, "alipay_public_key"),
        ({"sign_type": "MD5"}, "sign_type"),
        ({"charset": "utf-16"}, "charset"),
        ({"aes_key": "short"}, "aes_key"),
        ({"gateway_url": "openapi.alipay.com"}, "gateway_url"),
        ({"app_id": ""}, "app_id"),
        ({"app_cert": "x"}, "alipay_public_key"),
    ],
)
def test_settings_that_cannot_be_right(settings_of: dict[str, Any], wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        AlipayClient(**{**settings_of, **wrong})
    assert refused.value.param == param


def test_our_own_public_key_in_place_of_alipays(settings_of: dict[str, Any], keys: Keys) -> None:
    settings_of["alipay_public_key"] = RsaPrivateKey(keys.app).public().pem()
    with pytest.raises(InvalidInput, match="your own private key"):
        AlipayClient(**settings_of)


def test_no_secret_is_printed(settings_of: dict[str, Any], keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
    script = ScriptedAlipay(keys, [http(500), unsigned(failed("isv.invalid-signature", code="40002"))])
    client = AlipayClient(**settings_of, aes_key=AES_KEY, app_auth_token="secret-token", transport=script)
    told = [repr(client), repr(client.account), str(vars(client))]
    for _ in range(2):
        with pytest.raises((OutcomeUnknown, AlipayUnavailable)) as caught:
            client.query(out_trade_no="T1")
        told += [str(caught.value), repr(caught.value), str(vars(caught.value))]
    for text in (*told, caplog.text):
        for secret in (keys.app_private[200:260], AES_KEY, "secret-token"):
            assert secret not in text


# --- notifications -------------------------------------------------------------------------------------------------


def test_a_notification_as_bytes_text_and_parameters(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    body = alipay.notification(subject="茶 + a=b&c", empty="", passback_params="a%3Db")
    params = client.verify_notification(body)
    assert params["subject"] == "茶 + a=b&c"
    assert client.verify_notification(body.decode()) == params
    before = dict(params)
    assert client.verify_notification(params) == params == before


@pytest.mark.parametrize("keep_sign_type", [False, True])
@pytest.mark.parametrize("keep_empty", [False, True])
def test_notifications_under_every_rule(
    client: AlipayClient, keys: Keys, keep_sign_type: bool, keep_empty: bool
) -> None:
    params = {"app_id": APP_ID, "notify_id": "n", "empty": "", "sign_type": "RSA2", "charset": "utf-8"}
    covered = {name: value for name, value in params.items() if value or keep_empty}
    text = canonical(covered, () if keep_sign_type else ("sign_type",))
    params["sign"] = signed_with(keys.alipay, text.encode())
    assert client.verify_notification(params) == params


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(place=st.integers(0), bit=st.integers(0, 6))
def test_a_notification_with_one_flipped_bit(
    client: AlipayClient, alipay: ScriptedAlipay, place: int, bit: int
) -> None:
    body = alipay.notification(out_trade_no="T1", total_amount="0.01", subject="tea", trade_status="TRADE_SUCCESS")
    broken = bytearray(body)
    broken[place % len(broken)] ^= 1 << bit
    try:
        params = client.verify_notification(bytes(broken))
    except (MessageNotTrusted, InvalidInput):
        return
    assert params == client.verify_notification(body)


def test_a_weaker_signature_is_refused(client: AlipayClient, keys: Keys) -> None:
    params = {"app_id": APP_ID, "notify_id": "n"}
    text = canonical(params, ()).encode()
    for named in ("RSA", "MD5", "RSA2"):
        forged = {**params, "sign_type": named, "sign": signed_with(keys.alipay, text, hashes.SHA1())}
        with pytest.raises(MessageNotTrusted):
            client.verify_notification(forged)


def test_a_legacy_account_takes_both(settings_of: dict[str, Any], keys: Keys) -> None:
    client = AlipayClient(**settings_of, sign_type="RSA")
    params = {"app_id": APP_ID, "notify_id": "n"}
    text = canonical(params, ()).encode()
    for named, digest in (("RSA", hashes.SHA1()), ("RSA2", hashes.SHA256())):
        signed = {**params, "sign_type": named, "sign": signed_with(keys.alipay, text, digest)}
        assert client.verify_notification(signed) == signed
    with pytest.raises(MessageNotTrusted):
        client.verify_notification({**params, "sign_type": "MD5", "sign": "AAAA"})


def test_the_return_address(client: AlipayClient, alipay: ScriptedAlipay) -> None:
    query = alipay.notification(method="alipay.trade.page.pay.return", out_trade_no="T1", total_amount="0.01").decode()
    assert client.verify_return(f"?{query}")["out_trade_no"] == "T1"
    assert client.verify_return(client.verify_return(query))["out_trade_no"] == "T1"
    with pytest.raises(MessageNotTrusted):
        client.verify_return(query.replace("T1", "T2"))
    with pytest.raises(InvalidInput):
        client.verify_return("")


def test_a_key_mode_client_has_no_certificate_to_load(client: AlipayClient) -> None:
    with pytest.raises(MessageNotTrusted):
        client.load_certificate("abc")
    assert SerialUnknown("abc").serial == "abc"


# --- connections ---------------------------------------------------------------------------------------------------


def test_own_connections_are_closed_and_others_are_not(settings_of: dict[str, Any], alipay: ScriptedAlipay) -> None:
    handed_in = AlipayClient(**settings_of, transport=alipay)
    handed_in.disconnect()
    assert handed_in._transport is alipay
    own = AlipayClient(**{**settings_of, "gateway_url": "http://127.0.0.1:9/"})
    with own, pytest.raises(ChannelUnavailable):
        own.query(out_trade_no="T1")
    assert own._transport is None


async def test_own_connections_are_closed_and_others_are_not_async(
    settings_of: dict[str, Any], alipay: ScriptedAlipay
) -> None:
    script = AsyncScript(alipay)
    handed_in = AsyncAlipayClient(**settings_of, transport=script)
    await handed_in.disconnect()
    assert handed_in._transport is script
    async with AsyncAlipayClient(**{**settings_of, "gateway_url": "http://127.0.0.1:9/"}) as own:
        with pytest.raises(ChannelUnavailable):
            await own.query(out_trade_no="T1")
    assert own._transport is None


@pytest.mark.parametrize("bits", [2048, 3072])
def test_bare_keys_whatever_they_spell(bits: int) -> None:
    """One line of base64 without a slash in its first 255 characters is too long for a file's name."""
    from tongbao.crypto import RsaPublicKey, read_source

    key = RsaPrivateKey.generate(bits).public()
    assert RsaPublicKey.load(key.bare()) == key
    for text in ("A" * 392, "A" * 300 + "/" + "B" * 300, "a\0b"):
        assert read_source(text) == text.encode()
