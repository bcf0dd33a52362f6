"""What the buyer's pages say, in English and Chinese; and which of the two a reader gets.

Rule: a text is looked up by key and language; one that is missing is a bug, so a test walks all of them.
"""

from collections.abc import Mapping

LANGUAGES: Mapping[str, int] = {"en": 0, "zh": 1}
TAGS: Mapping[str, str] = {"en": "en", "zh": "zh-CN"}

CHANNELS: Mapping[str, tuple[str, str]] = {
    "alipay": ("Alipay", "支付宝"),
    "wechatpay": ("WeChat Pay", "微信支付"),
    "unionpay": ("UnionPay", "云闪付"),
    "stripe": ("Card", "银行卡"),
}

APPS: Mapping[str, tuple[str, str]] = {
    "alipay": ("Alipay", "支付宝"),
    "wechatpay": ("WeChat", "微信"),
    "unionpay": ("UnionPay", "云闪付"),
}

METHODS: Mapping[str, tuple[str, str]] = {
    "alipay_page": ("Log in to Alipay on this computer", "在本机登录支付宝付款"),
    "alipay_wap": ("Open Alipay", "打开支付宝付款"),
    "alipay_qr": ("Scan a code with the Alipay app", "用支付宝扫码付款"),
    "wechat_native": ("Scan a code with WeChat", "用微信扫码付款"),
    "wechat_h5": ("Open WeChat", "打开微信付款"),
    "unionpay_web": ("Pay on UnionPay's page", "在银联页面付款"),
    "unionpay_wap": ("Open UnionPay", "打开云闪付付款"),
    "unionpay_qr": ("Scan a code with the UnionPay app", "用云闪付扫码付款"),
    "stripe_card": ("Credit or debit card", "信用卡或借记卡"),
    "stripe_checkout": ("Credit or debit card, on Stripe's page", "信用卡或借记卡，在 Stripe 页面付款"),
    "stripe_alipay": ("Alipay, through Stripe", "支付宝（经 Stripe）"),
    "stripe_wechat_pay": ("WeChat Pay, through Stripe", "微信支付（经 Stripe）"),
}

