"""WeChat Pay with a real browser, from the shop to paid: a code on a desk, H5 on a phone, JSAPI inside WeChat.

WeChat's own browser is played by the sandbox: its script gives the page `WeixinJSBridge`, whose cashier checks the
signature of what the page hands over.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from tests.scenarios.browsing import (
    NOTIFIED_SECONDS_MAX,
    PHONE,
    Demo,
    browser,
    demo,
    desk,
    pay_at_the_cashier,
    phone,
    seconds_until_paid,
)

__all__ = ["browser", "demo", "desk", "phone"]
pytestmark = pytest.mark.browser
BUYERS = {"wechat_jsapi": ("wechatpay", "openid", "openid"), "alipay_jsapi": ("alipay", "user_id", "buyer_id")}
"""Who pays inside a wallet: the channel, the sandbox's word for the buyer, and the method's option."""
BRIDGE = (files("tongbao.simulators") / "static" / "wechat_bridge.js").read_text()


def inside(browser: Browser) -> BrowserContext:
    """WeChat's browser, as far as its name goes."""
    agent = f"{PHONE} MicroMessenger/8.0.49"
    return browser.new_context(
        locale="zh-CN", user_agent=agent, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )


@pytest.fixture
def wechat(browser: Browser, demo: Demo) -> Iterator[BrowserContext]:
    context = inside(browser)
    context.add_init_script(f'window.TONGBAO_SANDBOX = "{demo.sandbox}";\n{BRIDGE}')
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text))
    yield context
    context.close()
    assert not [words for words in said if "Content Security Policy" in words], "the pages break no policy of their own"


def order(demo: Demo, method: str = "wechat_jsapi", **more: Any) -> Any:
    """As a merchant makes it whose page inside WeChat knows the buyer's open id."""
    accounts = demo.call("GET", f"{demo.sandbox}/_sandbox/accounts")
    channel, theirs, ours = BUYERS[method]
    return demo.order(method=method, method_options={ours: accounts[channel]["buyers"][0][theirs]}, **more)


def test_a_code_on_a_desk(demo: Demo, desk: BrowserContext, phone: BrowserContext) -> None:
    page, hand = desk.new_page(), phone.new_page()
    page.goto(demo.shop)
    page.locator("#buy").click()
    page.wait_for_url(f"{demo.gateway}/checkout/**")
    page.locator("button[value=wechat_native]").click()
    code = page.locator("[data-qr-content] svg")
    expect(code).to_be_visible()
    box = code.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 200
    content = str(page.locator("[data-qr-content]").get_attribute("data-qr-content"))
    assert content.startswith("weixin://wxpay/bizpayurl")
    page.evaluate("window.stillTheSame = true")
    hand.goto(f"{demo.sandbox}/phone")
    hand.locator("input[name=content]").fill(content)
    hand.keyboard.press("Enter")
    hand.locator("button[value=pay]").click()
    assert seconds_until_paid(page, time.monotonic()) < NOTIFIED_SECONDS_MAX
    assert page.evaluate("window.stillTheSame"), "the page moved without a reload"
    payment = demo.payment(page.locator("dd.number").inner_text())
    assert (payment["status"], payment["method"]) == ("succeeded", "wechat_native")
    demo.receiver.event("payment.succeeded", payment["id"], demo.secret)


def test_on_a_phone_wechat_opens(demo: Demo, phone: BrowserContext) -> None:
    page, watching = phone.new_page(), phone.new_page()
    page.goto(demo.shop)
    page.locator("#buy").click()
    page.wait_for_url(f"{demo.gateway}/checkout/**")
    watching.goto(page.url)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    opened: list[Request] = []
    page.on("request", lambda request: opened.append(request) if "/cgi-bin/" in request.url else None)
    page.locator("button[value=wechat_h5]").click()
    page.wait_for_url(f"{demo.sandbox}/cgi-bin/**")
    told = opened[0].all_headers().get("referer")
    assert told == f"{demo.gateway}/", "WeChat wants to know the site, and is told nothing else"
    seconds = seconds_until_paid(watching, pay_at_the_cashier(page))
    assert seconds < NOTIFIED_SECONDS_MAX
    page.wait_for_url(f"{demo.gateway}/checkout/**")
    expect(page.locator("h1")).to_have_text("支付成功", timeout=5_000)


