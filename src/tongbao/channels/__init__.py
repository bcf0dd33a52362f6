"""The channels: name -> import string of its `ChannelKind`. Loaded by `bootstrap` only.

Adding one edits this line, the simulators' mount, and the independence contract. A stranger's channel joins through
the entry point group `tongbao.channels`.
"""

CHANNELS: dict[str, str] = {
    "alipay": "tongbao.channels.alipay.adapter:ALIPAY",
    "wechatpay": "tongbao.channels.wechatpay.adapter:WECHATPAY",
}
