"""The door: who is believed, in which order things are checked, and what an attacker or a bad line may do to it."""

import asyncio
import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.simulators.merchant import HOST, World, key_number
from tongbao.domain.errors import OutcomeUnknown
from tongbao.transport import Reply, Request

QUERY = "alipay.trade.query"
NODE = "alipay_trade_query_response"
BIZ = {"out_trade_no": "T1"}


def unsigned(reply: Reply, node: str = NODE) -> Any:
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/html")
    outer = json.loads(reply.body)
    assert set(outer) == {node}, "a gateway error is not signed"
    return outer[node]


async def refused(world: World, params: dict[str, str], node: str = NODE) -> tuple[str, str]:
    found = unsigned(await world.send(params), node)
    assert list(found) == ["code", "msg", "sub_code", "sub_msg"]
    return found["code"], found["sub_code"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"app_id": ""}, ("40001", "isv.missing-app-id")),
        ({"app_id": "2021"}, ("40002", "isv.invalid-app-id")),
        ({"app_id": "2021", "sign": ""}, ("40002", "isv.invalid-app-id")),
        ({"format": "xml"}, ("40002", "isv.invalid-format")),
        ({"charset": ""}, ("40002", "isv.invalid-charset")),
        ({"charset": "big5"}, ("40002", "isv.invalid-charset")),
        ({"sign_type": ""}, ("40001", "isv.missing-signature-type")),
        ({"sign_type": "MD5"}, ("40002", "isv.invalid-signature-type")),
        ({"sign_type": "RSA"}, ("40002", "isv.invalid-signature-type")),
        ({"timestamp": ""}, ("40001", "isv.missing-timestamp")),
        ({"timestamp": "2026-05-01T20:00:00"}, ("40002", "isv.invalid-timestamp")),
        ({"timestamp": "2026-5-1 20:00:00"}, ("40002", "isv.invalid-timestamp")),
        ({"version": ""}, ("40001", "isv.missing-version")),
        ({"version": "2.0"}, ("40002", "isv.invalid-parameter")),
        ({"sign": ""}, ("40001", "isv.missing-signature")),
        ({"sign": "AAAA"}, ("40002", "isv.invalid-signature")),
        ({"sign": "not base64!"}, ("40002", "isv.invalid-signature")),
        ({"biz_content": '{"out_trade_no":"T2"}'}, ("40002", "isv.invalid-signature")),
        ({"notify_url": "http://thief.test/"}, ("40002", "isv.invalid-signature")),
    ],
)
async def test_what_is_wrong_after_signing(world: World, changes: dict[str, str], expected: tuple[str, str]) -> None:
    params = {**world.signed(world.params(QUERY, BIZ)), **changes}
    assert await refused(world, {name: value for name, value in params.items() if value}) == expected


async def test_methods(world: World) -> None:
    params = world.params(QUERY, BIZ)
    params.pop("method")
    assert await refused(world, world.signed(params), "error_response") == ("40001", "isv.missing-method")
    params["method"] = "alipay.trade.nothing"
    assert await refused(world, world.signed(params), "error_response") == ("40002", "isv.invalid-method")


async def test_a_strangers_key(world: World) -> None:
    world.key = key_number(77)
    assert await refused(world, world.signed(world.params(QUERY, BIZ))) == ("40002", "isv.invalid-signature")


async def test_a_weaker_hash_under_the_right_name(world: World) -> None:
    from tongbao.crypto import Digest

    params = world.params(QUERY, BIZ)
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    sign = base64.b64encode(world.key.sign(text.encode(), Digest.SHA1)).decode()
    assert await refused(world, {**params, "sign": sign}) == ("40002", "isv.invalid-signature")


@pytest.mark.parametrize(
    "text", ["{", "[]", '"x"', "1", '{"a":1,"a":2}', '{"a":NaN}', "[" * 100_000, '{"a":' + "9" * 5000 + "}", "null"]
)
async def test_business_json_that_is_none(world: World, text: str) -> None:
    assert await refused(world, world.signed(world.params(QUERY, text))) == ("40002", "isv.illegal-json")


async def test_without_business_content(world: World) -> None:
    assert (await world.call(QUERY, ""))["sub_code"] == "ACQ.INVALID_PARAMETER"


