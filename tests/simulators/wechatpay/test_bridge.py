"""A page that calls WeixinJSBridge, in a real browser with the app's user agent: to the cashier, paid, and back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.simulators.served import ListeningShop, served
from tests.simulators.wechatpay.merchant import Merchant
from tongbao.simulators.wechatpay.wire import encoded
from tongbao.transport import HttpcoreTransport, Request

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
APP = "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36 MicroMessenger/8.0.49"
PAGE = """<title>shop</title><button>Pay</button><script src="{sandbox}/_sandbox/static/wechat_bridge.js"></script>
<script>document.querySelector("button").onclick = () =>
  WeixinJSBridge.invoke("getBrandWCPayRequest", {params}, () => 0);</script>"""


def prepay(account: Any) -> dict[str, str]:
    """The parameters of a fresh JSAPI order."""
    import time

    from tests.simulated import SimClock

    merchant = Merchant(account, None, SimClock())  # type: ignore[arg-type]  # only its signature is used here
    body = encoded({**merchant.order(), "payer": {"openid": account["buyers"][0]["openid"]}})
    path, stamp = "/v3/pay/transactions/jsapi", str(int(time.time()))
    auth = merchant.authorization("POST", path, body, timestamp=stamp)
    headers = {"authorization": auth, "content-type": "application/json", "accept": "application/json"}
    with HttpcoreTransport() as transport:
        made = json.loads(transport.send(Request("POST", account["gateway_url"] + path, headers, body)).body)
    params = {
        "appId": merchant.appid,
        "timeStamp": stamp,
        "nonceStr": "abc",
        "package": f"prepay_id={made['prepay_id']}",
    }
    signed = merchant.sign("".join(f"{value}\n" for value in params.values()).encode())
    return {**params, "signType": "RSA", "paySign": signed}


@pytest.mark.browser
def test_the_bridge(tmp_path: Path) -> None:
    shop = ListeningShop()
    with served(tmp_path) as sandbox, sync_playwright() as playwright:
        page_text = PAGE.replace("{sandbox}", sandbox.url)
        page_text = page_text.replace("{params}", json.dumps(prepay(sandbox.accounts()["wechatpay"])))
        shop.pages["/order"] = (200, {}, page_text.encode())
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(user_agent=APP, viewport={"width": 390, "height": 844})
        page.goto(f"{shop.url}/order")
        page.get_by_role("button", name="Pay").click()
        page.wait_for_url(f"{sandbox.url}/wechatpay/jsapi?**")
        page.locator("button.primary").click()
        page.wait_for_url(f"{shop.url}/order?err_msg=get_brand_wcpay_request%3Aok")
        browser.close()
    shop.close()
