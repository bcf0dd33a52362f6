"""wechatpayv3, unmodified, both its classes, against the sandbox over real HTTP: pays, asks, refunds, fetches bills,
verifies callbacks with its own code.

Its address is not a parameter; the attribute `_core._gate_way` is what its users set. Paths are then as in production.
"""

import asyncio
import gzip
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.async_ import AsyncWeChatPay
from wechatpayv3.async_ import WeChatPayType as AsyncType

from tests.simulators.served import Served, served
from tongbao.simulators.browser import Hand, Paid
from tongbao.transport import HttpcoreTransport, Request

CHINA = timezone(timedelta(hours=8))


class Shop:
    """Keeps what it is sent, with its headers."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                shop.received.append((dict(self.headers.items()), body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/notify"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def heard(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        deadline = time.monotonic() + 5
        while len(self.received) < count and time.monotonic() < deadline:
            time.sleep(0.005)
        assert len(self.received) >= count
        return self.received

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("sandbox")) as made:
        yield made


def asked(sandbox: Served, path: str, body: Any) -> Any:
    """A call of the sandbox's own API."""
    with HttpcoreTransport() as transport:
        return json.loads(transport.send(Request("POST", sandbox.url + path, {}, json.dumps(body).encode())).body)


def pay(sandbox: Served, what: str) -> Paid:
    """The buyer's hand, without a process of its own."""
    with HttpcoreTransport() as transport:
        return Hand(transport.send, sandbox.url).pay(what)


def advance(sandbox: Served, seconds: float) -> datetime:
    """Turns the clock forward; the sandbox's time."""
    return datetime.fromisoformat(asked(sandbox, "/_sandbox/clock", {"advance_seconds": seconds})["now"])


@pytest.fixture(scope="module")
def account(sandbox: Served) -> Any:
    return sandbox.accounts()["wechatpay"]


@pytest.fixture
def shop() -> Iterator[Shop]:
    made = Shop()
    yield made
    made.close()


def parameters(account: Any, shop: Shop, **more: Any) -> dict[str, Any]:
    return {
        "wechatpay_type": WeChatPayType.NATIVE,
        "mchid": account["mchid"],
        "private_key": account["merchant_private_key"],
        "cert_serial_no": account["merchant_serial"],
        "appid": account["appid"],
        "apiv3_key": account["apiv3_key"],
        "notify_url": shop.url,
        **more,
    }


def public(account: Any) -> dict[str, str]:
    return {"public_key": account["public_key"], "public_key_id": account["public_key_id"]}


@pytest.fixture
def client(account: Any, shop: Shop) -> Any:
    """In public-key mode, which asks for nothing before its address can be set."""
    made = WeChatPay(**parameters(account, shop, **public(account)))
    made._core._gate_way = account["gateway_url"]
    return made


@pytest.fixture
def certified(account: Any, shop: Shop, tmp_path: Path) -> Any:
    """In certificate mode: it finds its first certificate in a folder, because it asks before one can tell it where."""
    for one in account["platform_certificates"]:
        (tmp_path / f"{one['serial']}.pem").write_text(one["pem"])
    made = WeChatPay(**parameters(account, shop, cert_dir=str(tmp_path)))
    made._core._gate_way = account["gateway_url"]
    return made


def decoded(answer: tuple[int, Any], status: int = 200) -> Any:
    code, message = answer
    assert code == status, message
    return json.loads(message) if message else None


@pytest.mark.parametrize("mode", ["client", "certified"])
def test_the_whole_life_of_a_payment(
    mode: str, sandbox: Served, account: Any, shop: Shop, request: pytest.FixtureRequest
) -> None:
    wechat, number = request.getfixturevalue(mode), f"SYNC_{mode}"
    made = decoded(wechat.pay(description="茶 tea", out_trade_no=number, amount={"total": 100}))
    assert decoded(wechat.query(out_trade_no=number))["trade_state"] == "NOTPAY"
    assert pay(sandbox, made["code_url"]).ok
    paid = decoded(wechat.query(out_trade_no=number))
    assert (paid["trade_state"], paid["amount"]["payer_total"]) == ("SUCCESS", 100)
    assert decoded(wechat.query(transaction_id=paid["transaction_id"]))["out_trade_no"] == number
    headers, body = shop.heard(1)[0]
    told = wechat.callback(headers, body)
    assert told["event_type"] == "TRANSACTION.SUCCESS"
    assert told["resource"]["transaction_id"] == paid["transaction_id"]
    assert wechat.callback(headers, body.replace(b"SUCCESS", b"FAILURE", 1)) is None, "it believes no forgery"

    amount = {"refund": 40, "total": 100, "currency": "CNY"}
    back = wechat.refund(out_refund_no=f"R_{number}", out_trade_no=number, amount=amount, notify_url=shop.url)
    assert decoded(back)["status"] == "PROCESSING"
    advance(sandbox, 3)
    found = decoded(wechat.query_refund(f"R_{number}"))
    assert (found["status"], found["amount"]["refund"]) == ("SUCCESS", 40)
    told = wechat.callback(*shop.heard(2)[1])
    assert (told["event_type"], told["resource"]["refund_status"]) == ("REFUND.SUCCESS", "SUCCESS")
    assert decoded(wechat.query(out_trade_no=number))["trade_state"] == "REFUND"


