"""Tongbao 通宝: one payment API for Alipay, WeChat Pay, UnionPay and Stripe that never loses a payment."""

__version__ = "0.1.0"