def test_inside_wechat_one_button_pays(demo: Demo, wechat: BrowserContext) -> None:
    payment = order(demo, return_url=f"{demo.shop}/return?order=J1")
    page, watching = wechat.new_page(), wechat.new_page()
    page.goto(payment["checkout_url"])
    watching.goto(payment["checkout_url"])
    expect(page.locator("main button")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    page.locator("button[data-bridge]").click()
    page.wait_for_url(f"{demo.sandbox}/wechatpay/jsapi?**")
    watching.evaluate("window.stillTheSame = true")
    seconds = seconds_until_paid(watching, pay_at_the_cashier(page))
    assert seconds < NOTIFIED_SECONDS_MAX
    assert watching.evaluate("window.stillTheSame"), "the page moved without a reload"
    assert demo.payment(payment["order_no"])["status"] == "succeeded"


@pytest.fixture
def calling(browser: Browser, demo: Demo) -> Iterator[Page]:
    """A page whose bridge comes late and answers the callback, as the app's does; `decide` says what the buyer does."""
    context = inside(browser)
    decisions: list[str] = ["decline", "pay"]

    def invoke(name: str, params: dict[str, str]) -> Any:
        assert name == "getBrandWCPayRequest"
        body = {"params": params, "action": decisions.pop(0)}
        return demo.call("POST", f"{demo.sandbox}/_sandbox/wechatpay/invoke", body)

    context.expose_function("sandboxInvoke", invoke)
    context.add_init_script("""
        setTimeout(() => {
          window.WeixinJSBridge = {
            invoke: (name, params, callback) => sandboxInvoke(name, params).then(callback),
          };
          document.dispatchEvent(new Event("WeixinJSBridgeReady"));
        }, 700);
    """)
    yield context.new_page()
    context.close()


def test_what_the_app_answers_is_told_and_only_the_channel_is_believed(demo: Demo, calling: Page) -> None:
    payment = order(demo)
    calling.goto(payment["checkout_url"], wait_until="domcontentloaded")
    button = calling.locator("button[data-bridge]")
    button.click()  # before the bridge is ready
    expect(calling.locator("[data-said=canceled]")).to_be_visible(timeout=5_000)
    assert demo.payment(payment["order_no"])["status"] == "pending"
    expect(button).to_be_enabled()
    button.click()
    assert seconds_until_paid(calling, time.monotonic()) < NOTIFIED_SECONDS_MAX


def test_in_another_browser_the_page_says_where_to_open_it(
    demo: Demo, desk: BrowserContext, phone: BrowserContext
) -> None:
    payment = order(demo)
    page, small = desk.new_page(), phone.new_page()
    page.goto(payment["checkout_url"])
    expect(page.locator(".notice")).to_contain_text("Please open this page in WeChat")
    expect(page.locator("main button[data-bridge]")).to_have_count(0)
    expect(page.locator(".code svg")).to_be_visible()
    small.goto(payment["checkout_url"])
    expect(small.locator(".notice")).to_contain_text("请在微信中打开本页")
    assert small.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"


@pytest.mark.parametrize("method", ["wechat_native", "wechat_h5", "wechat_jsapi", "alipay_jsapi"])
def test_the_command_pays_a_checkout_page(demo: Demo, method: str) -> None:
    is_in_app = method.endswith("_jsapi")
    payment = order(demo, method) if is_in_app else demo.order()
    chosen = [] if is_in_app else ["--method", method]
    command = [sys.executable, "-m", "tongbao", "sandbox", "pay", payment["checkout_url"], *chosen]
    done = subprocess.run(
        [*command, "--data-dir", str(demo.home)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "paid"), done.stderr
    event = demo.receiver.event("payment.succeeded", payment["id"], demo.secret)
    assert event["data"]["method"] == method
