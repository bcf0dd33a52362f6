"""WeChat Pay's notifications: encrypted once under the merchant's APIv3 key, signed anew for each try.

Rule: body and id stay the same on every try (whether the real id does is not verified), time stamp, nonce and signature
do not. Delivered is what is answered by exactly 200 or 204 within five seconds. The stamp is of the machine's clock,
which is the receiver's; what the message tells is of the sandbox's. A probe strikes first tries only.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import msgspec

from tongbao.simulators.bank import Bank
from tongbao.simulators.faults import Fault, Stage, Struck, at, find
from tongbao.simulators.outbox import Courier, Entry
from tongbao.simulators.wechatpay.merchants import UNPUBLISHED, Merchants
from tongbao.simulators.wechatpay.model import Merchant
from tongbao.simulators.wechatpay.replies import PROBE
from tongbao.simulators.wechatpay.wire import SCHEME, china_time, encoded, sealed, signature
from tongbao.transport import Reply, Timeouts

CHANNEL = "wechatpay"
MINUTE, HOUR = 60, 3600
DELAYS_SECONDS = (
    15, 15, 30, 3 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE, 30 * MINUTE, HOUR,
    3 * HOUR, 3 * HOUR, 3 * HOUR, 6 * HOUR, 6 * HOUR,
)  # fmt: skip
TRANSFER_PLAN = "transfer"
TRANSFER_DELAYS_SECONDS = (15,) * 10 + (300,) * 10 + (1800,) * 44
TIMEOUTS = Timeouts(connect_seconds=5.0, headers_seconds=5.0, total_seconds=5.0)
AGENT = "Mozilla/4.0"


def accepted(reply: Reply) -> bool:
    return reply.status in (200, 204)


class Seal(msgspec.Struct):
    """What each try needs to be signed: for whom, by which kind of key (`draw`), and what is wrong with it."""

    mchid: str
    draw: int
    faults: list[Struck] = []


class Message(msgspec.Struct):
    """One event. `kind` is the resource's original type; `faults` came with the request that caused it."""

    mchid: str
    url: str
    about: str
    label: str
    event: str
    summary: str
    kind: str
    fields: dict[str, Any]
    plan: str = ""


def _other_amount(fields: dict[str, Any]) -> None:
    amount = fields.get("amount")
    if isinstance(amount, dict):
        fields["amount"] = {name: value + 100 if isinstance(value, int) else value for name, value in amount.items()}
    if "transfer_amount" in fields:
        fields["transfer_amount"] += 100


def _other(names: tuple[str, ...], value: str) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        fields.update({name: value for name in names if name in fields})

    return change


_CHANGES: Mapping[Fault, Callable[[dict[str, Any]], None]] = {
    Fault.NOTIFICATION_WRONG_AMOUNT: _other_amount,
    Fault.NOTIFICATION_WRONG_SELLER: _other(("mchid", "sp_mchid", "mch_id", "combine_mchid"), "1900009999"),
    Fault.NOTIFICATION_WRONG_APP: _other(("appid", "sp_appid", "combine_appid"), "wx0000000000009999"),
    Fault.NOTIFICATION_WRONG_ORDER: _other(("out_trade_no", "combine_out_trade_no", "out_bill_no"), "NOBODY000000001"),
    Fault.NOTIFICATION_UNKNOWN_FIELDS: lambda fields: fields.update({"zz_new_field": 1, "aa_neu": {"值": "=&%"}}),
}
_AT_SIGNING = (
    Fault.NOTIFICATION_FORGED,
    Fault.NOTIFICATION_UNSIGNED,
    Fault.NOTIFICATION_TAMPERED,
    Fault.NOTIFICATION_PROBED,
    Fault.NOTIFICATION_STALE,
    Fault.NOTIFICATION_UNKNOWN_SERIAL,
    Fault.NOTIFICATION_KEY_ROTATED,
)