def test_close_and_errors(client: Any) -> None:
    decoded(client.pay(description="tea", out_trade_no="SYNC_CLOSED", amount={"total": 1}))
    assert client.close(out_trade_no="SYNC_CLOSED")[0] == 204
    assert decoded(client.query(out_trade_no="SYNC_CLOSED"))["trade_state"] == "CLOSED"
    refused = decoded(client.pay(description="tea", out_trade_no="SYNC_CLOSED", amount={"total": 1}), 400)
    assert refused["code"] == "ORDER_CLOSED"
    assert decoded(client.query(out_trade_no="SYNC_MISSING"), 404)["code"] == "ORDER_NOT_EXIST"


def test_inside_the_app(client: Any, sandbox: Served, account: Any) -> None:
    payer = {"openid": account["buyers"][0]["openid"]}
    made = decoded(
        client.pay(
            description="tea",
            out_trade_no="SYNC_JSAPI",
            amount={"total": 5},
            payer=payer,
            pay_type=WeChatPayType.JSAPI,
        )
    )
    package = f"prepay_id={made['prepay_id']}"
    params = {"appId": account["appid"], "timeStamp": "1414561699", "nonceStr": "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"}
    params["package"] = package
    signed = client.sign([*params.values()])
    assert pay(sandbox, json.dumps({**params, "signType": "RSA", "paySign": signed})).ok
    assert decoded(client.query(out_trade_no="SYNC_JSAPI"))["payer"] == payer
    forged = pay(sandbox, json.dumps({**params, "signType": "RSA", "paySign": signed[::-1]}))
    assert (forged.ok, "支付验证签名失败" in forged.reason) == (False, True)


def test_in_a_phones_browser_and_at_the_counter(client: Any, sandbox: Served, account: Any) -> None:
    scene = {"payer_client_ip": "127.0.0.1", "h5_info": {"type": "Wap"}}
    web = {"description": "tea", "out_trade_no": "SYNC_H5", "amount": {"total": 5}, "scene_info": scene}
    made = decoded(client.pay(**web, pay_type=WeChatPayType.H5))
    assert pay(sandbox, made["h5_url"]).ok
    assert decoded(client.query(out_trade_no="SYNC_H5"))["trade_type"] == "MWEB"
    codes = {one["code"][2:4]: one["code"] for one in account["buyers"][0]["auth_codes"]}
    for script, status, state in (("01", 200, "SUCCESS"), ("09", 202, "USERPAYING")):
        counter = {"description": "tea", "out_trade_no": f"SYNC_BAR_{script}", "amount": {"total": 5}}
        counter |= {"payer": {"auth_code": codes[script]}, "scene_info": {"store_info": {"id": "1"}}}
        answer = client.pay(**counter, pay_type=WeChatPayType.CODEPAY)
        assert decoded(answer, status)["trade_state"] == state
        assert client.codepay_reverse(f"SYNC_BAR_{script}")[0] == 200
        assert decoded(client.query(out_trade_no=f"SYNC_BAR_{script}"))["trade_state"] == "REVOKED"


def test_combined(client: Any, sandbox: Served, account: Any, shop: Shop) -> None:
    parts = [
        {
            "mchid": account["mchid"],
            "attach": "x",
            "amount": {"total_amount": 7, "currency": "CNY"},
            "out_trade_no": f"SYNC_PART{number}",
            "description": "tea",
        }
        for number in (1, 2)
    ]
    made = decoded(client.combine_pay("SYNC_COMBINED", sub_orders=parts, pay_type=WeChatPayType.NATIVE))
    assert pay(sandbox, made["code_url"]).ok
    found = decoded(client.combine_query("SYNC_COMBINED"))
    assert {one["trade_state"] for one in found["sub_orders"]} == {"SUCCESS"}
    assert client.callback(*shop.heard(1)[0])["resource"]["combine_out_trade_no"] == "SYNC_COMBINED"


def test_an_image(client: Any, tmp_path: Path) -> None:
    (tmp_path / "shop.png").write_bytes(b"\x89PNG" + bytes(1000))
    assert decoded(client.image_upload(str(tmp_path / "shop.png")))["media_id"]


