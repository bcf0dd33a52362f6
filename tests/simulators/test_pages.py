"""The pages people look at, and the JSON that their scripts and the command line use."""

import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from tests.simulators.merchant import HOST, World, key_number
from tongbao.crypto import RsaPrivateKey
from tongbao.simulators.browser import Page
from tongbao.simulators.faults import Fault
from tongbao.simulators.texts import _TEXTS
from tongbao.transport import Reply, Request


async def pages(world: World, lang: str) -> dict[str, Reply]:
    """Every page once."""
    await world.paid("T1")
    await world.paid("T2", fault="notification_doubled")
    await world.sandbox.deliver_due()
    world.sandbox.bank.faults.set("reply_lost", method="alipay.trade.cancel", calls=None)
    content = await world.qr("T3")
    cashier = (await world.browse("GET", world.page_url())).headers["location"]
    wap = (await world.browse("GET", world.page_url("alipay.trade.wap.pay", out_trade_no="W1"))).headers["location"]
    offer = f"/phone/alipay/{world.token(content)}"
    found = {
        path: await world.browse("GET", path, cookie=f"sandbox_lang={lang}")
        for path in ("/", "/phone", offer, cashier, wap)
    }
    found["declined"] = await world.browse("POST", cashier, {"action": "decline"}, cookie=f"sandbox_lang={lang}")
    found["paid"] = await world.browse("POST", offer, {"action": "pay"}, cookie=f"sandbox_lang={lang}")
    found["lost"] = await world.browse("GET", "/phone/alipay/nothing", cookie=f"sandbox_lang={lang}")
    return found


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_pages_are_strict_and_speak_both_languages(world: World, lang: str) -> None:
    for name, reply in (await pages(world, lang)).items():
        assert reply.status == (404 if name == "lost" else 200), name
        html = reply.body.decode()
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"<[^>]+ (style|on\w+)=", html), name
        assert "<style" not in html
        assert all(' src="/' in script for script in re.findall(r"<script[^>]*>", html))
        assert "http://" not in re.sub(r"http://(shop|sandbox)\.test|xmlns=\"[^\"]*\"", "", html), name
        assert f'lang="{"zh-CN" if lang == "zh" else "en"}"' in html
        assert "SANDBOX" in html
        assert "沙箱" in html
        assert len(reply.body) < 120_000


async def test_the_language_follows_the_browser(world: World) -> None:
    assert "买家手机" in (await world.browse("GET", "/", accept_language="zh-CN,zh;q=0.9")).body.decode()
    assert "Buyer&#39;s phone" in (await world.browse("GET", "/", accept_language="de")).body.decode()
    chosen = await world.browse("GET", "/?lang=zh")
    assert "sandbox_lang=zh" in chosen.headers["set-cookie"]


def test_every_text_is_there_twice() -> None:
    assert all(english and chinese for english, chinese in _TEXTS.values())


async def test_what_a_merchant_writes_is_only_text(world: World) -> None:
    await world.qr("T1", **{"subject": "<script>alert(1)<\\script>", "body": '"><img src=x onerror=1>'})
    html = (await world.browse("GET", "/phone")).body.decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html


async def test_the_phone(world: World) -> None:
    content = await world.qr("T1", "88.88")
    listed = Page((await world.browse("GET", "/phone")).body.decode())
    assert ("code", content) in listed.forms[0].buttons
    poor = world.sandbox.bank.buyers.values()[2].user_id
    scanned = await world.browse("POST", "/phone", {"content": content, "buyer": poor})
    assert scanned.status == 303
    refused = await world.browse(
        "POST", scanned.headers["location"].partition("?")[0], {"action": "pay", "buyer": poor}
    )
    assert (refused.status, refused.headers["x-sandbox-outcome"]) == (409, "ACQ.BUYER_BALANCE_NOT_ENOUGH")
    other = await world.browse("POST", "/phone", {"content": content})
    assert (other.status, "ACQ.TRADE_BUYER_NOT_MATCH" in other.body.decode()) == (409, True)
    nonsense = await world.browse("POST", "/phone", {"content": "weixin://x"})
    assert nonsense.status == 404