class Notices:
    """Writes notifications, hands them to the outbox, and signs each try."""

    def __init__(self, bank: Bank, merchants: Merchants) -> None:
        self._bank = bank
        self._merchants = merchants
        plans = {TRANSFER_PLAN: TRANSFER_DELAYS_SECONDS}
        bank.outbox.register(Courier(CHANNEL, DELAYS_SECONDS, accepted, TIMEOUTS, self.signed, plans))

    def send(self, message: Message, faults: list[Struck], *, forged: bool = False) -> list[Struck]:
        """Posts it unless there is no address; returns what is left of `faults`, whose own strike only once."""
        mine = at(Stage.NOTIFICATION, faults)
        left = [one for one in faults if one not in mine]
        merchant = self._merchants.get(message.mchid)
        if not message.url or merchant is None:
            return left
        struck = mine + self._bank.faults.draw(Stage.NOTIFICATION, CHANNEL, message.mchid, message.event)
        if forged:
            struck = [Struck(Fault.NOTIFICATION_FORGED.code)]
        if not find(struck, Fault.NOTIFICATION_LOST):
            self._post(message, merchant, struck)
        return left

    def _post(self, message: Message, merchant: Merchant, struck: list[Struck]) -> None:
        fields = dict(message.fields)
        for fault, change in _CHANGES.items() if struck else ():
            if find(struck, fault):
                change(fields)
        number, now = self._bank.chance(128), self._bank.clock.now()
        secret = self._bank.token(32) if find(struck, Fault.NOTIFICATION_OTHER_SECRET) else merchant.apiv3_key
        envelope = {
            "id": _uuid(number),
            "create_time": china_time(now),
            "resource_type": "encrypt-resource",
            "event_type": message.event,
            "summary": message.summary,
            "resource": {
                "original_type": message.kind,
                **sealed(self._bank, secret, message.kind, encoded(fields)),
            },
        }
        seal = Seal(merchant.mchid, number, [one for one in struck if Fault.named(one.fault) in _AT_SIGNING])
        delayed, replayed = find(struck, Fault.NOTIFICATION_DELAYED), find(struck, Fault.NOTIFICATION_REPLAYED)
        for copy in range(2 if find(struck, Fault.NOTIFICATION_DOUBLED) else 1):
            entry = Entry(
                id=f"{envelope['id']}-{copy}",
                channel=CHANNEL,
                about=message.about,
                label=message.label,
                url=message.url,
                headers={},
                body=msgspec.json.encode(envelope),
                due_at=now + timedelta(seconds=delayed.number(300) if delayed else 0),
                state="held" if find(struck, Fault.NOTIFICATION_REORDERED) else "waiting",
                repeat_after_seconds=replayed.number(3600) if replayed else None,
                plan=message.plan,
                seal=msgspec.json.encode(seal).decode(),
            )
            self._bank.outbox.post(entry)

    def signed(self, entry: Entry) -> dict[str, str]:
        """The headers of one try."""
        seal = msgspec.json.decode(entry.seal, type=Seal)
        faults, first = seal.faults, not entry.tries
        merchant = self._merchants.get(seal.mchid)
        assert merchant is not None, "it was there when the notification was written"
        stamp = self._bank.clock.machine_now()
        if first and (stale := find(faults, Fault.NOTIFICATION_STALE)):
            stamp -= timedelta(seconds=stale.number(600))
        seconds, nonce = str(int(stamp.timestamp())), self._bank.token(32).upper()
        headers = {
            "Content-Type": "application/json",
            "Accept": "*/*",
            "User-Agent": AGENT,
            "Request-ID": f"08{self._bank.chance(160):040X}-0",
        }
        if find(faults, Fault.NOTIFICATION_UNSIGNED):
            return headers
        serial, key = self._merchants.callback_signer(merchant, seal.draw)
        if find(faults, Fault.NOTIFICATION_KEY_ROTATED):
            following = self._merchants.next_certificate()
            serial, key = following.serial, self._merchants.key_of(following)
        if find(faults, Fault.NOTIFICATION_UNKNOWN_SERIAL):
            serial, key = UNPUBLISHED, self._merchants.stranger_key
        if find(faults, Fault.NOTIFICATION_FORGED):
            key = self._merchants.stranger_key
        text = entry.body + b" " if find(faults, Fault.NOTIFICATION_TAMPERED) else entry.body
        proof = signature(key, (seconds.encode(), nonce.encode(), text))
        probed = first and find(faults, Fault.NOTIFICATION_PROBED)
        return {
            **headers,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Signature": PROBE + proof if probed else proof,
            "Wechatpay-Signature-Type": SCHEME,
            "Wechatpay-Timestamp": seconds,
            "Wechatpay-Serial": serial,
        }


def _uuid(number: int) -> str:
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