TEXTS: Mapping[str, tuple[str, str]] = {
    "other_language": ("中文", "English"),
    "test_mode": ("Test mode: no real money moves", "测试模式：不会产生真实扣款"),
    "pay_to": ("Pay to", "收款方"),
    "subject": ("For", "商品"),
    "order_no": ("Order", "订单号"),
    "time_left": ("Time left", "剩余时间"),
    "powered": ("Payment page by Tongbao 通宝", "由 Tongbao 通宝 提供支付页面"),
    "title_choose": ("Choose how to pay", "选择支付方式"),
    "title_failed": ("That did not work", "付款未成功"),
    "title_scan": ("Scan to pay", "扫码付款"),
    "title_redirect": ("Waiting for your payment", "等待您完成付款"),
    "title_in_app": ("Confirm your payment", "确认付款"),
    "title_processing": ("One moment", "请稍候"),
    "title_succeeded": ("Paid", "支付成功"),
    "title_expired": ("Time is over", "订单已超时"),
    "title_canceled": ("Canceled", "订单已取消"),
    "title_canceling": ("Being canceled", "订单正在取消"),
    "title_closed": ("Closed", "订单已关闭"),
    "text_failed": (
        "Nothing was charged. Please try again, or choose another way.",
        "没有扣款。请重试，或选择其他支付方式。",
    ),
    "text_scan": ("Open {app} on your phone and scan this code.", "请打开手机{app}，扫描下方二维码。"),
    "text_redirect": (
        "Please pay on the page of {app} that opened. This page changes by itself as soon as the money is in.",
        "请在打开的{app}页面完成付款。到账后本页会自动更新。",
    ),
    "title_in_app_elsewhere": ("Open this page in {app}", "请在{app}中打开"),
    "text_in_app": ("Press the button: {app} opens over this page.", "点击下方按钮，在{app}中完成付款。"),
    "text_in_app_elsewhere": (
        "This payment can be made inside {app} only. Please open this page in {app}.",
        "这笔付款只能在{app}内完成，请在{app}中打开本页。",
    ),
    "text_in_app_scan": (
        "Scan this code with {app} on your phone: it opens this page there.",
        "用手机{app}扫描下方二维码，即可在{app}中打开本页。",
    ),
    "page_code": ("QR code of this page", "本页二维码"),
    "pay_in_app": ("Pay with {channel}", "使用{channel}付款"),
    "said_canceled": ("Nothing is paid yet. Press the button to try again.", "尚未付款，可再次点击按钮付款。"),
    "said_failed": (
        "{app} did not open the payment, and nothing is paid. Please press the button again, or go back to the shop.",
        "{app}未能打开付款，尚未扣款。请再次点击按钮，或返回商家重新下单。",
    ),
    "script_wanted": ("This payment needs JavaScript.", "此付款需要启用 JavaScript。"),
    "text_processing": (
        "We are asking {app} about your payment. Please do not pay again; this page changes by itself.",
        "正在向{app}确认付款结果，请勿重复付款，本页会自动更新。",
    ),
    "text_succeeded": ("{merchant} has received your payment.", "{merchant} 已收到您的付款。"),
    "text_expired": (
        "This order can no longer be paid. If you have paid just now, the money is found: it counts, or goes back to "
        "you by itself.",
        "该订单已无法付款。如果您刚刚已付款，款项不会丢失：会计入订单或自动原路退回。",
    ),
    "text_canceled": (
        "The merchant has canceled this order. Nothing is to be paid.",
        "商家已取消该订单，无需付款。",
    ),
    "text_canceling": (
        "The merchant is canceling this order. Please do not pay it any more.",
        "商家正在取消该订单，请勿继续付款。",
    ),
    "text_closed": ("This order can no longer be paid.", "该订单已无法付款。"),
    "reason": ("Reason", "原因"),
    "open_again": ("Open {app} again", "重新打开{app}"),
    "check_again": ("I have paid: look again", "我已付款，刷新结果"),
    "other_ways": ("Pay another way", "换一种方式付款"),
    "return_to_shop": ("Back to {merchant}", "返回 {merchant}"),
    "paid_at": ("Paid", "付款时间"),
    "paid_with": ("With", "支付方式"),
    "qr_label": ("QR code for {app}", "{app}付款二维码"),
    "no_methods": (
        "No way to pay is open at the moment. Please tell {merchant}.",
        "目前没有可用的支付方式，请联系{merchant}。",
    ),
    "wrong_app": (
        "You opened this page in {wallet}. Its ways to pay ({others}) cannot be opened there: tap the menu ··· at the "
        "top right and choose to open it in your browser.",
        "您正在{wallet}中打开本页，本页的付款方式（{others}）无法在{wallet}内打开。请点击右上角「···」，选择在浏览器中打开。",
    ),
    "method_gone": (
        "This way to pay is not open any more. Please choose another one.",
        "该支付方式暂不可用，请选择其他方式。",
    ),
    "cross_site": (
        "This form was sent by another site's page, so it was refused. Please choose here.",
        "该请求来自其他网站，已被拒绝。请在本页选择支付方式。",
    ),
    "post_title": ("Going to the payment page", "正在前往支付页面"),
    "post_text": ("If nothing happens, press the button.", "如果没有自动跳转，请点击按钮。"),
    "post_button": ("Continue", "继续"),
    "missing_title": ("No such payment page", "找不到该支付页面"),
    "missing_text": (
        "The address is not complete, or it is an old one. Please go back to the shop and start again.",
        "链接不完整或已失效，请返回商家重新发起付款。",
    ),
    "away_title": ("Back in a moment", "系统繁忙"),
    "away_text": (
        "We cannot look at your order right now. Nothing is lost; this page tries again by itself.",
        "暂时无法查看您的订单，数据不会丢失，本页会自动重试。",
    ),
    "broken_title": ("Something went wrong here", "页面出错了"),
    "broken_text": (
        "The fault is ours. Please do not pay again before you have looked at your order in the shop.",
        "这是我们的问题。再次付款前，请先到商家处查看订单状态。",
    ),
}


def text(key: str, lang: str, **values: str) -> str:
    """A text by key, with its places filled."""
    return TEXTS[key][LANGUAGES[lang]].format(**values)


def channel_name(channel: str, lang: str) -> str:
    """A channel as buyers call it; a stranger's by its own name."""
    names = CHANNELS.get(channel)
    return channel if names is None else names[LANGUAGES[lang]]


def app_name(channel: str, lang: str) -> str:
    """The app with which a buyer pays by this channel."""
    names = APPS.get(channel)
    return channel_name(channel, lang) if names is None else names[LANGUAGES[lang]]


def method_hint(method: str, lang: str) -> str:
    """What the buyer does with this method; a stranger's method by its own name."""
    hints = METHODS.get(method)
    return method if hints is None else hints[LANGUAGES[lang]]


def language(wanted: str, accepted: str) -> str:
    """`wanted` (?lang=) wins, then the first language of Accept-Language that we speak, then English."""
    for tag in [wanted, *_by_preference(accepted)]:
        short = tag.strip().lower().partition("-")[0]
        if short in LANGUAGES:
            return short
    return "en"


def _by_preference(accepted: str) -> list[str]:
    weighted = []
    for part in accepted[:512].split(","):
        tag, _, parameters = part.partition(";")
        try:
            weight = float(parameters.partition("q=")[2] or "1")
        except ValueError:
            weight = 0.0
        weighted.append((weight, tag))
    return [tag for weight, tag in sorted(weighted, key=lambda item: -item[0]) if weight > 0]
