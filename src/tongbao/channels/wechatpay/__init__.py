"""WeChat Pay: a client for direct use, and the adapter that the gateway uses.

`WechatPayClient` blocks, `AsyncWechatPayClient` awaits; both have the same methods.
"""

from tongbao.channels.wechatpay.account import BACKUP_URL, PRODUCTION_URL
from tongbao.channels.wechatpay.client import AsyncWechatPayClient, WechatPayClient

__all__ = ["BACKUP_URL", "PRODUCTION_URL", "AsyncWechatPayClient", "WechatPayClient"]
