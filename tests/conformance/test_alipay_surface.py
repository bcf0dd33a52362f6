"""Every method of Alipay's clients, blocking and awaited, against the simulator: in key mode, in GBK with encrypted
content, and with certificates. And any order at all: what the client signs the simulator accepts, one flipped bit not.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count, pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulated import SimClock
from tests.simulators.merchant import NOTIFY_URL, World
from tongbao.channels.alipay import AlipayClient, AsyncAlipayClient
from tongbao.channels.alipay.account import open_account
from tongbao.channels.alipay.statement import read_balance, read_summary, read_trades
from tongbao.channels.alipay.trades import precreate
from tongbao.ports import Reply, Request
from tongbao.simulators.alipay.request import read_params
from tongbao.transport import RawRequest

RETURN_URL = "http://shop.test/back"
METHODS = {name for name in vars(AsyncAlipayClient) if not name.startswith("_")} - {"run", "disconnect"}


def settings_of(world: World, mode: str) -> dict[str, Any]:
    account = world.account["cert"] if mode == "certificates" else world.account
    made = {"app_id": account["app_id"], "private_key": account["app_private_key_pkcs1_bare"], "clock": world.clock}
    made["gateway_url"] = account["gateway_url"]
    if mode == "certificates":
        return made | {name: account[f"{name}_pem"] for name in ("app_cert", "alipay_cert", "alipay_root_cert")}
    made["alipay_public_key"] = account["alipay_public_key"]
    return made | ({"charset": "GBK", "aes_key": account["aes_key"]} if mode == "GBK, encrypted" else {})


class Blocking:
    """The simulator behind a blocking transport, for a thread of its own."""

    def __init__(self, world: World) -> None:
        self.world = world

    def send(self, request: Request) -> Reply:
        return asyncio.run(self.world.net.send(request))


class Merchant:
    """Calls a client's methods by name, blocking or not, and remembers which."""

    def __init__(self, world: World, mode: str, blocking: bool) -> None:
        self.world = world
        self.called: set[str] = set()
        chosen = settings_of(world, mode)
        self.client: Any
        if blocking:
            self.client = AlipayClient(**chosen, transport=Blocking(world))
        else:
            self.client = AsyncAlipayClient(**chosen, transport=world.net)

    async def __call__(self, name: str, *args: Any, **fields: Any) -> Any:
        self.called.add(name)
        method = getattr(self.client, name)
        if isinstance(self.client, AlipayClient):
            return await asyncio.to_thread(method, *args, **fields)
        made = method(*args, **fields)
        return await made if asyncio.iscoroutine(made) else made

    async def heard(self) -> dict[str, str]:
        """The last notification, verified."""
        await self.world.sandbox.deliver_due()
        told: dict[str, str] = await self("verify_notification", self.world.shop.raw[-1])
        return told

    async def by_browser(self, url: str) -> str:
        """The buyer opens a page and agrees; the query that the browser comes back with."""
        opened = await self.world.browse("GET", url)
        done = await self.world.browse("POST", opened.headers["location"], {"action": "pay"})
        return urlsplit(done.headers["location"]).query

    def pays(self, content: str) -> None:
        channel, token = self.world.sandbox.find(content) or pytest.fail(f"not recognised: {content}")
        channel.pay(token, self.world.sandbox.buyer())


@pytest.fixture(params=["key", "GBK, encrypted", "certificates"])
def mode(request: Any) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["awaited", "blocking"])
def merchant(request: Any, mode: str, clock: SimClock) -> Any:
    world = World(clock)
    yield Merchant(world, mode, request.param)
    world.sandbox.close()


async def test_every_method(merchant: Merchant, mode: str) -> None:
    await pay_by_page_and_app(merchant)
    await pay_at_the_counter(merchant)
    await pay_in_a_mini_program(merchant)
    await refund_and_divide(merchant)
    await agree_and_withhold(merchant)
    await freeze_and_give_back(merchant)
    await read_statements(merchant)
    if mode == "certificates":
        await pay_out(merchant)
        assert merchant.called == METHODS, "every method was tried"


async def pay_by_page_and_app(merchant: Merchant) -> None:
    order = {"total_amount": Decimal("12.50"), "subject": "书 book", "notify_url": NOTIFY_URL}
    for name in ("page_pay", "wap_pay"):
        page = await merchant(name, out_trade_no=name, return_url=RETURN_URL, **order)
        back = await merchant("verify_return", await merchant.by_browser(page.url))
        assert (back["out_trade_no"], back["total_amount"]) == (name, "12.50")
    merchant.pays(await merchant("app_pay", out_trade_no="app_pay", **order))
    assert (await merchant.heard())["subject"] == "书 book"
    for name in ("page_pay", "wap_pay", "app_pay"):
        assert (await merchant("query", out_trade_no=name))["trade_status"] == "TRADE_SUCCESS"
        found = await merchant("call", "alipay.trade.query", {"out_trade_no": name})
        assert found["total_amount"] == "12.50"
        assert (await merchant("call_v3", "alipay.trade.query", {"out_trade_no": name}))["total_amount"] == "12.50"


