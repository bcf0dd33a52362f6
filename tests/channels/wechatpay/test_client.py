"""WeChat Pay's clients: both shells, every method, what is sent, what is believed and what is refused."""

import copy
import gzip
import hashlib
import inspect
import json
import logging
import threading
import typing
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.channels.wechatpay.conftest import (
    APIV3_KEY,
    APPID,
    GATEWAY_URL,
    MCHID,
    MERCHANT_SERIAL,
    NOTIFY_URL,
    NOW,
    PUBLIC_KEY_ID,
    TRANSACTION,
    AsyncScript,
    Keys,
    ScriptedWechat,
    TurnedClock,
    answered,
    certificate,
    failed,
    new_key,
    text_of,
    unsigned,
)
from tongbao.channels.wechatpay import AsyncWechatPayClient, WechatPayClient, calls
from tongbao.channels.wechatpay.certificates import read_list
from tongbao.channels.wechatpay.errors import (
    NextStep,
    WechatPayDeclined,
    WechatPayError,
    WechatPayOutcomeUnknown,
    WechatPayUnavailable,
)
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

ORDER: dict[str, Any] = {"out_trade_no": "ORDER1", "amount": 1, "description": "tea", "notify_url": NOTIFY_URL}
SUB_ORDERS = [
    {"mchid": MCHID, "out_trade_no": f"SUB_{n}", "attach": "a", "description": "tea", "amount": n} for n in (1, 2)
]
PAY = "/v3/pay/transactions"
REFUNDS = "/v3/refund/domestic/refunds"
BILLS = "/v3/fund-app/mch-transfer/transfer-bills"
BATCHES = "/v3/transfer/batches"
SHARING = "/v3/profitsharing"

