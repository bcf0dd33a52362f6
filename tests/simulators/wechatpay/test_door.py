"""The door of APIv3: who is believed, in which order things are checked, in which words it refuses, how it signs."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from tests.simulators.merchant import key_number
from tests.simulators.wechatpay.merchant import Merchant, World
from tongbao.simulators.wechatpay.wire import lines
from tongbao.transport import Reply

NATIVE, CERTIFICATES = "/v3/pay/transactions/native", "/v3/certificates"
QUERY = "/v3/pay/transactions/out-trade-no/ORDER001?mchid=1900000109"
REFUND = "/v3/refund/domestic/refunds/R1"
FORMAT = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
FAMILY = "签名信息错误，验签失败"
SKEW = "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"


def unsigned(reply: Reply, status: int, code: str) -> str:
    assert (reply.status, json.loads(reply.body)["code"]) == (status, code), reply.body.decode()
    assert "wechatpay-signature" not in reply.headers
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    return str(json.loads(reply.body)["message"])


def absent(name: str) -> dict[str, Any]:
    """A header taken away."""
    return {name: None}


async def test_routes_come_first_and_are_silent(world: World) -> None:
    for method, path, status in (
        ("GET", "/v3/nothing", 404),
        ("GET", "/v3/pay/transactions/out-trade-no/", 404),
        ("GET", NATIVE, 405),
        ("DELETE", CERTIFICATES, 405),
        ("PUT", "/v3/nothing", 404),
    ):
        reply = await world.merchant.send(method, path, auth="nonsense", user_agent=None)
        assert (reply.status, reply.body) == (status, b"")
        assert not [name for name in reply.headers if name.startswith("wechatpay")]


async def test_the_user_agent_comes_before_the_signature_but_not_for_payments(world: World) -> None:
    for path in (CERTIFICATES, REFUND):
        for missing in ("user_agent", "accept"):
            reply = await world.merchant.send("GET", path, auth="Bearer x", **absent(missing))
            assert unsigned(reply, 400, "INVALID_REQUEST") == "Http头缺少Accept或User-Agent"
    reply = await world.merchant.send("GET", QUERY, auth="Bearer x", user_agent=None)
    assert unsigned(reply, 401, "SIGN_ERROR") == FAMILY


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ("", FORMAT),
        ("WECHATPAY2-SHA256-RSA2048", FORMAT),
        ("WECHATPAY2-SHA256-RSA2048 mchid", FORMAT),
        ('WECHATPAY2-SHA256-RSA2048 mchid="1900000109",nonce_str="x",timestamp="1"', FORMAT),
        ("Bearer abc", "HTTP头Authorization认证类型不正确"),
        ("WECHATPAY2-SM2-WITH-SM3 mchid=x", "HTTP头Authorization认证类型不正确"),
    ],
)
async def test_a_malformed_authorization(world: World, auth: str, message: str) -> None:
    reply = await world.merchant.send("GET", CERTIFICATES, auth=auth)
    assert unsigned(reply, 401, "SIGN_ERROR") == message
    assert re.fullmatch(r"[0-9A-F]{30,}-\d+", reply.headers["request-id"])
    reply = await world.merchant.send("GET", QUERY, auth=auth)
    assert unsigned(reply, 401, "SIGN_ERROR") == FAMILY
    assert "request-id" not in reply.headers


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"timestamp": "0"}, SKEW),
        ({"timestamp": "now"}, SKEW),
        ({"timestamp": "99999999999999999999"}, SKEW),
        ({"mchid": "1900000999"}, "商户未申请过证书。"),
        ({"mchid": "1900000208"}, "商户证书序列号有误。请使用签名私钥匹配的证书序列号"),
        ({"serial_no": "0" * 40}, "商户证书序列号有误。请使用签名私钥匹配的证书序列号"),
        ({"signature": "AAAA"}, "签名错误"),
        ({"signature": "not base64!"}, "签名错误"),
    ],
)
async def test_what_is_wrong_in_it(world: World, changes: dict[str, str], message: str) -> None:
    for path in (CERTIFICATES, QUERY):
        auth = world.merchant.authorization("GET", path, b"", **changes)
        assert unsigned(await world.merchant.send("GET", path, auth=auth), 401, "SIGN_ERROR") == message


async def test_the_window_of_five_minutes(world: World) -> None:
    now = int(world.clock.now().timestamp())
    for away, status in ((-301, 401), (-300, 200), (-299, 200), (0, 200), (299, 200), (300, 200), (301, 401)):
        auth = world.merchant.authorization("GET", CERTIFICATES, b"", timestamp=str(now + away))
        assert (await world.merchant.send("GET", CERTIFICATES, auth=auth)).status == status, away


async def test_a_sandbox_that_is_ahead_of_its_callers_believes_and_is_believed(world: World) -> None:
    world.sandbox.advance(86_400)
    await world.merchant.call("GET", CERTIFICATES)
    world.clock.advance(86_400)
    world.sandbox.bank.clock.state.offset_seconds = 0
    await world.merchant.call("GET", CERTIFICATES)


async def test_the_order_of_the_parts_is_free_and_strangers_are_refused(world: World) -> None:
    auth = world.merchant.authorization("GET", CERTIFICATES, b"")
    scheme, _, parts = auth.partition(" ")
    turned = f"{scheme} {', '.join(reversed(parts.split(',')))}"
    assert (await world.merchant.send("GET", CERTIFICATES, auth=turned)).status == 200
    doubled = f"{auth},extra=1"
    assert (await world.merchant.send("GET", CERTIFICATES, auth=doubled)).status == 401
    world.merchant.key = key_number(77).key
    reply = await world.merchant.send("GET", CERTIFICATES)
    assert unsigned(reply, 401, "SIGN_ERROR") == "签名错误"
    reply = await world.merchant.send("GET", CERTIFICATES, x_sandbox_explain="1")
    assert unsigned(reply, 401, "SIGN_ERROR") == "错误的签名，验签失败"
    detail = json.loads(reply.body)["detail"]
    assert detail["issue"] == "sign not match"
    assert detail["sign_information"]["truncated_sign_message"].startswith("GET\n/v3/certificates\n")


async def test_what_is_signed_is_the_target_as_it_was_sent(world: World) -> None:
    body = json.dumps(world.merchant.order("SIM|0001")).encode()
    assert (await world.merchant.send("POST", NATIVE, body)).status == 200
    path = "/v3/pay/transactions/out-trade-no/SIM%7C0001"
    assert (await world.merchant.call("GET", f"{path}?mchid=1900000109"))["out_trade_no"] == "SIM|0001"
    wrong = world.merchant.authorization("GET", "/v3/pay/transactions/out-trade-no/SIM|0001?mchid=1900000109", b"")
    assert (await world.merchant.send("GET", f"{path}?mchid=1900000109", auth=wrong)).status == 401
    changed = await world.merchant.send("POST", NATIVE, body, signed=body + b" ")
    assert changed.status == 401


async def test_below_the_prefix_both_readings_are_taken(world: World) -> None:
    world.merchant.base = world.account["prefixed_url"]
    await world.merchant.call("GET", CERTIFICATES)
    without = world.merchant.authorization("GET", CERTIFICATES, b"")
    assert (await world.merchant.send("GET", CERTIFICATES, auth=without)).status == 200
    assert (await world.merchant.send("GET", "/v3/nothing")).status == 404


def test_the_texts_of_the_fact_sheet() -> None:
    stamp, nonce = b"1554208460", b"593BEC0C930BF1AFEB40B4A08C8FB242"
    prepay = b"wx201410272009395522657a690389285100"
    for digest, *parts in (
        (
            "fab5c8a222049f386cb01453c7dc712c7997e756271557b0ef6e2e5060575373",
            b"GET",
            b"/v3/certificates",
            stamp,
            nonce,
            b"",
        ),
        (
            "44cb259684a8100cbcb7289ff09bf9ca6dfe360a0713956753b637d165098767",
            b"POST",
            b"/v3/pay/transactions/out-trade-no/SIM%7C0001/close",
            stamp,
            nonce,
            b'{"mchid":"1900000109"}',
        ),
        ("daf021c5077b13414fc597564d935f2c6e5b1bf9c61e0dc2df4cd62a9aeb909e", stamp, nonce, b""),
        (
            "bf5c0eab11b7710ea376aaa5038ad079fb8175af60d6cbf676fa3bcc4d218bcb",
            b"wx2421b1c4370ec43b",
            stamp,
            nonce,
            b"prepay_id=" + prepay,
        ),
        (
            "24bea8d9042023a0a50bdf8580f0e52570033d68244bd66ec63df7cc25a9073c",
            b"wx2421b1c4370ec43b",
            stamp,
            nonce,
            prepay,
        ),
    ):
        assert hashlib.sha256(lines(*parts)).hexdigest() == digest


# --- what comes back


async def test_an_answer_has_every_header_in_its_spelling(world: World) -> None:
    started: list[Any] = []
    path = b"/v3/certificates"
    headers = {
        "authorization": world.merchant.authorization("GET", path.decode(), b""),
        "accept": "*/*",
        "user-agent": "x",
    }
    scope = {"type": "http", "method": "GET", "path": path.decode(), "raw_path": path, "query_string": b""}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        started.append(message)

    await world.sandbox(scope, receive, send)
    names = [name.decode() for name, _ in started[0]["headers"]]
    for name in ("Nonce", "Signature", "Signature-Type", "Timestamp", "Serial"):
        assert f"Wechatpay-{name}" in names
    assert {"Request-ID", "Content-Type", "Cache-Control", "X-Content-Type-Options", "Content-Language"} <= set(names)
    given = dict(started[0]["headers"])
    assert given[b"Cache-Control"] == b"no-cache, must-revalidate"
    assert re.fullmatch(rb"[0-9a-f]{32}", given[b"Wechatpay-Nonce"])
    assert given[b"Request-ID"].endswith(b"-0")


async def test_keys_are_sorted_and_compact_and_errors_are_signed(world: World) -> None:
    reply = await world.merchant.send("GET", QUERY)
    world.merchant.verify(reply.headers, reply.body)
    assert (reply.status, reply.body) == (404, '{"code":"ORDER_NOT_EXIST","message":"订单不存在"}'.encode())
    assert reply.headers["request-id"].endswith("-268512771")
    body = json.dumps(world.merchant.order(total=0)).encode()
    reply = await world.merchant.send("POST", NATIVE, body)
    expected = (
        '{"code":"PARAM_ERROR","detail":{"location":"body","value":0},"message":'
        '"输入源“/body/amount/total”映射到数值字段“总金额”规则校验失败，值低于最小值 1"}'
    )
    assert (reply.status, reply.body.decode()) == (400, expected)


@pytest.mark.parametrize(
    ("change", "message", "value"),
    [
        ({"description": None}, "输入源“/body/description”映射到字段“商品描述”必填性规则校验失败，此字段为必填项", ""),
        (
            {"description": "长" * 43},
            "输入源“/body/description”映射到值字段“商品描述”字符串规则校验失败，字节数 129，大于最大值 127",
            129,
        ),
        (
            {"out_trade_no": "short"},
            "输入源“/body/out_trade_no”映射到值字段“商户订单号”字符串规则校验失败，字符数 5，小于最小值 6",
            5,
        ),
        (
            {"out_trade_no": "NUMBER@1"},
            "输入源“/body/out_trade_no”映射到值字段“商户订单号”字符串规则校验失败，字符串必须匹配正则表达式"
            "“^[0-9a-zA-Z_\\-\\|\\*]+$”",
            "NUMBER@1",
        ),
        (
            {"amount": {"total": "1"}},
            "无法将 JSON 输入源“/body/amount/total”映射到目标字段“总金额”中，此字段需要一个合法的 64 位有符号整数",
            "1",
        ),
        (
            {"description": 5},
            "无法将 JSON 输入源“/body/description”映射到目标字段“商品描述”中，此字段需要一个 string 类型的 Json 值",
            5,
        ),
        ({"amount": {}}, "输入源“/body/amount/total”映射到字段“总金额”必填性规则校验失败，此字段为必填项", ""),
    ],
)
async def test_the_words_of_the_validator(world: World, change: dict[str, Any], message: str, value: object) -> None:
    body = {name: kept for name, kept in world.merchant.order(**change).items() if kept is not None}
    found = await world.merchant.call("POST", NATIVE, body, status=400)
    assert found == {"code": "PARAM_ERROR", "message": message, "detail": {"location": "body", "value": value}}


@pytest.mark.parametrize(
    "change",
    [
        {"notify_url": "ftp://x.test/n"},
        {"notify_url": "https://x.test/n?a=1"},
        {"time_expire": "2026-05-01 20:00:00"},
        {"time_expire": "2026-05-01T20:00:00"},
        {"amount": {"total": 1, "currency": "USD"}},
        {"amount": {"total": 1 << 63}},
        {"amount": {"total": 1.5}},
        {"amount": {"total": True}},
        {"detail": []},
        {"detail": {"goods_detail": []}},
        {"attach": None},
        {"attach": "茶😀"},
    ],
)
async def test_fields_that_are_refused(world: World, change: dict[str, Any]) -> None:
    assert await world.merchant.refused("POST", NATIVE, world.merchant.order(**change)) == "PARAM_ERROR"


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff\xfe", b'{"a":NaN}', b'{"a":"\\ud83d\\ude00"}'])
async def test_bodies_that_are_no_json(world: World, body: bytes) -> None:
    reply = await world.merchant.send("POST", NATIVE, body)
    world.merchant.verify(reply.headers, reply.body)
    assert (reply.status, json.loads(reply.body)["code"]) == (400, "PARAM_ERROR")


async def test_the_content_type_and_the_merchant_have_to_agree(world: World) -> None:
    body = json.dumps(world.merchant.order()).encode()
    assert (await world.merchant.send("POST", NATIVE, body, content_type="text/plain")).status == 400
    found = await world.merchant.call("POST", NATIVE, world.merchant.order(mchid="1900000208"), status=400)
    assert found["message"] == "http header中的mchid与post payload中的mchid不匹配"
    found = await world.merchant.call("GET", QUERY.replace("109", "208"), status=400)
    assert found["code"] == "PARAM_ERROR"
    assert await world.merchant.refused("POST", NATIVE, world.merchant.order(appid="wx1")) == "APPID_MCHID_NOT_MATCH"


# --- keys


async def test_the_reply_is_signed_by_the_key_that_was_asked_for(world: World) -> None:
    merchant = world.merchant
    old = merchant.account["platform_certificates"][0]["serial"]
    foreign = world.other("provider").account["public_key_id"]
    for asked, answered in (
        ("", old),
        (old, old),
        (merchant.account["public_key_id"], merchant.account["public_key_id"]),
        (foreign, old),
        ("7" * 40, old),
    ):
        merchant.serial = asked
        reply = await merchant.send("GET", CERTIFICATES)
        merchant.verify(reply.headers, reply.body)
        assert reply.headers["wechatpay-serial"] == answered


async def test_certificates_are_downloaded_without_knowing_any(world: World) -> None:
    merchant = world.merchant
    reply = await merchant.send("GET", CERTIFICATES)
    (one,) = json.loads(reply.body)["data"]
    resource = one["encrypt_certificate"]
    assert (resource["algorithm"], resource["associated_data"]) == ("AEAD_AES_256_GCM", "certificate")
    assert len(resource["nonce"]) == 12
    merchant.keys.clear()
    assert merchant.trust(merchant.opened(resource).decode()) == one["serial_no"]
    merchant.verify(reply.headers, reply.body)
    assert one["effective_time"] == "2026-05-01T20:00:00+08:00"
    assert one["expire_time"].startswith("2031-04-30T")
    assert re.fullmatch("[0-9A-F]{40}", one["serial_no"])
    assert await merchant.refused("GET", f"{CERTIFICATES}?algorithm_type=SM2", status=404) == "RESOURCE_NOT_EXISTS"


async def test_a_merchant_with_public_keys_only(world: World) -> None:
    merchant = world.other("public_key_only")
    found = await merchant.call("GET", CERTIFICATES, status=404)
    assert found["message"] == "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。"
    assert merchant.account["public_key_id"].startswith("PUB_KEY_ID_")
    assert merchant.account["platform_certificates"] == []


async def test_a_rotation_in_three_steps(world: World) -> None:
    merchant = world.merchant
    (old,) = [one["serial"] for one in merchant.account["platform_certificates"]]

    async def step(action: str) -> list[Any]:
        world.clock.advance(1)
        reply = await world.post("/_sandbox/wechatpay/keys", {"action": action})
        return [one["serial"] for one in json.loads(reply.body)["certificates"]]

    both = await step("issue")
    assert both[0] == old
    assert len(both) == 2
    assert (await merchant.send("GET", CERTIFICATES)).headers["wechatpay-serial"] == old
    assert (await step("switch"))[0] == both[1]
    reply = await merchant.send("GET", CERTIFICATES)
    assert reply.headers["wechatpay-serial"] == both[1]
    for one in json.loads(reply.body)["data"]:
        merchant.trust(merchant.opened(one["encrypt_certificate"]).decode())
    merchant.verify(reply.headers, reply.body)
    merchant.serial = old
    assert (await merchant.send("GET", CERTIFICATES)).headers["wechatpay-serial"] == old, "as long as it is published"
    assert await step("retire") == [both[1]]
    assert (await merchant.send("GET", CERTIFICATES)).headers["wechatpay-serial"] == both[1]
    assert (await world.post("/_sandbox/wechatpay/keys", {"action": "burn"})).status == 400


def test_certificates_are_signed_by_the_sandboxs_authority(world: World, tmp_path: Path) -> None:
    certificate = x509.load_pem_x509_certificate(world.account["merchant_certificate"].encode())
    assert f"{certificate.serial_number:040X}" == world.account["merchant_serial"]
    assert (
        world.merchant.keys[world.merchant.trust(world.account["merchant_certificate"])]
        == world.merchant.key.public_key()
    )
    (tmp_path / "root.pem").write_text(world.account["root_certificate"])
    for pem in (world.account["merchant_certificate"], world.account["platform_certificates"][0]["pem"]):
        (tmp_path / "leaf.pem").write_text(pem)
        moment = str(int(world.clock.now().timestamp()))
        command = ["openssl", "verify", "-attime", moment, "-CAfile", "root.pem", "leaf.pem"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


async def test_limits(world: World) -> None:
    path = "/v3/bill/fundflowbill?bill_date=2026-04-01"
    for _ in range(3):
        assert await world.merchant.refused("GET", path) == "NO_STATEMENT_EXIST"
    assert await world.merchant.refused("GET", path, status=429) == "FREQUENCY_LIMITED"
    world.clock.advance(1)
    assert await world.merchant.refused("GET", path) == "NO_STATEMENT_EXIST"
    await world.post("/_sandbox/wechatpay/limits", {NATIVE: 1})
    await world.merchant.native("ORDER001")
    body = world.merchant.order("ORDER002")
    assert await world.merchant.refused("POST", NATIVE, body, status=429) == "FREQUENCY_LIMITED"
    body = world.merchant.refund_body("NOTHING", 1)
    for _ in range(6):
        assert await world.merchant.refused("POST", REFUND[:-3], body, status=404) == "RESOURCE_NOT_EXISTS"
    assert await world.merchant.refused("POST", REFUND[:-3], body, status=429) == "FREQUENCY_LIMITED"


async def test_an_altered_answer_is_found_out(world: World) -> None:
    reply = await world.merchant.send("GET", CERTIFICATES)
    with pytest.raises(InvalidSignature):
        world.merchant.verify(reply.headers, reply.body + b" ")


def test_files_and_forms_of_the_account(world: World) -> None:
    account = world.account
    assert account["gateway_url"] == "http://sandbox.test"
    assert "BEGIN PRIVATE KEY" in account["merchant_private_key"]
    assert "BEGIN RSA PRIVATE KEY" in account["merchant_private_key_pkcs1"]
    assert re.fullmatch("[0-9A-Za-z]{32}", account["apiv3_key"])
    assert len({one["openid"] for one in account["buyers"]}) == 3
    assert all(len(one["openid"]) == 28 for one in account["buyers"])
    assert isinstance(Merchant(account, world.net, world.clock), Merchant)
