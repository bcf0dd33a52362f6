"""Which methods a page offers where it was opened: real user agents, all four channels."""

import pytest

from tests.simulated import START
from tongbao.domain.money import CNY, CURRENCIES, Money
from tongbao.ports import MethodCapability
from tongbao.services.accounts import Offer
from tongbao.web.surfaces import Surface, arrange, opened_elsewhere, surface_of, takes
from tongbao.web.texts import METHODS

METHOD_SURFACES = {
    "alipay_page": "desktop",
    "alipay_wap": "mobile wallet",
    "alipay_qr": "desktop qr",
    "alipay_barcode": "counter",
    "alipay_jsapi": "in_app",
    "wechat_native": "desktop qr",
    "wechat_h5": "mobile",
    "wechat_jsapi": "in_app",
    "unionpay_web": "desktop",
    "unionpay_wap": "mobile wallet",
    "unionpay_qr": "qr",
    "stripe_checkout": "desktop mobile",
}
CHANNEL = {"alipay": "alipay", "wechat": "wechatpay", "unionpay": "unionpay", "stripe": "stripe"}


def offer(method: str, surfaces: str) -> Offer:
    capability = MethodCapability(frozenset({"CNY"}), 1, 100_000, frozenset(surfaces.split()))
    return Offer(method, CHANNEL[method.split("_")[0]], "ca_1", capability, START)


OFFERS = [offer(method, surfaces) for method, surfaces in METHOD_SURFACES.items()]
DESK = "alipay_page alipay_qr wechat_native unionpay_web stripe_checkout unionpay_qr"
PHONE = "alipay_wap wechat_h5 unionpay_wap stripe_checkout alipay_qr wechat_native unionpay_qr"
ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15"
)

AGENTS = [
    ("Chrome on Windows", WINDOWS, Surface("desk"), DESK),
    ("Safari on a Mac", MAC, Surface("desk"), DESK),
    (
        "Firefox on Linux",
        "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
        Surface("desk"),
        DESK,
    ),
    ("Chrome on Android", f"{ANDROID} Mobile Safari/537.36", Surface("phone"), PHONE),
    ("Safari on an iPhone", f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1", Surface("phone"), PHONE),
    ("HarmonyOS", "Mozilla/5.0 (Phone; OpenHarmony 5.0) AppleWebKit/537.36 ArkWeb/4.1 Mobile", Surface("phone"), PHONE),
    ("iPad", f"{IPHONE.replace('iPhone', 'iPad', 1)} Version/17.5 Mobile/15E148 Safari/604.1", Surface("desk"), DESK),
    (
        "WeChat on Android",
        f"{ANDROID} Mobile Safari/537.36 MicroMessenger/8.0.49",
        Surface("phone", "wechatpay"),
        PHONE,
    ),
    (
        "WeChat on an iPhone",
        f"{IPHONE} Mobile/15E148 MicroMessenger/8.0.49",
        Surface("phone", "wechatpay"),
        PHONE,
    ),
    (
        "WeChat on Windows",
        f"{WINDOWS} MicroMessenger/7.0.20 WindowsWechat(0x63090a13)",
        Surface("desk", "wechatpay"),
        "wechat_native",
    ),
    (
        "Alipay on Android",
        f"{ANDROID} MobileSafari/537.36 AliApp(AP/10.6.0) AlipayClient/10.6.0",
        Surface("phone", "alipay"),
        "alipay_wap",
    ),
    (
        "UnionPay's app",
        f"{IPHONE} Mobile/15E148 (com.unionpay.chsp) (cordova 4.5.4) UnionPay/1.0 CloudPay",
        Surface("phone", "unionpay"),
        "unionpay_wap",
    ),
    ("curl", "curl/8.8.0", Surface("program"), f"{DESK} alipay_wap wechat_h5 unionpay_wap"),
    ("nothing", "", Surface("program"), f"{DESK} alipay_wap wechat_h5 unionpay_wap"),
]


@pytest.mark.parametrize(("agent", "surface", "methods"), [row[1:] for row in AGENTS], ids=[row[0] for row in AGENTS])
def test_what_is_offered_where(agent: str, surface: Surface, methods: str) -> None:
    assert surface_of(agent) == surface
    assert [offered.method for offered in arrange(OFFERS, surface)] == methods.split()
    works_nowhere_inside = surface == Surface("phone", "wechatpay")  # WeChat refuses H5 pages in its own browser
    assert opened_elsewhere(OFFERS, surface) == works_nowhere_inside


@pytest.mark.parametrize("wallet", ["wechatpay", "alipay", "unionpay"])
@pytest.mark.parametrize("channel", ["alipay", "wechatpay", "unionpay", "stripe"])
def test_a_wallet_without_a_method_of_its_own_shows_the_others_and_says_so(wallet: str, channel: str) -> None:
    offers = [one for one in OFFERS if one.channel == channel]
    surface = Surface("phone", wallet)
    assert {one.channel for one in arrange(offers, surface)} == {channel}
    assert opened_elsewhere(offers, surface) == (wallet != channel or wallet == "wechatpay")


def test_a_filter_never_leaves_an_empty_page() -> None:
    only_desk = [offer("alipay_page", "desktop")]
    assert arrange(only_desk, Surface("phone")) == only_desk
    assert arrange([offer("alipay_barcode", "counter")], Surface("desk")) == []


def test_bounds_and_currencies_are_respected() -> None:
    assert takes(OFFERS[0], Money(100_000, CNY))
    assert not takes(OFFERS[0], Money(100_001, CNY))
    assert not takes(OFFERS[0], Money(100, CURRENCIES["USD"]))


def test_each_method_of_a_page_has_words_for_buyers() -> None:
    pages = {
        method for method, surfaces in METHOD_SURFACES.items() if {"desktop", "mobile", "qr"} & set(surfaces.split())
    }
    assert pages <= METHODS.keys()
