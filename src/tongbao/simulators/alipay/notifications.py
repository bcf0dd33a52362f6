"""Alipay's asynchronous notifications: what they say, when they are sent, how they are signed, and what can go wrong.

Rule: signed by Alipay's key over all parameters but `sign` and `sign_type`; `notify_id` and the whole body are the same
on every try (whether `notify_time` changes is not documented). Which states are notified differs between generations of
the documents, so it is a setting of the app: `2026` (success only, the default), `older`, `all`. The three immediate
re-sends that only the face-to-face pages mention are not made. The answer counts only as exactly `success`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

import msgspec

from tongbao.crypto import RsaPrivateKey
from tongbao.simulators.alipay.apps import Apps
from tongbao.simulators.alipay.model import CLOSED, FINISHED, SUCCESS, App, Order, Refund, Trade
from tongbao.simulators.alipay.wire import (
    CHARSETS,
    CHINA,
    china_millis,
    china_time,
    masked,
    sign,
    sign_content,
    yuan,
)
from tongbao.simulators.bank import Bank
from tongbao.simulators.faults import Fault, Stage, Struck, at, find
from tongbao.simulators.outbox import Courier, Entry
from tongbao.transport import Reply

CHANNEL = "alipay"
DELAYS_SECONDS = (240, 600, 600, 3600, 7200, 21_600, 54_000)

_SUCCESS_ONLY, _ALL = frozenset({SUCCESS}), frozenset({SUCCESS, CLOSED, FINISHED})
TRIGGERS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "2026": {},
    "older": {"app": _ALL, "wap": _ALL},
    "all": dict.fromkeys(("page", "wap", "app", "qr", "barcode", "jsapi"), _ALL),
}
"""Setting -> product -> trade states that are notified; a product that is not listed is notified of success only."""


def accepted(reply: Reply) -> bool:
    return reply.status == 200 and reply.body == b"success"


COURIER = Courier(CHANNEL, DELAYS_SECONDS, accepted)


def _other_amount(fields: dict[str, str]) -> None:
    fields["total_amount"] = yuan(int(fields["total_amount"].replace(".", "")) + 100)


def _unknown_fields(fields: dict[str, str]) -> None:
    fields.update({"zz_new_field": "1", "aa_neu": "值=&%"})


_BEFORE_SIGNING: Mapping[Fault, Callable[[dict[str, str]], None]] = {
    Fault.NOTIFICATION_WRONG_AMOUNT: _other_amount,
    Fault.NOTIFICATION_WRONG_SELLER: lambda fields: fields.update(seller_id="2088999999999999"),
    Fault.NOTIFICATION_WRONG_APP: lambda fields: fields.update(
        app_id="9021000199999999", auth_app_id="9021000199999999"
    ),
    Fault.NOTIFICATION_WRONG_ORDER: lambda fields: fields.update(out_trade_no="NOBODY" + fields["trade_no"]),
    Fault.NOTIFICATION_WEAK_HASH: lambda fields: fields.update(sign_type="RSA"),
    Fault.NOTIFICATION_UNKNOWN_FIELDS: _unknown_fields,
    Fault.NOTIFICATION_EMPTY_FIELD: lambda fields: fields.update(voucher_detail_list=""),
}
_AFTER_SIGNING: Mapping[Fault, Callable[[dict[str, str]], object]] = {
    Fault.NOTIFICATION_TAMPERED: _other_amount,
    Fault.NOTIFICATION_UNSIGNED: lambda fields: fields.pop("sign"),
}


class Notices:
    """Writes notifications and hands them to the outbox."""

    def __init__(self, bank: Bank, apps: Apps) -> None:
        self._bank = bank
        self._apps = apps
        self.renewed: Callable[[App], tuple[str, RsaPrivateKey] | None] = lambda app: None
        """Serial and key of the next certificate, for apps in certificate mode."""
        bank.outbox.register(COURIER)

    def send(self, trade: Trade, event: str, refund: Refund | None = None) -> None:
        """Notifies of the trade's state if its product's table says so. `event`: paid, refunded, closed, finished."""
        order = trade.order
        app = self._apps.get(order.app_id)
        if not order.notify_url or app is None:
            return
        if trade.status not in TRIGGERS[app.triggers].get(order.product, _SUCCESS_ONLY):
            return
        faults = self._struck(trade, event)
        if not find(faults, Fault.NOTIFICATION_LOST):
            self._dispatch(trade, event, self._signed(self._fields(trade, app, refund), app, faults), faults)

    def send_forged(self, trade: Trade) -> None:
        """Somebody else's claim that an unpaid trade was paid."""
        app = self._apps.get(trade.order.app_id)
        if trade.order.notify_url and app is not None:
            claim = msgspec.structs.replace(trade, status=SUCCESS, paid_at=self._bank.clock.now())
            fields = self._signed(self._fields(claim, app, None), app, [Struck(Fault.NOTIFICATION_FORGED.code)])
            self._dispatch(trade, "forged", fields, [])

    def send_event(self, app_id: str, url: str, charset: str, about: str, fields: dict[str, str]) -> None:
        """A notification that tells of no trade (an agreement); `fields` without the envelope."""
        app = self._apps.get(app_id)
        if url and app is not None:
            envelope = self._envelope(app, charset)
            signed = self._signed({**envelope, **{name: value for name, value in fields.items() if value}}, app, [])
            self._post(signed, url, about, f"{fields['notify_type']} {about}", [])

    def return_params(self, order: Order, trade: Trade) -> dict[str, str]:
        """What the browser carries to `return_url`: signed like a notification."""
        app = self._apps.get(order.app_id)
        assert app is not None
        fields = {
            "out_trade_no": order.out_trade_no,
            "seller_id": order.seller_id,
            "total_amount": yuan(trade.order.amount_minor),
            "trade_no": trade.trade_no,
            "auth_app_id": order.auth_app_id or app.app_id,
        }
        forged = order.faults and find(order.faults, Fault.RETURN_FORGED)
        forged = forged or self._bank.faults.draw_one(Fault.RETURN_FORGED, CHANNEL, order.app_id, order.product)
        method = f"alipay.trade.{order.product}.pay.return"
        return self.signed_return(app.app_id, order.charset, method, fields, forged=bool(forged))

    def signed_return(
        self, app_id: str, charset: str, method: str, fields: Mapping[str, str], *, forged: bool = False
    ) -> dict[str, str]:
        """Parameters of a return to the merchant, signed by Alipay (or, forged, by a stranger)."""
        app = self._apps.get(app_id)
        assert app is not None, "the page belongs to an application"
        common = {"app_id": app_id, "auth_app_id": app_id, "charset": charset, "method": method, "version": "1.0"}
        common |= {"sign_type": app.sign_type, "timestamp": china_time(self._bank.clock.now())}
        filled = {name: value for name, value in {**common, **fields}.items() if value}
        return self._signed(filled, app, [Struck(Fault.NOTIFICATION_FORGED.code)] if forged else [])

    def _struck(self, trade: Trade, event: str) -> list[Struck]:
        """Faults that came with the order's own request strike its first notification; then the board's."""
        order = trade.order
        mine = at(Stage.NOTIFICATION, order.faults)
        order.faults = [one for one in order.faults if one not in mine]
        return mine + self._bank.faults.draw(Stage.NOTIFICATION, CHANNEL, order.app_id, event)

    def _fields(self, trade: Trade, app: App, refund: Refund | None) -> dict[str, str]:
        order = trade.order
        buyer = self._bank.buyer(trade.buyer_id)
        paid = yuan(order.amount_minor)
        fields = {
            **self._envelope(app, order.charset, order.auth_app_id),
            "notify_type": "trade_status_sync",
            "trade_no": trade.trade_no,
            "out_trade_no": order.out_trade_no,
            "buyer_id": trade.buyer_id,
            "buyer_logon_id": masked(buyer.logon_id) if buyer else "",
            "seller_id": order.seller_id,
            "seller_email": app.seller_email,
            "trade_status": trade.status,
            "total_amount": paid,
            "subject": order.subject,
            "body": order.body,
            "gmt_create": china_time(trade.created_at),
            "passback_params": order.passback_params,
        }
        if trade.paid_at is not None:
            funds = [{"amount": paid, "fundChannel": "ALIPAYACCOUNT"}]
            fields |= dict.fromkeys(("receipt_amount", "invoice_amount", "buyer_pay_amount"), paid)
            fields |= {"point_amount": "0.00", "gmt_payment": china_time(trade.paid_at)}
            fields["fund_bill_list"] = msgspec.json.encode(funds).decode()
        if refund is not None:
            fields["out_biz_no"] = refund.out_request_no
            fields["refund_fee"] = yuan(trade.refunded_minor)
            fields["gmt_refund"] = china_millis(refund.refunded_at)
        if trade.closed_at is not None:
            fields["gmt_close"] = china_time(trade.closed_at)
        return {name: value for name, value in fields.items() if value}

    def _signed(self, fields: dict[str, str], app: App, faults: list[Struck]) -> dict[str, str]:
        for fault, change in _BEFORE_SIGNING.items():
            if find(faults, fault):
                change(fields)
        key = self._apps.stranger_key if find(faults, Fault.NOTIFICATION_FORGED) else self._apps.alipay_key
        renewed = self.renewed(app) if find(faults, Fault.NOTIFICATION_KEY_ROTATED) else None
        if renewed is not None:
            fields["alipay_cert_sn"], key = renewed
        text = sign_content(fields, without=("sign", "sign_type"))
        if find(faults, Fault.NOTIFICATION_EMPTY_FIELD):
            names = sorted(set(fields) - {"sign", "sign_type"})
            text = "&".join(f"{name}={fields[name]}" for name in names)
        codec = CHARSETS[fields["charset"].lower()]
        fields["sign"] = sign(key, text.encode(codec, "replace"), fields["sign_type"])
        for fault, alter in _AFTER_SIGNING.items():
            if find(faults, fault):
                alter(fields)
        return fields

    def _dispatch(self, trade: Trade, event: str, fields: dict[str, str], faults: list[Struck]) -> None:
        order = trade.order
        self._post(fields, order.notify_url, trade.trade_no, f"{event} {order.out_trade_no}", faults)

    def _post(self, fields: dict[str, str], url: str, about: str, label: str, faults: list[Struck]) -> None:
        charset = fields["charset"]
        body = urlencode(fields, encoding=CHARSETS[charset.lower()], errors="replace").encode()
        due_at = self._bank.clock.now()
        if delayed := find(faults, Fault.NOTIFICATION_DELAYED):
            due_at += timedelta(seconds=delayed.number(300))
        replayed = find(faults, Fault.NOTIFICATION_REPLAYED)
        for copy in range(2 if find(faults, Fault.NOTIFICATION_DOUBLED) else 1):
            entry = Entry(
                id=f"{fields['notify_id']}-{copy}",
                channel=CHANNEL,
                about=about,
                label=label,
                url=url,
                headers={"content-type": f"application/x-www-form-urlencoded; charset={charset}"},
                body=body,
                due_at=due_at,
                state="held" if find(faults, Fault.NOTIFICATION_REORDERED) else "waiting",
                repeat_after_seconds=replayed.number(3600) if replayed else None,
            )
            self._bank.outbox.post(entry)

    def _envelope(self, app: App, charset: str, auth_app_id: str = "") -> dict[str, str]:
        """What every notification carries."""
        now = self._bank.clock.now()
        return {
            "notify_time": china_time(now),
            "notify_id": self._notify_id(now),
            "app_id": app.app_id,
            "auth_app_id": auth_app_id or app.app_id,
            "charset": charset,
            "version": "1.0",
            "sign_type": app.sign_type,
        }

    def _notify_id(self, now: datetime) -> str:
        return f"{now.astimezone(CHINA):%Y%m%d}00222{now.astimezone(CHINA):%H%M%S}{self._bank.digits(16)}"