async def pay_at_the_counter(merchant: Merchant) -> None:
    codes = {one["outcome"]: one["code"] for one in merchant.world.account["buyers"][0]["auth_codes"]}
    order = {"total_amount": 3, "subject": "茶"}
    paid = await merchant("pay", out_trade_no="C1", auth_code=codes["paid at once"], **order)
    assert (paid["code"], paid["total_amount"]) == ("10000", "3.00")
    code = codes["asks for the password; never given"]
    assert (await merchant("pay", out_trade_no="C2", auth_code=code, **order))["code"] == "10003"
    assert (await merchant("cancel", out_trade_no="C2"))["action"] == "close"
    assert (await merchant("cancel", out_trade_no="C1"))["action"] == "refund"


async def pay_in_a_mini_program(merchant: Merchant) -> None:
    buyer = merchant.world.account["buyers"][1]
    token = await merchant("oauth_token", code=buyer["oauth_code"])
    assert (await merchant("oauth_token", refresh_token=token["refresh_token"]))["user_id"] == buyer["user_id"]
    order = {"total_amount": "2.00", "subject": "茶", "buyer_id": token["user_id"]}
    made = await merchant("create", out_trade_no="M1", **order)
    assert (await merchant("close", trade_no=made["trade_no"]))["out_trade_no"] == "M1"


async def refund_and_divide(merchant: Merchant) -> None:
    made = await merchant("precreate", out_trade_no="Q1", total_amount="10.00", subject="茶", notify_url=NOTIFY_URL)
    merchant.pays(made["qr_code"])
    number = (await merchant.heard())["trade_no"]
    back = await merchant("refund", trade_no=number, refund_amount="1.25", out_request_no="R1")
    assert (back["fund_change"], back["refund_fee"]) == ("Y", "1.25")
    found = await merchant("refund_query", out_trade_no="Q1", out_request_no="R1")
    assert (found["refund_status"], found["refund_amount"]) == ("REFUND_SUCCESS", "1.25")
    receiver = {"type": "userId", "account": merchant.world.account["buyers"][1]["user_id"]}
    bound = {"out_request_no": "B1", "receiver_list": [receiver]}
    assert (await merchant("royalty_bind", **bound))["result_code"] == "SUCCESS"
    assert (await merchant("royalty_query", out_request_no="B2"))["receiver_list"] == [receiver]
    share = {"trans_in_type": "userId", "trans_in": receiver["account"], "amount": Decimal("4.00")}
    settled = await merchant("order_settle", out_request_no="S1", trade_no=number, royalty_parameters=[share])
    asked = await merchant("order_settle_query", settle_no=settled["settle_no"])
    assert [(one["amount"], one["state"]) for one in asked["royalty_detail_list"]] == [("4.00", "SUCCESS")]
    assert (await merchant("royalty_unbind", **bound))["result_code"] == "SUCCESS"


async def agree_and_withhold(merchant: Merchant) -> None:
    page = await merchant(
        "agreement_page_sign",
        personal_product_code="GENERAL_WITHHOLDING_P",
        sign_scene="INDUSTRY|DIGITAL_MEDIA",
        access_params={"channel": "QRCODE"},
        external_agreement_no="A1",
        notify_url=NOTIFY_URL,
        return_url=RETURN_URL,
    )
    back = await merchant("verify_return", await merchant.by_browser(page.url))
    told = await merchant.heard()
    assert (told["notify_type"], told["agreement_no"]) == ("dut_user_sign", back["agreement_no"])
    number = back["agreement_no"]
    assert (await merchant("agreement_query", agreement_no=number))["status"] == "NORMAL"
    order = {"out_trade_no": "W1", "total_amount": "5.00", "subject": "茶", "product_code": "GENERAL_WITHHOLDING"}
    assert (await merchant("pay", auth_code="", agreement_params={"agreement_no": number}, **order))["code"] == "10000"
    await merchant("agreement_unsign", agreement_no=number)
    assert (await merchant("agreement_query", agreement_no=number))["status"] == "STOP"


async def freeze_and_give_back(merchant: Merchant) -> None:
    buyer = merchant.world.account["buyers"][1]
    frozen = await merchant(
        "auth_freeze",
        out_order_no="F1",
        out_request_no="F1",
        amount="100.00",
        order_title="押金",
        auth_code=buyer["auth_codes"][0]["code"],
    )
    assert (frozen["status"], frozen["payer_user_id"]) == ("SUCCESS", buyer["user_id"])
    number = frozen["auth_no"]
    order = {"out_trade_no": "F2", "total_amount": "30.00", "subject": "茶", "product_code": "PRE_AUTH"}
    assert (await merchant("pay", auth_code="", auth_no=number, **order))["code"] == "10000"
    await merchant("auth_unfreeze", auth_no=number, out_request_no="F3", amount=70, remark="谢谢")
    left = await merchant("auth_query", auth_no=number, out_request_no="F3")
    assert (left["rest_amount"], left["total_pay_amount"], left["operation_type"]) == ("0.00", "30.00", "UNFREEZE")


