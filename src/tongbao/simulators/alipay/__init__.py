"""Alipay's side of the wire: the gateway.do door, its trades, refunds, notifications, cashier and statements."""
