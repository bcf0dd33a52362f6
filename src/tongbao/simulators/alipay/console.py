"""What a merchant sets in Alipay's console for its application: its own public key, AES key, notification table.

`GET /_sandbox/alipay/apps` lists, `POST /_sandbox/alipay/apps/{app_id}` changes (or registers a new key-mode
application of a merchant of its own). Rule: a private key is never sent here; who registers a public key keeps the
other half, as with the real console.
"""

import base64
import re
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tongbao.crypto import KeyUnreadable, RsaPublicKey, decode_base64
from tongbao.simulators.alipay.notifications import TRIGGERS
from tongbao.simulators.pages import from_elsewhere
from tongbao.simulators.panel import answer_json, refusal

if TYPE_CHECKING:
    from tongbao.simulators.alipay.simulator import Alipay

BITS_MIN = 2048
_APP_ID = re.compile(r"[0-9]{16}")


class AppOrder(msgspec.Struct, forbid_unknown_fields=True):
    """What changes; null leaves it. `public_key`: PEM or bare base64; `triggers`: which states are notified."""

    public_key: str | None = None
    aes_key: str | None = None
    triggers: str | None = None
    name: str | None = None


class Console:
    """The API of one simulator."""

    def __init__(self, alipay: "Alipay") -> None:
        self._apps = alipay.apps

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/_sandbox/alipay/apps", self.show, methods=["GET"]),
            Route("/_sandbox/alipay/apps/{app_id}", self.change, methods=["POST"]),
        ]

    async def show(self, _: Request) -> Response:
        return answer_json({"apps": self._apps.all(), "triggers": sorted(TRIGGERS)})

    async def change(self, request: Request) -> Response:
        """200 with the application, 400 with the reason."""
        app_id = request.path_params["app_id"]
        if from_elsewhere(request):
            return refusal("another site's page", 403)
        try:
            order = msgspec.json.decode(await request.body(), type=AppOrder)
            changes = _checked(order)
        except (ValueError, msgspec.MsgspecError) as error:
            return refusal(str(error))
        app = self._apps.get(app_id)
        if app is None and not _APP_ID.fullmatch(app_id):
            return refusal("an application id has 16 digits")
        app = app or self._apps.add(app_id, f"2088{app_id[-12:]}", f"{app_id}@sandbox.example", app_id)
        self._apps.put(msgspec.structs.replace(app, **changes))
        return answer_json(self._apps.get(app_id))


def _checked(order: AppOrder) -> dict[str, str]:
    """The fields of `App` that change; raises ValueError."""
    changes: dict[str, str] = {}
    if order.public_key is not None:
        changes["public_key"] = _public_key(order.public_key)
    if order.aes_key is not None:
        changes["aes_key"] = _aes_key(order.aes_key)
    if order.triggers is not None:
        if order.triggers not in TRIGGERS:
            raise ValueError(f"triggers is one of {', '.join(sorted(TRIGGERS))}")
        changes["triggers"] = order.triggers
    if order.name:
        changes["seller_name"] = order.name[:64]
    return changes


def _public_key(text: str) -> str:
    try:
        key = RsaPublicKey.load(text.encode())
    except KeyUnreadable as error:
        raise ValueError(f"public_key: {error}") from None
    if key.bits < BITS_MIN:
        raise ValueError(f"public_key: RSA2 needs at least {BITS_MIN} bits")
    return key.bare()


def _aes_key(text: str) -> str:
    raw = decode_base64(text)
    if raw is None or len(raw) != 16:
        raise ValueError("aes_key: base64 of 16 bytes")
    return base64.b64encode(raw).decode()