async def test_extra_parameters_are_signed_too(world: World) -> None:
    params = world.signed(world.params(QUERY, BIZ, alipay_sdk="own-1.0"))
    assert json.loads((await world.send(params)).body)[NODE]["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert await refused(world, {**params, "alipay_sdk": "own-2.0"}) == ("40002", "isv.invalid-signature")


async def test_empty_parameters_do_not_count(world: World) -> None:
    params = world.signed(world.params(QUERY, BIZ))
    node = json.loads((await world.send({**params, "app_auth_token": ""})).body)[NODE]
    assert node["sub_code"] == "ACQ.TRADE_NOT_EXIST"


async def raw(world: World, query: str, body: str = "", kind: str = "application/x-www-form-urlencoded") -> Any:
    url = f"http://{HOST}/alipay/gateway.do?{query}"
    reply = await world.net.send(Request("POST", url, {"content-type": kind}, body.encode()))
    return json.loads(reply.body)[NODE]["sub_code"]


async def test_every_way_to_send_them(world: World) -> None:
    params = world.signed(world.params(QUERY, BIZ))
    everything = urlencode(params)
    biz = urlencode({"biz_content": params.pop("biz_content")})
    url = f"http://{HOST}/alipay/gateway.do?{everything}"
    got = await world.net.send(Request("GET", url))
    assert json.loads(got.body)[NODE]["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert await raw(world, everything) == "ACQ.TRADE_NOT_EXIST"
    assert await raw(world, urlencode(params), biz) == "ACQ.TRADE_NOT_EXIST"
    assert await raw(world, "charset=utf-8", everything) == "ACQ.TRADE_NOT_EXIST"
    parts = "".join(
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in world.signed(world.params(QUERY, BIZ)).items()
    )
    assert await raw(world, "", f"{parts}--B--\r\n", "multipart/form-data; boundary=B") == "ACQ.TRADE_NOT_EXIST"


async def test_the_same_parameter_twice(world: World) -> None:
    everything = urlencode(world.signed(world.params(QUERY, BIZ)))
    assert await raw(world, everything, everything) == "ACQ.TRADE_NOT_EXIST"
    other = quote('{"out_trade_no":"T2"}')
    assert await raw(world, everything, f"biz_content={other}") == "isv.invalid-parameter"
    assert await raw(world, f"{everything}&biz_content={other}") == "isv.invalid-parameter"
    assert await raw(world, f"biz_content={other}&{everything}") == "isv.invalid-parameter"


async def test_a_wrong_charset(world: World) -> None:
    params = world.params(QUERY, {"out_trade_no": "T1", "operator_id": "茶"})
    body = urlencode(world.signed(params), encoding="gbk")
    assert await raw(world, "", body) == "isv.invalid-charset"


async def test_other_verbs_and_sizes(world: World) -> None:
    url = f"http://{HOST}/alipay/gateway.do"
    assert (await world.net.send(Request("PUT", url))).status == 405
    assert (await world.net.send(Request("POST", url, {}, b"a" * (2 << 20)))).status == 413
    many = "&".join(f"a{number}=1" for number in range(300))
    reply = await world.net.send(Request("GET", f"{url}?{many}"))
    assert unsigned(reply, "error_response")["sub_code"] == "isv.invalid-parameter"


async def test_nothing_random_gets_in(world: World) -> None:
    """One flipped byte anywhere in a signed form is refused, and nothing breaks."""
    body = bytearray(urlencode(world.signed(world.params(QUERY, BIZ))).encode())
    url = f"http://{HOST}/alipay/gateway.do"
    for position in range(0, len(body), 7):
        flipped = bytes(body[:position]) + bytes([body[position] ^ 1]) + bytes(body[position + 1 :])
        reply = await world.net.send(
            Request("POST", url, {"content-type": "application/x-www-form-urlencoded"}, flipped)
        )
        assert reply.status == 200
        (node,) = (value for name, value in json.loads(reply.body).items() if name not in ("sign", "alipay_cert_sn"))
        assert node["sub_code"].startswith("isv."), (position, node)


async def test_a_bad_page_request_shows_the_buyer_a_page(world: World) -> None:
    page = await world.browse("GET", world.page_url(total_amount="0"))
    assert (page.status, page.headers["content-type"]) == (200, "text/html;charset=GBK")
    assert "ACQ.TOTAL_FEE_EXCEED" in page.body.decode("gbk")
    tampered = await world.browse("GET", world.page_url().replace("12.50", "0.01"))
    assert "isv.invalid-signature" in tampered.body.decode("gbk")
    assert not world.sandbox.alipay.book.orders.values()


# --- faults of an answer


@pytest.mark.parametrize(
    ("fault", "code", "done"),
    [
        ("unavailable", "20000", False),
        ("reply_unavailable", "20000", True),
        ("reply_system_error", "40004", True),
    ],
)
async def test_signed_but_unclear(world: World, fault: str, code: str, done: bool) -> None:
    content = await world.qr("T1")
    world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    node = await world.call("alipay.trade.close", BIZ, fault=fault)
    assert node["code"] == code
    status = (await world.query("T1"))["trade_status"]
    assert status == ("TRADE_CLOSED" if done else "WAIT_BUYER_PAY")


@pytest.mark.parametrize(("fault", "done"), [("unreachable", False), ("reply_lost", True), ("reply_never", True)])
async def test_no_answer(world: World, fault: str, done: bool) -> None:
    content = await world.qr("T1")
    world.sandbox.alipay.scan(world.token(content), world.sandbox.buyer())
    with pytest.raises(OutcomeUnknown):
        await world.call("alipay.trade.close", BIZ, fault=fault)
    status = (await world.query("T1"))["trade_status"]
    assert status == ("TRADE_CLOSED" if done else "WAIT_BUYER_PAY")


async def answered(world: World, fault: str) -> bytes:
    reply = await world.send(world.signed(world.params(QUERY, BIZ)), {"x-sandbox-fault": fault})
    return reply.body


def checked(world: World, body: bytes) -> bool:
    outer = json.loads(body)
    text = body[len(f'{{"{NODE}":') : body.index(b',"sign"')]
    return world.alipay_key.verify(base64.b64decode(outer["sign"]), text)


async def test_answers_that_must_not_be_believed(world: World) -> None:
    await world.paid("T1")
    for fault in ("reply_bad_signature", "reply_tampered"):
        assert not checked(world, await answered(world, fault)), fault
    assert "sign" not in json.loads(await answered(world, "reply_unsigned"))
    assert (await answered(world, "reply_duplicate_node")).count(NODE.encode()) == 2
    assert "error_response" in json.loads(await answered(world, "reply_error_node"))
    for fault in ("reply_truncated", "reply_not_json"):
        with pytest.raises(ValueError, match="line 1"):
            json.loads(await answered(world, fault))


async def test_genuine_answers_about_something_else(world: World) -> None:
    await world.paid("T1", "88.88")
    other = await answered(world, "reply_wrong_trade")
    assert checked(world, other)
    assert json.loads(other)[NODE]["out_trade_no"] == "T1OTHER"
    amount = await answered(world, "reply_wrong_amount")
    assert checked(world, amount)
    assert json.loads(amount)[NODE]["total_amount"] == "89.88"


async def test_escaped_slashes(world: World) -> None:
    await world.paid("T1", body="a/b")
    signed = await answered(world, "reply_slashes_escaped")
    assert b"a\\/b" in signed
    assert checked(world, signed)
    after = await answered(world, "reply_slashes_escaped_after")
    assert b"a\\/b" in after
    assert not checked(world, after)
    assert checked(world, after.replace(b"\\/", b"/"))


async def test_refusals_of_the_channel(world: World) -> None:
    for fault, expected in (("call_limited", "40005"), ("no_permission", "40006")):
        assert json.loads(await answered(world, fault))[NODE]["code"] == expected
    reply = await world.send(world.signed(world.params(QUERY, BIZ)), {"x-sandbox-fault": "bad_gateway"})
    assert reply.status == 502
    unknown = await world.send(world.signed(world.params(QUERY, BIZ)), {"x-sandbox-fault": "gremlins"})
    assert unsigned(unknown)["sub_code"] == "isv.invalid-parameter"


async def test_the_board_scopes_and_counts(world: World) -> None:
    faults = world.sandbox.bank.faults
    faults.set("unavailable", method="alipay.trade.close", calls=1)
    faults.set("unavailable", merchant="9021000199999999", calls=None)
    faults.set("call_limited", method=QUERY, calls=2)
    for expected in ("40005", "40005", "40004"):
        reply = await world.send(world.signed(world.params(QUERY, BIZ)))
        assert json.loads(reply.body)[NODE]["code"] == expected
    assert [rule.fault for rule in faults.rules()] == ["unavailable", "unavailable"]
    assert faults.clear() == 2


async def test_forged_requests_use_up_no_fault(world: World) -> None:
    world.sandbox.bank.faults.set("unavailable")
    params = {**world.signed(world.params(QUERY, BIZ)), "sign": "AAAA"}
    assert await refused(world, params) == ("40002", "isv.invalid-signature")
    assert len(world.sandbox.bank.faults.rules()) == 1


async def test_many_at_once_are_one_trade(world: World) -> None:
    biz = {"out_trade_no": "T1", "total_amount": "1.00", "subject": "tea"}
    nodes = await asyncio.gather(*(world.call("alipay.trade.precreate", biz) for _ in range(20)))
    assert sorted(node["code"] for node in nodes) == ["10000"] + ["40004"] * 19
