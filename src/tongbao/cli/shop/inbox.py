"""The shop's webhooks: verified as Standard Webhooks 1.0.0 asks of a receiver, and kept to be looked at.

Rule: nothing is believed before signature and time are right. It shares no code with the side that signs, as a real
merchant would not.
"""

import base64
import hmac
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

TOLERANCE_SECONDS = 300
KEPT_MAX = 100


class NotVerified(Exception):
    """This message is not the gateway's, or not from now; the text says why."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One verified webhook. `tries` counts how often the same event came."""

    id: str
    type: str
    at: datetime
    order_no: str
    amount: int | None
    currency: str
    status: str
    text: str
    tries: int = 1


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Raises NotVerified. Compared in constant time; any of several signatures may be the right one."""
    try:
        message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
        given = headers["webhook-signature"].split(" ")
        sent_at = int(timestamp)
    except (KeyError, ValueError):
        raise NotVerified("a header is missing or malformed") from None
    if abs(now.timestamp() - sent_at) > TOLERANCE_SECONDS:
        raise NotVerified("it was not sent now")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, sha256)
    right = "v1," + base64.b64encode(mac).decode()
    if not any(hmac.compare_digest(right.encode(), one.encode()) for one in given):
        raise NotVerified("no signature is right")


class Inbox:
    """What arrived, newest first; the same event again is counted, not listed twice."""

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._arrived: deque[Arrived] = deque(maxlen=KEPT_MAX)
        self.refused = 0

    def receive(self, headers: Mapping[str, str], body: bytes, now: datetime) -> Arrived:
        """Raises NotVerified."""
        try:
            verify(self._secret, headers, body, now)
            told = json.loads(body)
        except (NotVerified, ValueError) as error:
            self.refused += 1
            raise NotVerified(str(error)) from None
        event_id = headers["webhook-id"]
        before = next((one for one in self._arrived if one.id == event_id), None)
        if before is not None:
            self._arrived.remove(before)
        arrived = _arrived(event_id, told, now, 1 if before is None else before.tries + 1)
        self._arrived.appendleft(arrived)
        return arrived

    def newest(self) -> list[Arrived]:
        return list(self._arrived)


def _arrived(event_id: str, told: Mapping[str, Any], now: datetime, tries: int) -> Arrived:
    data = told.get("data") or {}
    return Arrived(
        id=event_id,
        type=str(told.get("type", "")),
        at=now.astimezone(UTC),
        order_no=str(data.get("order_no") or data.get("refund_no") or ""),
        amount=data.get("amount"),
        currency=str(data.get("currency", "")),
        status=str(data.get("status", "")),
        text=json.dumps(told, ensure_ascii=False, indent=2),
        tries=tries,
    )