async def read_statements(merchant: Merchant) -> None:
    """What the day's calls did stands in the statements, line by line, and its totals agree."""
    clock = merchant.world.clock
    day = (clock.now() + timedelta(hours=8)).date().isoformat()
    clock.advance(days=1)
    located = await merchant("bill_url", bill_date=day)
    assert "token=" in located["bill_download_url"]
    bill = await merchant("download_bill", bill_date=day)
    lines = list(read_trades(bill))
    found = {(line.kind.value, line.reference, line.refund_reference, str(line.amount.major())) for line in lines}
    assert found == {
        *(("payment", name, None, "12.50") for name in ("page_pay", "wap_pay", "app_pay")),
        ("payment", "C1", None, "3.00"),
        ("refund", "C1", "C1", "3.00"),
        ("payment", "Q1", None, "10.00"),
        ("refund", "Q1", "R1", "1.25"),
        ("payment", "W1", None, "5.00"),
        ("payment", "F2", None, "30.00"),
    }
    total = next(one for one in read_summary(bill) if one.store_id == "合计")
    assert (total.payments, total.refunds, total.net.minor) == (7, 2, 8550 - 425)
    moved = list(read_balance(await merchant("download_bill", bill_date=day, bill_type="signcustomer")))
    assert sum(line.income.minor - line.expense.minor for line in moved) == 8550 - 425 - 400
    assert len({line.entry_reference for line in moved}) == len(moved)
    for before, after in pairwise(moved):
        assert after.balance.minor - before.balance.minor == after.income.minor - after.expense.minor


async def pay_out(merchant: Merchant) -> None:
    payee = {"identity": merchant.world.account["buyers"][0]["user_id"], "identity_type": "ALIPAY_USER_ID"}
    sent = await merchant("transfer", out_biz_no="P1", trans_amount="1.00", payee_info=payee, order_title="红包")
    found = await merchant("transfer_query", order_id=sent["order_id"])
    assert (found["status"], found["trans_amount"]) == ("SUCCESS", "1.00")
    await merchant("load_certificate", merchant.world.account["cert"]["alipay_cert_sn"])


# --- any order at all ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world() -> Any:
    made = World(SimClock())
    yield made
    made.sandbox.close()


NUMBERS = count()
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="/=&"), min_size=1, max_size=40).filter(str.strip)
FLIPS = {
    "in the address": lambda one, place, bit: replace(one, query=flipped(one.query, place, bit)),
    "in the body": lambda one, place, bit: replace(one, body=flipped(one.body.decode(), place, bit).encode()),
}


def flipped(text: str, place: int, bit: int) -> str:
    at = place % len(text)
    return text[:at] + chr(ord(text[at]) ^ (1 << bit)) + text[at + 1 :]


@pytest.mark.parametrize("flip", FLIPS.values(), ids=list(FLIPS))
@pytest.mark.parametrize("mode", ["key", "GBK, encrypted", "certificates"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subject=TEXT, body=TEXT, minor=st.integers(1, 10**10), place=st.integers(0), bit=st.integers(0, 6))
def test_any_order_is_accepted_and_with_one_flipped_bit_refused(
    world: World,
    mode: str,
    flip: Callable[[RawRequest, int, int], RawRequest],
    subject: str,
    body: str,
    minor: int,
    place: int,
    bit: int,
) -> None:
    account = open_account(**settings_of(world, mode))
    amount = Decimal(minor).scaleb(-2)
    number = f"H{next(NUMBERS)}"
    request = next(precreate(account, out_trade_no=number, total_amount=amount, subject=subject, body=body))
    parts = urlsplit(request.url)
    raw = RawRequest(request.method, parts.path, parts.query, dict(request.headers), request.body)
    broken, gateway = flip(raw, place, bit), world.sandbox.alipay.gateway
    if not means_the_same(broken, raw):
        assert b'"code":"10000"' not in gateway.answer(broken).body
        assert not any(order.out_trade_no == number for order in world.sandbox.alipay.book.orders.values())
    answer = gateway.answer(raw)
    assert b'"sign":"' in answer.body
    (order,) = (one for one in world.sandbox.alipay.book.orders.values() if one.out_trade_no == number)
    assert (order.subject, order.body, order.amount_minor) == (subject, body, minor)


def means_the_same(one: RawRequest, other: RawRequest) -> bool:
    """A flipped bit may write the same thing in another way: the case of `%E8`, `+` for `%20`."""
    try:
        return read_params(one) == read_params(other)
    except Exception:  # whatever the simulator refuses to read
        return False