EXCHANGES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "call": ("GET /v3/anything?a=1", ("GET", "/v3/anything"), {"query": {"a": 1, "b": None}}),
    "native_pay": (f"POST {PAY}/native", (), ORDER),
    "jsapi_pay": (f"POST {PAY}/jsapi", (), {**ORDER, "openid": "oAAAA"}),
    "app_pay": (f"POST {PAY}/app", (), ORDER),
    "h5_pay": (f"POST {PAY}/h5", (), {**ORDER, "payer_client_ip": "203.0.113.7"}),
    "code_pay": (
        f"POST {PAY}/codepay",
        (),
        {
            "out_trade_no": "ORDER1",
            "amount": 1,
            "description": "tea",
            "auth_code": "130061098828009406",
            "store_info": {"out_id": "1"},
        },
    ),
    "query": (f"GET {PAY}/out-trade-no/ORDER%7C1?mchid={MCHID}", (), {"out_trade_no": "ORDER|1"}),
    "close": (f"POST {PAY}/out-trade-no/ORDER1/close", (), {"out_trade_no": "ORDER1"}),
    "reverse": (f"POST {PAY}/out-trade-no/ORDER1/reverse", (), {"out_trade_no": "ORDER1"}),
    "combined_pay": (
        "POST /v3/combine-transactions/native",
        ("native",),
        {"combine_out_trade_no": "WHOLE1", "sub_orders": SUB_ORDERS, "notify_url": NOTIFY_URL},
    ),
    "combined_query": (
        "GET /v3/combine-transactions/out-trade-no/WHOLE1",
        (),
        {"combine_out_trade_no": "WHOLE1"},
    ),
    "combined_close": (
        "POST /v3/combine-transactions/out-trade-no/WHOLE1/close",
        (),
        {"combine_out_trade_no": "WHOLE1", "sub_orders": [{"mchid": MCHID, "out_trade_no": "SUB_1"}]},
    ),
    "refund": (
        f"POST {REFUNDS}",
        (),
        {"out_trade_no": "ORDER1", "out_refund_no": "R1", "refund_amount": 1, "total_amount": 2},
    ),
    "refund_query": (f"GET {REFUNDS}/R%401", (), {"out_refund_no": "R@1"}),
    "abnormal_refund": (
        f"POST {REFUNDS}/503/apply-abnormal-refund",
        (),
        {
            "refund_id": "503",
            "out_refund_no": "R1",
            "kind": "USER_BANK_CARD",
            "bank_account": "6222",
            "real_name": "张三",
        },
    ),
    "bill_url": (
        "GET /v3/bill/tradebill?bill_date=2026-01-01&tar_type=GZIP",
        (),
        {"bill_date": "2026-01-01", "gzipped": True},
    ),
    "fund_flow_url": ("GET /v3/bill/fundflowbill?bill_date=2026-01-01", (), {"bill_date": "2026-01-01"}),
    "profit_bill_url": ("GET /v3/profitsharing/bills?bill_date=2026-01-01", (), {"bill_date": "2026-01-01"}),
    "transfer": (
        f"POST {BILLS}",
        (),
        {
            "out_bill_no": "T1",
            "transfer_scene_id": "1000",
            "openid": "oAAAA",
            "user_name": "张三",
            "transfer_amount": 100,
            "transfer_remark": "thanks",
            "transfer_scene_report_infos": [{"info_type": "a", "info_content": "b"}],
        },
    ),
    "transfer_query": (f"GET {BILLS}/out-bill-no/T1", (), {"out_bill_no": "T1"}),
    "transfer_cancel": (f"POST {BILLS}/out-bill-no/T1/cancel", (), {"out_bill_no": "T1"}),
    "batch_transfer": (
        f"POST {BATCHES}",
        (),
        {
            "out_batch_no": "B1",
            "batch_name": "n",
            "batch_remark": "r",
            "details": [
                {"out_detail_no": "D1", "transfer_amount": 10, "transfer_remark": "x", "openid": "o1"},
                {
                    "out_detail_no": "D2",
                    "transfer_amount": 20,
                    "transfer_remark": "x",
                    "openid": "o2",
                    "user_name": "张三",
                },
            ],
        },
    ),
    "batch_query": (
        f"GET {BATCHES}/out-batch-no/B1?need_query_detail=false",
        (),
        {"out_batch_no": "B1"},
    ),
    "batch_detail_query": (
        f"GET {BATCHES}/out-batch-no/B1/details/out-detail-no/D1",
        (),
        {"out_batch_no": "B1", "out_detail_no": "D1"},
    ),
    "profit_share": (
        f"POST {SHARING}/orders",
        (),
        {
            "transaction_id": "4200",
            "out_order_no": "P1",
            "receivers": [
                {"type": "MERCHANT_ID", "account": "19", "amount": 1, "description": "d", "name": "某某公司"}
            ],
            "unfreeze_unsplit": True,
        },
    ),
    "profit_share_query": (
        f"GET {SHARING}/orders/P1?transaction_id=4200",
        (),
        {"out_order_no": "P1", "transaction_id": "4200"},
    ),
    "profit_unfreeze": (
        f"POST {SHARING}/orders/unfreeze",
        (),
        {"transaction_id": "4200", "out_order_no": "P2", "description": "d"},
    ),
    "profit_return": (
        f"POST {SHARING}/return-orders",
        (),
        {"out_return_no": "X1", "return_mchid": "19", "amount": 1, "description": "d", "out_order_no": "P1"},
    ),
    "profit_return_query": (
        f"GET {SHARING}/return-orders/X1?out_order_no=P1",
        (),
        {"out_return_no": "X1", "out_order_no": "P1"},
    ),
    "profit_unsplit": (f"GET {SHARING}/transactions/4200/amounts", (), {"transaction_id": "4200"}),
    "profit_ratio": (f"GET {SHARING}/merchant-configs/19", (), {"sub_mchid": "19"}),
    "receiver_add": (
        f"POST {SHARING}/receivers/add",
        (),
        {"kind": "MERCHANT_ID", "receiver": "19", "relation_type": "PARTNER", "name": "某某公司"},
    ),
    "receiver_delete": (f"POST {SHARING}/receivers/delete", (), {"kind": "MERCHANT_ID", "receiver": "19"}),
    "upload_image": ("POST /v3/merchant/media/upload", ("a.png", b"\x89PNG"), {}),
}
"""Every method that is one call: what stands on the wire, and how it is called."""
NO_RESULT = {"close", "combined_close"}
OTHERWISE = {
    "app_params",
    "decrypt_field",
    "download_bill",
    "download_file",
    "download_fund_flow",
    "encrypted",
    "h5_address",
    "jsapi_params",
    "load_certificates",
    "receive_notification",
    "verify_notification",
}
HOUSEKEEPING = {"opened", "run", "disconnect"}


def public(shell: type) -> set[str]:
    return {name for name in dir(shell) if not name.startswith("_")} - HOUSEKEEPING


# --- both shells -------------------------------------------------------------------------------------------------


def test_both_clients_have_the_same_methods_and_all_are_tried_here() -> None:
    assert public(WechatPayClient) == public(AsyncWechatPayClient) == EXCHANGES.keys() | OTHERWISE


@pytest.mark.parametrize("shell", [WechatPayClient, AsyncWechatPayClient])
def test_help_shows_what_a_caller_needs(shell: type) -> None:
    for name in public(shell):
        method = getattr(shell, name)
        assert method.__doc__, name
        shape = inspect.signature(method)
        assert next(iter(shape.parameters)) == "self"
        assert "account" not in shape.parameters
        assert typing.get_origin(shape.return_annotation) is not Generator


