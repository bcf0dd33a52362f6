"""The sandbox as a process: found by its command line, paid by the buyer's hand, killed and still knowing all."""

import base64
import http.client
import json
import signal
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.simulators.served import ListeningShop, Served, served
from tongbao.crypto import RsaPrivateKey
from tongbao.transport import HttpcoreTransport, Request

TIMESTAMP = "2026-05-01 20:00:00"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("sandbox")) as made:
        yield made


@pytest.fixture
def shop() -> Iterator[ListeningShop]:
    made = ListeningShop()
    yield made
    made.close()


def signed(account: Any, method: str, biz: dict[str, str], **more: str) -> str:
    params = {"app_id": account["app_id"], "method": method, "charset": "utf-8", "sign_type": "RSA2"}
    params |= {"timestamp": TIMESTAMP, "version": "1.0", "biz_content": json.dumps(biz), **more}
    text = "&".join(f"{name}={params[name]}" for name in sorted(params))
    key = RsaPrivateKey.load(account["app_private_key_pkcs1_pem"])
    return urlencode({**params, "sign": base64.b64encode(key.sign(text.encode())).decode()})


def page_url(served_: Served, shop: ListeningShop, reference: str) -> str:
    account = served_.accounts()["alipay"]
    biz = {
        "out_trade_no": reference,
        "total_amount": "12.50",
        "subject": "tea",
        "product_code": "FAST_INSTANT_TRADE_PAY",
    }
    more = {"notify_url": f"{shop.url}/notify", "return_url": f"{shop.url}/back"}
    return f"{account['gateway_url']}?{signed(account, 'alipay.trade.page.pay', biz, **more)}"


def ask(served_: Served, method: str, biz: dict[str, str], **headers: str) -> Any:
    account = served_.accounts()["alipay"]
    with HttpcoreTransport() as transport:
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = transport.send(Request("GET", f"{account['gateway_url']}?{signed(account, method, biz)}", shown))
    return json.loads(reply.body)[method.replace(".", "_") + "_response"]


def qr(served_: Served, shop: ListeningShop, reference: str) -> str:
    account = served_.accounts()["alipay"]
    biz = {"out_trade_no": reference, "total_amount": "3.00", "subject": "tea"}
    query = signed(account, "alipay.trade.precreate", biz, notify_url=f"{shop.url}/notify")
    with HttpcoreTransport() as transport:
        reply = transport.send(Request("POST", f"{account['gateway_url']}?{query}"))
    return str(json.loads(reply.body)["alipay_trade_precreate_response"]["qr_code"])


def test_a_redirect_url_is_paid_by_hand(sandbox: Served, shop: ListeningShop) -> None:
    done = sandbox.run("pay", page_url(sandbox, shop, "H1"), "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "paid"
    assert shop.visited[0].startswith("/back?"), "the buyer comes back to the merchant"
    (told,) = shop.heard(1)
    assert (told["out_trade_no"], told["trade_status"]) == ("H1", "TRADE_SUCCESS")


def test_a_self_posting_form_and_a_code(sandbox: Served, shop: ListeningShop) -> None:
    url = page_url(sandbox, shop, "H2")
    fields = dict(part.split("=", 1) for part in urlsplit(url).query.split("&"))
    from urllib.parse import unquote_plus

    content = unquote_plus(fields.pop("biz_content")).replace('"', "&quot;")
    action = f"{url.partition('?')[0]}?{'&'.join(f'{name}={value}' for name, value in fields.items())}"
    form = f'<form name="punchout_form" method="post" action="{action.replace("&", "&amp;")}">'
    form += f'<input type="hidden" name="biz_content" value="{content}"><input type="submit">'
    shop.pages["/start"] = (200, {}, f"{form}</form><script>document.forms[0].submit();</script>".encode())
    assert sandbox.run("pay", f"{shop.url}/start").returncode == 0
    code = qr(sandbox, shop, "H3")
    assert sandbox.run("pay", code).returncode == 0
    again = sandbox.run("pay", code)
    assert again.returncode == 1
    assert "ACQ.TRADE_HAS_SUCCESS" in again.stderr


def test_a_checkout_page_with_methods(sandbox: Served, shop: ListeningShop) -> None:
    button = '<form method="post" action="/checkout/pay_1/attempts?cs=x"><button name="method" value="{0}"></form>'
    choices = "".join(button.format(method) for method in ("alipay_page", "alipay_qr"))
    shop.pages["/checkout/pay_1?cs=x"] = (200, {}, f"<title>Checkout</title>{choices}".encode())
    bare = sandbox.run("pay", f"{shop.url}/checkout/pay_1?cs=x")
    assert (bare.returncode, "alipay_page, alipay_qr" in bare.stderr) == (1, True)

    chosen = "POST /checkout/pay_1/attempts?cs=x"
    shop.pages[chosen] = (303, {"location": page_url(sandbox, shop, "H4")}, b"")
    assert sandbox.run("pay", f"{shop.url}/checkout/pay_1?cs=x", "--method", "alipay_page").returncode == 0

    shop.pages[chosen] = (303, {"location": "/checkout/pay_1/qr?cs=x"}, b"")
    shown = f'{choices}<div data-qr-content="{qr(sandbox, shop, "H5")}"></div>'.encode()
    shop.pages["/checkout/pay_1/qr?cs=x"] = (200, {}, shown)
    done = sandbox.run("pay", f"{shop.url}/checkout/pay_1?cs=x", "--method", "alipay_qr")
    assert done.returncode == 0, done.stderr
    missing = sandbox.run("pay", f"{shop.url}/checkout/pay_1?cs=x", "--method", "wechat_qr")
    assert (missing.returncode, "no method wechat_qr" in missing.stderr) == (1, True)


@pytest.mark.parametrize(("flag", "reason"), [("--decline", "declined"), ("--abandon", "walked away")])
def test_a_buyer_who_does_not_pay(sandbox: Served, shop: ListeningShop, flag: str, reason: str) -> None:
    done = sandbox.run("pay", page_url(sandbox, shop, f"N{flag.strip('-')}"), flag)
    assert (done.returncode, reason in done.stderr) == (1, True)
    assert not shop.received


def test_reasons_on_stderr(sandbox: Served, shop: ListeningShop) -> None:
    for what, reason in (
        (f"{shop.url}/elsewhere", "no cashier"),
        ("http://127.0.0.1:9/", "could not be reached"),
        ("gibberish", "neither"),
    ):
        done = sandbox.run("pay", what)
        assert (done.returncode, reason in done.stderr) == (1, True), done.stderr


def test_a_notification_leaves_at_once(sandbox: Served, shop: ListeningShop) -> None:
    code = qr(sandbox, shop, "Q1")
    with HttpcoreTransport() as transport:
        body = json.dumps({"content": code}).encode()
        started = time.monotonic()
        transport.send(Request("POST", f"{sandbox.url}/_sandbox/scan", {"content-type": "application/json"}, body))
        shop.heard(1)
    assert time.monotonic() - started < 0.5


def test_lost_answers_have_no_byte(sandbox: Served, shop: ListeningShop) -> None:
    account = sandbox.accounts()["alipay"]
    where = urlsplit(account["gateway_url"])
    for fault in ("unreachable", "reply_lost", "reply_never"):
        query = signed(account, "alipay.trade.query", {"out_trade_no": "X"})
        connection = http.client.HTTPConnection(where.netloc, timeout=0.5)
        connection.request("GET", f"{where.path}?{query}", headers={"x-sandbox-fault": fault})
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError, TimeoutError)):
            connection.getresponse()
        connection.close()
    assert "Traceback" not in sandbox.log()