def test_transfers_and_sharing(client: Any, sandbox: Served, account: Any) -> None:
    infos = [{"info_type": "活动名称", "info_content": "新会员有礼"}]
    openid = account["buyers"][0]["openid"]
    made = decoded(
        client.mch_transfer_bills("SYNCBILL1", "1000", openid, 30, "奖金", transfer_scene_report_infos=infos)
    )
    assert made["state"] == "WAIT_USER_CONFIRM"
    params = {"mchId": account["mchid"], "appId": account["appid"], "package": made["package_info"]}
    assert pay(sandbox, json.dumps(params)).ok
    assert decoded(client.mch_transfer_bills_query(out_bill_no="SYNCBILL1"))["state"] == "SUCCESS"
    added = client.profitsharing_add_receiver("PERSONAL_OPENID", openid, "STAFF")
    assert decoded(added)["account"] == openid


def test_bills(client: Any, sandbox: Served) -> None:
    today = advance(sandbox, 0)
    made = decoded(client.pay(description="tea, green", out_trade_no="SYNC_BILL", amount={"total": 9}))
    assert pay(sandbox, made["code_url"]).ok
    day = today.astimezone(CHINA).strftime("%Y-%m-%d")
    advance(sandbox, 34 * 3600)
    for wanted in ("trade_bill", "fundflow_bill"):
        found = decoded(getattr(client, wanted)(day))
        status, content = client.download_bill(found["download_url"])
        assert status == 200
        plain = gzip.decompress(content)
        assert hashlib.sha1(plain).hexdigest() == found["hash_value"]
        assert "SYNC_BILL" in plain.decode()


def test_the_rotation_of_certificates(certified: Any, sandbox: Served) -> None:
    decoded(certified.pay(description="tea", out_trade_no="SYNC_BEFORE", amount={"total": 1}))
    asked(sandbox, "/_sandbox/wechatpay/keys", {"action": "rotate"})
    decoded(certified.query(out_trade_no="SYNC_BEFORE"))
    assert len(certified._core._certificates) == 2, "it fetched the new one"
    asked(sandbox, "/_sandbox/wechatpay/keys", {"action": "retire"})
    decoded(certified.query(out_trade_no="SYNC_BEFORE"))


@pytest.mark.parametrize("fault", ["reply_bad_signature", "reply_tampered", "reply_probed", "reply_unknown_serial"])
def test_it_believes_no_bad_answer(client: Any, sandbox: Served, fault: str) -> None:
    decoded(client.pay(description="tea", out_trade_no=f"SYNC_{fault}"[:32], amount={"total": 1}))
    asked(sandbox, "/_sandbox/faults", {"fault": fault})
    with pytest.raises(Exception, match="failed to verify the signature"):
        client.query(out_trade_no=f"SYNC_{fault}"[:32])


async def test_the_async_class(account: Any, sandbox: Served, shop: Shop) -> None:
    settings = parameters(account, shop, **public(account)) | {"wechatpay_type": AsyncType.NATIVE}
    async with AsyncWeChatPay(**settings) as wechat:
        wechat._core._gate_way = account["gateway_url"]
        made = decoded(await wechat.pay(description="tea", out_trade_no="ASYNC_1", amount={"total": 100}))
        assert (await asyncio.to_thread(pay, sandbox, made["code_url"])).ok
        assert decoded(await wechat.query(out_trade_no="ASYNC_1"))["trade_state"] == "SUCCESS"
        headers, body = (await asyncio.to_thread(shop.heard, 1))[0]
        await wechat._core._update_certificates()
        told: Any = wechat.callback(headers, body)
        assert told["resource"]["out_trade_no"] == "ASYNC_1"
        amount = {"refund": 100, "total": 100, "currency": "CNY"}
        back = decoded(await wechat.refund(out_refund_no="R_ASYNC_1", out_trade_no="ASYNC_1", amount=amount))
        assert back["status"] == "PROCESSING"
        decoded(await wechat.pay(description="tea", out_trade_no="ASYNC_2", amount={"total": 1}))
        assert (await wechat.close(out_trade_no="ASYNC_2"))[0] == 204
        day = (await asyncio.to_thread(advance, sandbox, 0)).astimezone(CHINA).strftime("%Y-%m-%d")
        await asyncio.to_thread(advance, sandbox, 34 * 3600)
        bill = decoded(await wechat.trade_bill(day))
        status, content = await wechat.download_bill(bill["download_url"])
        assert (status, hashlib.sha1(gzip.decompress(content)).hexdigest()) == (200, bill["hash_value"])