@pytest.mark.parametrize("name", EXCHANGES)
def test_every_method_blocking(client: WechatPayClient, wechat: ScriptedWechat, name: str) -> None:
    wire, places, arguments = EXCHANGES[name]
    before = copy.deepcopy((places, arguments))
    wechat.script = [{"extra": "field"}]
    answer = getattr(client, name)(*places, **arguments)
    assert answer == (None if name in NO_RESULT else {"extra": "field"})
    assert (places, arguments) == before, "what the caller hands in is never changed"
    [call] = wechat.calls
    assert f"{call.method} {call.target}" == wire
    if call.method == "POST" and name != "upload_image":
        assert call.headers["content-type"] == "application/json"
        assert b"null" not in call.raw


@pytest.mark.parametrize("name", EXCHANGES)
async def test_every_method_awaited(async_client: AsyncWechatPayClient, wechat: ScriptedWechat, name: str) -> None:
    wire, places, arguments = EXCHANGES[name]
    wechat.script = [{}, failed("PARAM_ERROR")]
    assert await getattr(async_client, name)(*places, **arguments) == (None if name in NO_RESULT else {})
    with pytest.raises(WechatPayDeclined):
        await getattr(async_client, name)(*places, **arguments)
    assert [f"{call.method} {call.target}" for call in wechat.calls] == [wire, wire]


@pytest.mark.parametrize(
    "name", sorted({"abnormal_refund", "transfer", "batch_transfer", "profit_share", "receiver_add"})
)
def test_sensitive_fields_leave_encrypted(
    client: WechatPayClient, wechat: ScriptedWechat, keys: Keys, name: str
) -> None:
    wechat.script = [{}]
    getattr(client, name)(**EXCHANGES[name][2])
    [call] = wechat.calls
    plain = {"6222", "张三", "某某公司"} & set(_texts(EXCHANGES[name][2]))
    assert plain
    assert not any(text in call.raw.decode() for text in plain)
    assert call.headers["wechatpay-serial"] == keys.old.serial.lstrip("0")
    opened = {_opened(text, keys) for text in _texts(call.body)}
    assert plain <= opened


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def _opened(text: str, keys: Keys) -> str:
    from tongbao.channels.wechatpay.signing import Unreadable, decrypt_field

    try:
        return decrypt_field(text, RsaPrivateKey(keys.old.key))
    except Unreadable:
        return ""


