"""What the shop says, in English and Chinese."""

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "shop": ("Cloud Mist Tea", "云雾茶庄"),
    "tagline": ("A demo shop: one product, one button", "演示商店：一件商品，一个按钮"),
    "other_language": ("中文", "English"),
    "nav_product": ("Shop", "商品"),
    "nav_webhooks": ("Webhooks", "Webhook 记录"),
    "product": ("Longjing green tea, first harvest, 50 g", "明前龙井 绿茶 50 克"),
    "origin": ("West Lake, Hangzhou · spring 2026", "杭州西湖 · 2026 年春"),
    "about": (
        "Flat, pan-fired leaves picked before the Qingming festival. Chestnut and fresh peas in the cup, and a long "
        "sweet finish. Nothing will be shipped: the money is the sandbox's.",
        "清明前采摘，扁平光滑，豆香与栗香相融，回甘悠长。本店不会发货，使用的是沙箱里的钱。",
    ),
    "buy": ("Buy now", "立即购买"),
    "behind": ("What happens", "背后发生了什么"),
    "step_1": ("The shop creates a payment with its API key.", "商店用 API 密钥创建一笔支付。"),
    "step_2": ("You choose how to pay on the gateway's checkout page.", "您在网关的收银台选择支付方式。"),
    "step_3": ("The sandbox plays the channel; nobody is charged.", "沙箱模拟支付渠道，不会真实扣款。"),
    "step_4": ("A signed webhook tells the shop that the money is in.", "签名的 Webhook 通知商店款项已到账。"),
    "thanks": ("Thank you, it is paid", "谢谢惠顾，已付款"),
    "thanks_text": (
        "The shop asked the gateway; it did not believe your browser.",
        "商店向网关查询确认，而不是相信浏览器带回的参数。",
    ),
    "not_yet": ("Not paid yet", "尚未付款"),
    "not_yet_text": ("This page looks again by itself.", "本页会自动刷新。"),
    "closed": ("The order is closed", "订单已关闭"),
    "closed_text": ("It was not paid in time, or it was canceled.", "订单超时未付款，或已被取消。"),
    "unknown": ("No such order", "没有这个订单"),
    "unknown_text": ("Perhaps it was made before the data was emptied.", "可能数据已被清空。"),
    "order": ("Order", "订单号"),
    "amount": ("Amount", "金额"),
    "payment": ("Payment", "支付单"),
    "status": ("Status", "状态"),
    "to_checkout": ("Back to the checkout", "返回收银台"),
    "buy_more": ("Buy another one", "再买一份"),
    "see_webhooks": ("See the webhook", "查看 Webhook"),
    "trouble": ("The gateway refused", "网关拒绝了请求"),
    "webhooks_title": ("Webhooks that arrived", "收到的 Webhook"),
    "webhooks_text": (
        "Each one verified: signature and time. The newest is on top, and the list renews itself.",
        "每一条都已验证签名与时间。最新的在最上面，列表自动更新。",
    ),
    "no_webhooks": ("None yet. Buy something.", "还没有。去买点东西吧。"),
    "verified": ("verified", "已验证"),
    "times": ("times", "次"),
    "refused": ("refused, because not signed by the gateway:", "因签名不符被拒绝："),
}


def text(key: str, lang: str) -> str:
    """A text by key; an unknown key is a bug."""
    return TEXTS[key][lang == "zh"]
