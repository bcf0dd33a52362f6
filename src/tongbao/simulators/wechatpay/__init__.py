"""WeChat Pay's side of the wire: the APIv3 door, its orders, refunds, transfers, notifications, pages and bills."""