def test_many_threads_share_one_client(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    wechat.script = [{"code_url": "weixin://x"} for _ in range(8)]
    failures: list[BaseException] = []

    def work() -> None:
        try:
            assert client.native_pay(**ORDER) == {"code_url": "weixin://x"}
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len({call.headers["authorization"] for call in wechat.calls}) == 8, "no nonce is used twice"


def test_a_thread_that_comes_while_another_reads_the_list_is_not_turned_away(
    client: WechatPayClient, wechat: ScriptedWechat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list's arrival and its certificates being in place lies a moment in which a key is still unknown."""
    wechat.script = [{"code_url": "weixin://1"}, {"code_url": "weixin://2"}]
    read, answers = read_list, []

    def interrupted(*arguments: Any) -> Any:
        monkeypatch.setattr(calls, "read_list", read)
        other = threading.Thread(target=lambda: answers.append(client.native_pay(**ORDER)))
        other.start()
        other.join()
        return read(*arguments)

    monkeypatch.setattr(calls, "read_list", interrupted)
    answers.append(client.native_pay(**ORDER))
    assert len(answers) == 2


# --- what is sent ------------------------------------------------------------------------------------------------


def test_an_order_as_it_is_sent(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    wechat.script = [{"code_url": "weixin://x"}]
    client.native_pay(
        **{**ORDER, "amount": Money(1234, CNY)},
        time_expire=NOW + timedelta(minutes=30),
        attach="a",
        settle_info={"profit_sharing": True},
        more={"support_new": 1},
    )
    assert wechat.calls[0].body == {
        "appid": APPID,
        "mchid": MCHID,
        "description": "tea",
        "out_trade_no": "ORDER1",
        "notify_url": NOTIFY_URL,
        "amount": {"total": 1234, "currency": "CNY"},
        "time_expire": "2026-01-02T03:34:05+08:00",
        "attach": "a",
        "settle_info": {"profit_sharing": True},
        "support_new": 1,
    }


def test_each_kind_of_order(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    wechat.script = [{}, {}, {}]
    client.jsapi_pay(**ORDER, openid="oAAAA")
    client.h5_pay(**ORDER, payer_client_ip="203.0.113.7", h5_info={"type": "iOS"}, scene_info={"device_id": "1"})
    client.code_pay(**EXCHANGES["code_pay"][2], device_ip="203.0.113.8")
    jsapi, h5, code = (call.body for call in wechat.calls)
    assert jsapi["payer"] == {"openid": "oAAAA"}
    assert h5["scene_info"] == {"device_id": "1", "payer_client_ip": "203.0.113.7", "h5_info": {"type": "iOS"}}
    assert code["payer"] == {"auth_code": "130061098828009406"}
    assert code["scene_info"] == {"device_ip": "203.0.113.8", "store_info": {"out_id": "1"}}
    assert "notify_url" not in code
    assert "time_expire" not in code


def test_a_partner_s_calls(settings_of: dict[str, Any], wechat: ScriptedWechat) -> None:
    partner = WechatPayClient(**settings_of, sub_mchid="1900000200", transport=wechat)
    wechat.script = [{}, {}, {}, {}, {}, {}, {}]
    partner.jsapi_pay(**ORDER, openid="oAAAA")
    partner.jsapi_pay(**ORDER, openid="oBBBB", sub_appid="wxsub")
    partner.query(transaction_id="4200")
    partner.close(out_trade_no="ORDER1")
    partner.reverse(out_trade_no="ORDER1")
    partner.refund(out_refund_no="R1", transaction_id="4200", refund_amount=1, total_amount=1)
    partner.refund_query(out_refund_no="R1", sub_mchid="1900000201")
    made, sub, asked, closed, reversed_, refunded, refund = wechat.calls
    parties = {"sp_appid": APPID, "sp_mchid": MCHID, "sub_mchid": "1900000200"}
    assert made.target == "/v3/pay/partner/transactions/jsapi"
    assert parties.items() <= made.body.items()
    assert not {"appid", "mchid"} & made.body.keys()
    assert made.body["payer"] == {"sp_openid": "oAAAA"}
    assert (sub.body["sub_appid"], sub.body["payer"]) == ("wxsub", {"sub_openid": "oBBBB"})
    assert asked.target == f"/v3/pay/partner/transactions/id/4200?sp_mchid={MCHID}&sub_mchid=1900000200"
    assert closed.body == {"sp_mchid": MCHID, "sub_mchid": "1900000200"}
    assert reversed_.body == parties
    assert refunded.body["sub_mchid"] == "1900000200"
    assert refund.target == f"{REFUNDS}/R1?sub_mchid=1900000201"


def test_a_combined_order(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    wechat.script = [{}, {}]
    client.combined_pay(
        "h5",
        combine_out_trade_no="WHOLE1",
        sub_orders=[SUB_ORDERS[0], {**SUB_ORDERS[1], "amount": {"total_amount": 5, "currency": "CNY"}}],
        notify_url=NOTIFY_URL,
        payer_client_ip="203.0.113.7",
    )
    client.combined_pay(
        "jsapi", combine_out_trade_no="WHOLE2", sub_orders=SUB_ORDERS, notify_url=NOTIFY_URL, openid="oAAAA"
    )
    h5, jsapi = (call.body for call in wechat.calls)
    assert [one["amount"] for one in h5["sub_orders"]] == [
        {"total_amount": 1, "currency": "CNY"},
        {"total_amount": 5, "currency": "CNY"},
    ]
    assert h5["scene_info"] == {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}
    assert (h5["combine_appid"], h5["combine_mchid"]) == (APPID, MCHID)
    assert jsapi["combine_payer_info"] == {"openid": "oAAAA"}
    assert "scene_info" not in jsapi


def test_an_upload_signs_its_meta(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    wechat.script = [{"media_id": "m1"}]
    assert client.upload_image("茶.jpg", b"picture") == {"media_id": "m1"}
    call = wechat.calls[0]
    boundary = call.headers["content-type"].partition("boundary=")[2].encode()
    meta, file, end = call.raw.split(b"--" + boundary)[1:]
    digest = hashlib.sha256(b"picture").hexdigest()
    assert json.loads(meta.split(b"\r\n\r\n")[1]) == {"filename": "茶.jpg", "sha256": digest}
    assert b"Content-Type: image/jpeg" in file
    assert file.endswith(b"\r\n\r\npicture\r\n")
    assert end == b"--\r\n"


@pytest.mark.parametrize(
    ("name", "content"), [("a.gif", b"x"), ("a", b"x"), ("a.png", b""), ("a.png", bytes(2**21 + 1)), ('a".png', b"x")]
)
def test_an_image_that_cannot_be(client: WechatPayClient, name: str, content: bytes) -> None:
    with pytest.raises(InvalidInput):
        client.upload_image(name, content)


def test_the_prefix_of_a_proxy_is_not_signed(settings_of: dict[str, Any], wechat: ScriptedWechat) -> None:
    seen: list[str] = []

    class Proxy:
        def send(self, request: Request) -> Reply:
            seen.append(request.url)
            url = request.url.replace("https://proxy.test/wechat", GATEWAY_URL)
            return wechat.send(Request(request.method, url, request.headers, request.body))

    settings_of["gateway_url"] = "https://proxy.test/wechat/v3/"
    client = WechatPayClient(**settings_of, transport=Proxy())
    data = "交易时间".encode()
    located = {
        "hash_type": "SHA1",
        "hash_value": hashlib.sha1(data).hexdigest(),
        "download_url": "https://proxy.test/wechat/v3/billdownload/file?token=a%2Bb",
    }
    wechat.script = [TRANSACTION, located, unsigned(200, data)]
    client.query(out_trade_no=TRANSACTION["out_trade_no"])
    assert client.download_bill(bill_date="2026-01-01") == data
    assert all(url.startswith("https://proxy.test/wechat/v3/") for url in seen)


# --- what the buyer's app is given -----------------------------------------------------------------------------------


def test_pay_parameters(client: WechatPayClient, keys: Keys) -> None:
    import base64

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    def judge(signature: str, *lines: str) -> None:
        text = "".join(f"{line}\n" for line in lines).encode()
        keys.merchant.public_key().verify(base64.b64decode(signature), text, padding.PKCS1v15(), hashes.SHA256())

    page = client.jsapi_params("wx20")
    assert (page["appId"], page["package"], page["signType"]) == (APPID, "prepay_id=wx20", "RSA")
    judge(page["paySign"], APPID, page["timeStamp"], page["nonceStr"], "prepay_id=wx20")
    app = client.app_params("wx20", appid="wxapp")
    assert (app["appId"], app["partnerId"], app["prepayId"], app["package"]) == ("wxapp", MCHID, "wx20", "Sign=WXPay")
    judge(app["sign"], "wxapp", app["timeStamp"], app["nonceStr"], "wx20")
    assert client.h5_address("https://wx.tenpay.com/x?a=1") == "https://wx.tenpay.com/x?a=1"
    back = client.h5_address("https://wx.tenpay.com/x?a=1", return_url="https://shop.test/b?c=d&e")
    assert back == "https://wx.tenpay.com/x?a=1&redirect_url=https%3A%2F%2Fshop.test%2Fb%3Fc%3Dd%26e"


# --- what is refused before it leaves ------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", [1.0, 0, -1, True, "1", None, 10_000_000_001])
def test_amounts_that_are_refused(client: WechatPayClient, amount: Any) -> None:
    with pytest.raises(InvalidInput):
        client.native_pay(**{**ORDER, "amount": amount})
    with pytest.raises(InvalidInput):
        client.refund(out_trade_no="ORDER1", out_refund_no="R", refund_amount=1, total_amount=amount)
    with pytest.raises(InvalidInput):
        client.combined_pay(
            "native",
            combine_out_trade_no="WHOLE1",
            sub_orders=[SUB_ORDERS[0], {**SUB_ORDERS[1], "amount": {"total_amount": amount}}],
            notify_url=NOTIFY_URL,
        )


def test_other_refusals(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    with pytest.raises(CurrencyMismatch):
        client.native_pay(**{**ORDER, "amount": Money(1, CURRENCIES["USD"])})
    with pytest.raises(InvalidInput, match=r"body\.detail\.goods_detail\[0\]\.unit_price"):
        client.native_pay(**ORDER, detail={"goods_detail": [{"unit_price": 0.1}]})
    with pytest.raises(InvalidInput, match="emoji"):
        client.native_pay(**{**ORDER, "description": "tea \U0001f375"})
    with pytest.raises(TypeError, match="more="):
        client.native_pay(**{**ORDER, "atach": "typo"})
    for wrong in (
        {"out_trade_no": "short"},
        {"out_trade_no": "with space"},
        {"description": ""},
        {"notify_url": "https://shop.test/n?a=1"},
        {"notify_url": "/n"},
    ):
        with pytest.raises(InvalidInput):
            client.native_pay(**{**ORDER, **wrong})
    for path in ("v3/x", "/v3/x?a=1", "/v3/x y"):
        with pytest.raises(InvalidInput):
            client.call("GET", path)
    for name in ("query", "refund", "profit_return", "transfer_query", "batch_query"):
        with pytest.raises(InvalidInput):
            getattr(client, name)(
                **{
                    key: value
                    for key, value in EXCHANGES[name][2].items()
                    if key not in ("out_trade_no", "out_order_no", "out_bill_no", "out_batch_no")
                }
            )
    assert wechat.calls == []


# --- how answers are judged ----------------------------------------------------------------------------------------


def test_the_status_wins_over_the_body(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    wechat.script = [
        {"code": "FAIL", "message": "words"},
        answered(204),
        answered(400, {"code": "SUCCESS"}),
        answered(202, {"trade_state": "USERPAYING"}),
        answered(202, {"code": "USERPAYING", "message": "words"}),
    ]
    assert client.call("POST", "/v3/x", {}) == {"code": "FAIL", "message": "words"}
    assert client.call("POST", "/v3/x", {}) == {}
    with pytest.raises(WechatPayOutcomeUnknown):
        client.call("POST", "/v3/x", {})
    assert client.call("POST", "/v3/x", {}) == {"trade_state": "USERPAYING"}
    with pytest.raises(WechatPayOutcomeUnknown) as waiting:
        client.call("POST", "/v3/x", {})
    assert waiting.value.code == "buyer_paying"


def test_an_error_carries_what_support_asks_for(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    detail = {"location": "body", "value": 0}
    wechat.script = [failed("PARAM_ERROR", message="值低于最小值 1", detail=detail)]
    with pytest.raises(WechatPayDeclined) as caught:
        client.native_pay(**ORDER)
    error = caught.value
    assert (error.http_status, error.channel_code, error.channel_message) == (400, "PARAM_ERROR", "值低于最小值 1")
    assert (error.channel_request_id, error.signed, error.detail) == ("08F7-0", True, detail)
    assert (error.code, error.next_step, error.outcome) == (
        "channel_request_invalid",
        NextStep.FIX,
        Outcome.NOT_EXECUTED,
    )
    assert "PARAM_ERROR" in str(error)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (failed("SIGN_ERROR", 401, signed=False), WechatPayUnavailable),
        (unsigned(404), WechatPayUnavailable),
        (unsigned(405), WechatPayUnavailable),
        (unsigned(429), WechatPayUnavailable),
        (failed("FREQUENCY_LIMITED", 429, signed=False), WechatPayUnavailable),
        (failed("ORDER_CLOSED", signed=False), WechatPayOutcomeUnknown),
        (failed("ORDER_CLOSED"), WechatPayDeclined),
        (failed("SYSTEM_ERROR", 500), WechatPayOutcomeUnknown),
        (failed("NEVER_HEARD_OF", 400), WechatPayOutcomeUnknown),
        (unsigned(500), WechatPayOutcomeUnknown),
        (unsigned(502, b"<html>"), WechatPayOutcomeUnknown),
        (unsigned(400, b"[]"), WechatPayOutcomeUnknown),
        (unsigned(400, b"[" * 100_000), WechatPayOutcomeUnknown),
    ],
)
def test_what_is_certain_after_an_error(
    client: WechatPayClient, wechat: ScriptedWechat, answer: Any, kind: type[WechatPayError]
) -> None:
    wechat.script = [answer]
    with pytest.raises(kind):
        client.native_pay(**ORDER)


@pytest.mark.parametrize(
    "answer",
    [
        unsigned(200, b'{"code_url":"weixin://forged"}'),
        answered(200, {"code_url": "weixin://forged"}, shift=-300),
        answered(200, {"code_url": "weixin://forged"}, shift=301),
        lambda script: Reply(200, {**script.headers(b"{}"), "wechatpay-nonce": ""}, b"{}"),
        lambda script: Reply(200, script.headers(b"{}"), b'{"code_url":"weixin://forged"}'),
        lambda script: Reply(200, {**script.headers(b"{}"), "wechatpay-signature": "WECHATPAY/SIGNTEST/AAAA"}, b"{}"),
        lambda script: Reply(
            200, {**script.headers(b"{}"), "wechatpay-signature-type": "WECHATPAY2-SM2-WITH-SM3"}, b"{}"
        ),
        lambda script: Reply(200, {**script.headers(b"{}"), "wechatpay-timestamp": "１"}, b"{}"),
        lambda script: script.reply(200, b"<html>"),
        lambda script: script.reply(200, b"[" * 100_000),
        lambda script: script.reply(400, b'{"code":"ORDER_CLOSED"}', key=script.keys.public),
    ],
)
def test_what_cannot_be_verified(client: WechatPayClient, wechat: ScriptedWechat, answer: Any) -> None:
    """A read is not trusted; for a write it stays unknown whether it was executed."""
    client.load_certificates()
    wechat.script = [answer, answer]
    with pytest.raises(MessageNotTrusted):
        client.query(out_trade_no="ORDER1")
    with pytest.raises(OutcomeUnknown):
        client.native_pay(**ORDER)


def test_a_genuine_answer_to_another_question(client: WechatPayClient, wechat: ScriptedWechat) -> None:
    wechat.script = [TRANSACTION, TRANSACTION, {"out_refund_no": "R2"}, {"out_refund_no": "R2"}]
    with pytest.raises(MessageNotTrusted, match="another out_trade_no"):
        client.query(out_trade_no="ORDER1")
    with pytest.raises(MessageNotTrusted, match="another transaction_id"):
        client.query(transaction_id="4200")
    with pytest.raises(MessageNotTrusted, match="another out_refund_no"):
        client.refund_query(out_refund_no="R1")
    with pytest.raises(OutcomeUnknown, match="another out_refund_no"):
        client.refund(out_refund_no="R1", out_trade_no="ORDER1", refund_amount=1, total_amount=1)


@pytest.mark.parametrize("error", [ChannelUnavailable("refused"), OutcomeUnknown("broken")])
def test_the_transport_s_errors_pass(client: WechatPayClient, wechat: ScriptedWechat, error: Exception) -> None:
    wechat.script = [error]
    with pytest.raises(type(error)):
        client.native_pay(**ORDER)


# --- bills ---------------------------------------------------------------------------------------------------------

BILL = "交易时间,公众账号ID\n".encode()


def located(data: bytes = BILL, **fields: str) -> dict[str, str]:
    digest = hashlib.sha1(data).hexdigest()
    url = f"{GATEWAY_URL}/v3/billdownload/file?token=abc%2B"
    return {"hash_type": "SHA1", "hash_value": digest, "download_url": url, **fields}


@pytest.mark.parametrize("packed", [True, False])
def test_a_bill_is_fetched_and_its_hash_checked(client: WechatPayClient, wechat: ScriptedWechat, packed: bool) -> None:
    data = gzip.compress(BILL) if packed else BILL
    wechat.script = [located(), unsigned(200, data), located(), unsigned(200, data)]
    assert client.download_bill(bill_date="2026-01-01") == BILL
    assert client.download_fund_flow(bill_date="2026-01-01", account_type="FEES") == BILL
    assert wechat.calls[0].target.endswith("tar_type=GZIP")
    assert wechat.calls[1].target == "/v3/billdownload/file?token=abc%2B"


@pytest.mark.parametrize(
    ("told", "answer", "kind"),
    [
        (located(b"other"), unsigned(200, BILL), MessageNotTrusted),
        (located(hash_type="MD5"), unsigned(200, BILL), MessageNotTrusted),
        (located(), unsigned(200, gzip.compress(BILL)[:-9]), ChannelUnavailable),
        (located(), unsigned(200, b"\x1f\x8bnonsense"), ChannelUnavailable),
        (located(), unsigned(400, b"{}"), ChannelUnavailable),
    ],
)
def test_a_bill_that_is_not_the_one(
    client: WechatPayClient, wechat: ScriptedWechat, told: dict[str, str], answer: Any, kind: type[Exception]
) -> None:
    wechat.script = [told, answer]
    with pytest.raises(kind):
        client.download_bill(bill_date="2026-01-01")


# --- keys and settings -----------------------------------------------------------------------------------------------


def test_every_form_of_a_key(settings_of: dict[str, Any], keys: Keys, tmp_path: Path) -> None:
    key = RsaPrivateKey(keys.merchant)
    path = tmp_path / "apiclient_key.pem"
    path.write_text(key.pem_pkcs8())
    for source in (
        key.pem_pkcs1(),
        key.pem_pkcs8().replace("\n", "\r\n"),
        key.bare_pkcs8(),
        key.pem_pkcs8().encode(),
        path,
        str(path),
    ):
        client = WechatPayClient(**{**settings_of, "merchant_private_key": source})
        assert isinstance(client.account.private_key, RsaPrivateKey)
    public = RsaPrivateKey(keys.public).public()
    for theirs in (public.pem(), public.bare(), public.pem().encode()):
        client = WechatPayClient(**settings_of, public_key_id=PUBLIC_KEY_ID, public_key=theirs)
        assert client.account.keys.public_key is not None


def test_the_serial_is_read_from_the_certificate(settings_of: dict[str, Any], keys: Keys) -> None:
    own = certificate(keys.merchant, int(MERCHANT_SERIAL, 16)).public_bytes(Encoding.PEM)
    del settings_of["merchant_serial"]
    assert WechatPayClient(**settings_of, merchant_cert=own).account.serial == MERCHANT_SERIAL
    other = certificate(new_key(), 7).public_bytes(Encoding.PEM)
    with pytest.raises(InvalidInput) as caught:
        WechatPayClient(**settings_of, merchant_cert=other)
    assert caught.value.param == "merchant_cert"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"mchid": "wx1"}, "mchid"),
        ({"appid": "a b"}, "appid"),
        ({"merchant_private_key": "nonsense"}, "merchant_private_key"),
        ({"merchant_serial": ""}, "merchant_serial"),
        ({"merchant_serial": "xyz"}, "merchant_serial"),
        ({"apiv3_key": "short"}, "apiv3_key"),
        ({"gateway_url": "ftp://x"}, "gateway_url"),
        ({"public_key_id": PUBLIC_KEY_ID}, "public_key"),
        ({"public_key": "nonsense", "public_key_id": PUBLIC_KEY_ID}, "public_key"),
        ({"public_key": "nonsense", "public_key_id": "5157"}, "public_key_id"),
        ({"platform_certs": "nonsense"}, "platform_certs"),
        ({"platform_root": "nonsense"}, "platform_root"),
        ({"sub_mchid": "x"}, "sub_mchid"),
    ],
)
def test_settings_that_cannot_be(settings_of: dict[str, Any], change: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        WechatPayClient(**{**settings_of, **change})
    assert caught.value.param == param


def test_our_own_public_key_in_place_of_theirs(settings_of: dict[str, Any], keys: Keys) -> None:
    own = RsaPrivateKey(keys.merchant).public().pem()
    with pytest.raises(InvalidInput, match="your own"):
        WechatPayClient(**settings_of, public_key_id=PUBLIC_KEY_ID, public_key=own)
    small = RsaPrivateKey.generate(1024).pem_pkcs8()
    with pytest.raises(InvalidInput, match="2048"):
        WechatPayClient(**{**settings_of, "merchant_private_key": small})


def test_without_an_app(settings_of: dict[str, Any], wechat: ScriptedWechat) -> None:
    del settings_of["appid"]
    client = WechatPayClient(**settings_of, transport=wechat)
    with pytest.raises(InvalidInput, match="appid"):
        client.native_pay(**ORDER)
    wechat.script = [{}]
    client.native_pay(**ORDER, appid="wxother")
    assert wechat.calls[0].body["appid"] == "wxother"


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_no_secret_is_printed(
    settings_of: dict[str, Any],
    wechat: ScriptedWechat,
    turned: TurnedClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    client = WechatPayClient(**settings_of, transport=wechat)
    key = settings_of["merchant_private_key"]
    secrets = [APIV3_KEY, key, *[line for line in key.splitlines() if len(line) > 40]]
    said = [repr(client), repr(client.account), str(client.account), repr(client.account.private_key)]
    wechat.script = [failed("SIGN_ERROR", 401, signed=False), unsigned(502), OutcomeUnknown("broken"), {}]
    for _ in range(4):
        try:
            client.native_pay(**ORDER)
        except Exception as error:
            said += [str(error), repr(error), repr(error.__dict__)]
    for change in ({"apiv3_key": APIV3_KEY + "x"}, {"merchant_private_key": key[:-200]}):
        with pytest.raises(InvalidInput) as caught:
            WechatPayClient(**{**settings_of, **change})
        said += [str(caught.value), repr(caught.value)]
    said.append(caplog.text)
    assert not [secret for secret in secrets for text in said if secret in text]


async def test_an_async_client_closes_only_its_own_transport(
    settings_of: dict[str, Any], wechat: ScriptedWechat
) -> None:
    async with AsyncWechatPayClient(**settings_of, transport=AsyncScript(wechat)) as client:
        wechat.script = [{}]
        await client.native_pay(**ORDER)
    async with AsyncWechatPayClient(**{**settings_of, "gateway_url": "http://127.0.0.1:9"}) as real:
        with pytest.raises(ChannelUnavailable):
            await real.native_pay(**ORDER)
    with (
        WechatPayClient(**{**settings_of, "gateway_url": "http://127.0.0.1:9"}) as blocking,
        pytest.raises(ChannelUnavailable),
    ):
        blocking.native_pay(**ORDER)


def test_text_of_is_sorted() -> None:
    assert text_of({"b": 1, "a": "茶"}) == '{"a":"茶","b":1}'.encode()
