"""Alipay: a client for direct use, and the adapter that the gateway uses.

`AlipayClient` blocks, `AsyncAlipayClient` awaits; both have the same methods.
"""

from tongbao.channels.alipay.account import PRODUCTION_URL, SANDBOX_URL
from tongbao.channels.alipay.client import AlipayClient, AsyncAlipayClient

__all__ = ["PRODUCTION_URL", "SANDBOX_URL", "AlipayClient", "AsyncAlipayClient"]
