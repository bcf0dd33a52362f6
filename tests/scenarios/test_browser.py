"""A buyer with a real browser: from the shop's button to the checkout that says paid, while every notification comes
and while none does. `tongbao demo` serves it all in a process of its own."""

import time

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.scenarios.browsing import (
    BLOCKED_SECONDS_MAX,
    NOTIFIED_SECONDS_MAX,
    Demo,
    blocked,
    browser,
    demo,
    desk,
    pay_at_the_cashier,
    phone,
    seconds_until_paid,
)

__all__ = ["blocked", "browser", "demo", "desk", "phone"]
pytestmark = pytest.mark.browser


def test_from_the_shop_to_paid(demo: Demo, desk: BrowserContext) -> None:
    page, watching = desk.new_page(), desk.new_page()
    page.goto(demo.shop)
    page.locator("#buy").click()
    page.wait_for_url(f"{demo.gateway}/checkout/**")
    watching.goto(page.url)
    page.locator("button[value=alipay_page]").click()
    page.wait_for_url(f"{demo.sandbox}/alipay/**")
    expect(watching.locator("main.redirect")).to_be_visible(timeout=3_000)
    watching.evaluate("window.stillTheSame = true")
    seconds = seconds_until_paid(watching, pay_at_the_cashier(page))
    assert seconds < NOTIFIED_SECONDS_MAX
    assert watching.evaluate("window.stillTheSame"), "the page moved without a reload"
    assert watching.title().startswith("Paid")
    expect(watching.locator("#live")).to_have_text("Paid")
    order_no = watching.locator("dd.number").inner_text()
    payment = demo.payment(order_no)
    assert payment["status"] == "succeeded"
    event = demo.receiver.event("payment.succeeded", payment["id"], demo.secret)
    assert event["data"]["order_no"] == order_no
    watching.locator(".end a.button").click()
    expect(watching.locator("[data-order-status=succeeded]")).to_be_visible()
    watching.goto(f"{demo.shop}/webhooks")
    hook = watching.locator(f"[data-type='payment.succeeded'][data-order='{order_no}']")
    expect(hook).to_be_visible(timeout=5_000)


@pytest.mark.usefixtures("blocked")
def test_with_every_notification_blocked(demo: Demo, desk: BrowserContext) -> None:
    payment = demo.order()
    page, watching = desk.new_page(), desk.new_page()
    page.goto(payment["checkout_url"])
    watching.goto(payment["checkout_url"])
    page.locator("button[value=alipay_page]").click()
    page.wait_for_url(f"{demo.sandbox}/alipay/**")
    page.wait_for_timeout(4_000)  # past the quick questions: every 4 s now
    seconds = seconds_until_paid(watching, pay_at_the_cashier(page))
    assert seconds < BLOCKED_SECONDS_MAX
    demo.receiver.event("payment.succeeded", payment["id"], demo.secret)


@pytest.mark.usefixtures("blocked")
def test_without_a_stream_the_page_polls(demo: Demo, desk: BrowserContext) -> None:
    payment = demo.order(method="alipay_qr")
    page = desk.new_page()
    page.route("**/stream?*", lambda route: route.fulfill(status=200, content_type="text/plain", body="no stream"))
    page.goto(payment["checkout_url"])
    page.wait_for_timeout(300)
    demo.call("POST", f"{demo.sandbox}/_sandbox/scan", {"content": payment["next_action"]["content"]})
    assert seconds_until_paid(page, time.monotonic()) < BLOCKED_SECONDS_MAX


def test_a_code_is_paid_with_the_phone(demo: Demo, desk: BrowserContext, phone: BrowserContext) -> None:
    payment = demo.order()
    page, hand = desk.new_page(), phone.new_page()
    page.goto(payment["checkout_url"])
    page.locator("button[value=alipay_qr]").click()
    code = page.locator("[data-qr-content] svg")
    expect(code).to_be_visible()
    box = code.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) >= 200
    content = page.locator("[data-qr-content]").get_attribute("data-qr-content")
    hand.goto(f"{demo.sandbox}/phone")
    hand.locator("input[name=content]").fill(str(content))
    hand.keyboard.press("Enter")
    hand.locator("button[value=pay]").click()
    assert seconds_until_paid(page, time.monotonic()) < NOTIFIED_SECONDS_MAX


def test_without_javascript(demo: Demo, browser: Browser) -> None:
    payment = demo.order(return_url=f"{demo.shop}/return?order=B{demo.count + 1}")
    context = browser.new_context(java_script_enabled=False, locale="zh-CN")
    page = context.new_page()
    page.goto(payment["checkout_url"])
    page.locator("button[value=alipay_page]").click()
    page.wait_for_url(f"{demo.sandbox}/alipay/**")
    pay_at_the_cashier(page)
    page.wait_for_url(f"{demo.gateway}/checkout/**")
    expect(page.locator("h1")).to_have_text("支付成功", timeout=5_000)
    page.locator(f"a[href^='{demo.shop}/return']").click()
    expect(page.locator("[data-order-status=succeeded]")).to_be_visible(timeout=5_000)
    code = demo.order(method="alipay_qr")
    page.goto(code["checkout_url"])
    expect(page.locator("h1")).to_have_text("扫码付款")
    demo.call("POST", f"{demo.sandbox}/_sandbox/scan", {"content": code["next_action"]["content"]})
    expect(page.locator("h1")).to_have_text("支付成功", timeout=5_000)
    context.close()


def test_on_a_phone_alipay_opens(demo: Demo, phone: BrowserContext) -> None:
    payment = demo.order()
    page, watching = phone.new_page(), phone.new_page()
    for one in (page, watching):
        one.goto(payment["checkout_url"])
        assert one.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    page.locator("button[value=alipay_wap]").click()
    page.wait_for_url(f"{demo.sandbox}/alipay/wap/**")
    assert seconds_until_paid(watching, pay_at_the_cashier(page)) < NOTIFIED_SECONDS_MAX


def test_a_page_comes_back_from_being_offline(demo: Demo, desk: BrowserContext) -> None:
    payment = demo.order(method="alipay_qr")
    page = desk.new_page()
    page.goto(payment["checkout_url"])
    expect(page.locator("main.scan")).to_be_visible()
    desk.set_offline(True)
    demo.call("POST", f"{demo.sandbox}/_sandbox/scan", {"content": payment["next_action"]["content"]})
    page.wait_for_timeout(1_000)
    desk.set_offline(False)
    assert seconds_until_paid(page, time.monotonic()) < 3