async def api(world: World, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    content = json.dumps(body).encode() if body is not None else b""
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = await world.net.send(Request(method, f"http://{HOST}{path}", shown, content))
    return reply.status, json.loads(reply.body)


async def test_scanning_by_api(world: World) -> None:
    content = await world.qr("T1", "88.88")
    status, looked = await api(world, "POST", "/_sandbox/scan", {"content": content, "action": "look"})
    assert (status, looked["amount"], looked["state"]) == (200, "88.88", "open")
    assert (await world.query("T1"))["sub_code"] == "ACQ.TRADE_NOT_EXIST", "looking leaves no trace"
    status, done = await api(world, "POST", "/_sandbox/scan", {"content": content, "buyer": "meimei@sandbox.example"})
    assert (status, done["outcome"], done["state"]) == (200, "paid", "paid")
    status, refused = await api(world, "POST", "/_sandbox/scan", {"content": content})
    assert (status, refused["error"]) == (409, "ACQ.TRADE_BUYER_NOT_MATCH") or refused[
        "error"
    ] == "ACQ.TRADE_HAS_SUCCESS"
    assert (await api(world, "POST", "/_sandbox/scan", {"content": "x"}))[0] == 404
    assert (await api(world, "POST", "/_sandbox/scan", {"content": content, "action": "eat"}))[0] == 400
    assert (await api(world, "POST", "/_sandbox/scan", {"kontent": 1}))[0] == 400
    status, told = await api(world, "POST", "/_sandbox/scan", {"content": content, "buyer": "nobody"})
    assert (status, "13800138000" in told["error"]) == (400, True), "a name that nobody has is not somebody else's"


async def test_faults_by_api_and_by_page(world: World) -> None:
    status, told = await api(world, "GET", "/_sandbox/faults")
    assert (status, len(told["faults"]) >= 25) == (200, True)
    assert {one["fault"] for one in told["faults"]} == {fault.code for fault in Fault}
    status, rule = await api(world, "POST", "/_sandbox/faults", {"fault": "reply_lost", "calls": 3, "merchant": "m"})
    assert (status, rule["calls_left"], rule["merchant"]) == (201, 3, "m")
    wrong: list[Any] = [{"fault": "x"}, {"fault": "reply_lost", "calls": 0}, {"fault": "reply_lost", "cals": 1}, []]
    for bad in wrong:
        assert (await api(world, "POST", "/_sandbox/faults", bad))[0] == 400
    form = {"fault": "slow", "merchant": "", "method": "", "calls": "", "argument": "2.5"}
    assert (await world.browse("POST", "/panel/faults", form)).status == 303
    rules = world.sandbox.bank.faults.rules()
    assert (rules[1].calls_left, rules[1].argument) == (None, 2.5)
    assert (await world.browse("POST", "/panel/faults", {**form, "calls": "x"})).status == 400
    assert (await world.browse("POST", "/panel/faults/clear", {"id": rules[1].id})).status == 303
    assert (await api(world, "DELETE", "/_sandbox/faults"))[1] == {"cleared": 1}


async def test_the_clock_by_api_and_by_page(world: World) -> None:
    assert (await api(world, "POST", "/_sandbox/clock", {"advance_seconds": 3600, "compression": 60}))[0] == 200
    assert world.sandbox.bank.clock.now() - world.clock.now() == timedelta(hours=1)
    assert (await world.browse("POST", "/panel/clock", {"advance_seconds": "60"})).status == 303
    for bad in (
        {"advance_seconds": -1},
        {"compression": 0},
        {"compression": 3601},
        {"advance_seconds": 1e300},
        {"x": 1},
    ):
        assert (await api(world, "POST", "/_sandbox/clock", bad))[0] == 400, bad
    assert (await world.browse("POST", "/panel/clock", {"advance_seconds": "-5"})).status == 400
    assert world.sandbox.bank.clock.now() - world.clock.now() == timedelta(hours=1, minutes=1)


async def test_another_sites_page_turns_no_switch(world: World) -> None:
    content = await world.qr("T1")
    for path, form in (
        ("/panel/faults", {"fault": "reply_lost"}),
        ("/panel/faults/clear", {}),
        ("/panel/clock", {"advance_seconds": "60"}),
        ("/phone", {"content": content}),
        (f"/phone/alipay/{world.token(content)}", {"action": "pay"}),
    ):
        assert (await world.browse("POST", path, form, sec_fetch_site="cross-site")).status == 403, path
    for path in ("/_sandbox/faults", "/_sandbox/clock", "/_sandbox/scan"):
        assert (await api(world, "POST", path, {}, sec_fetch_site="cross-site"))[0] == 403
    assert not world.sandbox.bank.faults.rules()


async def test_lists_by_api(world: World) -> None:
    await world.paid("T1")
    await world.sandbox.deliver_due()
    _, trades = await api(world, "GET", "/_sandbox/trades")
    assert trades["trades"][0]["reference"] == "T1"
    _, sent = await api(world, "GET", "/_sandbox/notifications")
    assert (sent["notifications"][0]["state"], sent["notifications"][0]["tries"][0]["status"]) == ("delivered", 200)
    _, accounts = await api(world, "GET", "/_sandbox/accounts")
    assert accounts["alipay"]["app_id"] == world.account["app_id"]


async def test_an_application_brings_its_own_key(world: World) -> None:
    path, key = "/_sandbox/alipay/apps/9021000100000077", key_number(88)
    for order, reason in (
        ({"public_key": "nonsense"}, "public_key"),
        ({"public_key": RsaPrivateKey.generate(1024).public().pem()}, "2048"),
        ({"aes_key": "c2hvcnQ="}, "16 bytes"),
        ({"triggers": "never"}, "2026"),
        ({"private_key": "x"}, "private_key"),
    ):
        status, told = await api(world, "POST", path, order)
        assert (status, reason in told["error"]) == (400, True), told
    assert (await api(world, "POST", "/_sandbox/alipay/apps/me", {}))[0] == 400
    assert (await api(world, "POST", path, {}, sec_fetch_site="cross-site"))[0] == 403
    status, app = await api(world, "POST", path, {"public_key": key.public().pem(), "triggers": "all", "name": "茶"})
    assert (status, app["triggers"], app["seller_name"]) == (200, "all", "茶")
    world.account["app_id"], world.key = app["app_id"], key
    assert (await world.query("T1"))["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    _, listed = await api(world, "GET", "/_sandbox/alipay/apps")
    assert app["app_id"] in {one["app_id"] for one in listed["apps"]}


async def test_static_files(world: World) -> None:
    for name, kind in (("sandbox.css", "text/css"), ("sandbox.js", "text/javascript"), ("mark.svg", "image/svg")):
        reply = await world.browse("GET", f"/_sandbox/static/{name}")
        assert (reply.status, reply.headers["content-type"].startswith(kind)) == (200, True)
    for bad in ("../app.py", "%2e%2e/app.py", "nothing.css"):
        assert (await world.browse("GET", f"/_sandbox/static/{bad}")).status == 404


def test_a_page_is_read_as_a_browser_reads_it() -> None:
    page = Page(
        '<title> A &amp; B </title><form action="/x?a=1&amp;b=2" method="POST">'
        '<input type="hidden" name="h" value="1&quot;"><input type="checkbox" name="c" value="1">'
        '<select name="s"><option value="1"><option value="2" selected></select>'
        '<textarea name="t"></textarea><button name="go" value="on">Go</button></form><p data-qr-content="q"></p>'
    )
    (form,) = page.forms
    assert (form.action, form.method, form.fields) == ("/x?a=1&b=2", "POST", {"h": '1"', "s": "2"})
    assert (page.button("go", "on"), page.qr, page.title.strip()) == (form, "q", unescape("A &amp; B"))
    assert not page.posts_itself