def test_killed_it_still_knows(sandbox: Served, shop: ListeningShop) -> None:
    before = sandbox.accounts()["alipay"]
    code = qr(sandbox, shop, "K1")
    waiting = qr(sandbox, shop, "K2")
    shop.answer = b"not now"
    sandbox.run("pay", code)
    shop.heard(1)
    sandbox.run("clock", "advance", "60")
    sandbox.run("faults", "set", "call_limited", "--merchant", "nobody", "--calls", "0")
    sandbox.kill()
    dead = sandbox.run("clock", "show")
    assert (dead.returncode, "does not answer" in dead.stderr) == (1, True)

    sandbox.start()
    after = sandbox.accounts()["alipay"]
    old_url = before.pop("gateway_url").partition("/alipay")[0]
    new_url = after.pop("gateway_url").partition("/alipay")[0]
    assert {**before, "buyers": []} == json.loads(json.dumps({**after, "buyers": []}).replace(new_url, old_url))
    assert ask(sandbox, "alipay.trade.query", {"out_trade_no": "K1"})["trade_status"] == "TRADE_SUCCESS"
    assert json.loads(sandbox.run("clock", "show", "--format", "json").stdout)["offset_seconds"] == 60
    assert "nobody" in sandbox.run("faults", "list").stdout
    assert sandbox.run("pay", waiting).returncode == 0, "a code from before is still good"
    shop.answer = b"success"
    sandbox.run("clock", "advance", "300")
    told = shop.heard(3)
    assert sorted(one["out_trade_no"] for one in told)[:2] == ["K1", "K1"], "its notification is tried again"
    sandbox.run("faults", "clear")


def test_stopped_it_withdraws(tmp_path: Any) -> None:
    with served(tmp_path) as made:
        keys = made.accounts()["alipay"]["alipay_public_key"]
        twin = made.run("--port", "0")
        assert (twin.returncode, "another sandbox" in twin.stderr) == (1, True)
        hanging = http.client.HTTPConnection(urlsplit(made.url).netloc, timeout=5)
        query = signed(made.accounts()["alipay"], "alipay.trade.query", {"out_trade_no": "X"})
        hanging.request("GET", f"/alipay/gateway.do?{query}", headers={"x-sandbox-fault": "reply_never"})
        made.kill(signal.SIGTERM)
        hanging.close()
        assert not (tmp_path / "sandbox.json").exists()
        gone = made.run("pay", quote("https://qr.alipay.com/x"))
        assert (gone.returncode, "no running sandbox" in gone.stderr) == (1, True)
        assert made.accounts()["alipay"]["alipay_public_key"] == keys, "accounts need no running sandbox"
