"""What one would click in the merchant console, as JSON calls: rotate certificates, go over to the public key, limits.

Rule: a rotation has three steps (issue, switch, retire), because clients fail between them.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tongbao.simulators.pages import from_elsewhere
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.limits import Limits

TRUSTS = ("both", "public_key", "certificate")


class KeyOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_sandbox/wechatpay/keys`. `action`: issue, switch, retire, or rotate (the first two at once)."""

    action: str


class MerchantOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /_sandbox/wechatpay/merchants`; what is left away stays."""

    mchid: str
    trust: str | None = None
    callback_share: int | None = None
    notify_url: str | None = None
    fee_rate: int | None = None


class Console:
    """The switches."""

    def __init__(self, book: Book, limits: Limits) -> None:
        self._merchants = book.merchants
        self._limits = limits

    async def keys(self, request: Request) -> Response:
        """GET the platform certificates; POST a `KeyOrder`."""
        if request.method == "POST":
            steps = {
                "issue": (self._merchants.issue,),
                "switch": (self._merchants.switch,),
                "rotate": (self._merchants.issue, self._merchants.switch),
                "retire": (self._merchants.retire,),
            }
            try:
                action = msgspec.json.decode(await request.body(), type=KeyOrder).action
                for step in steps[action] if not from_elsewhere(request) else ():
                    step()
            except (msgspec.MsgspecError, KeyError) as error:
                return _json({"error": f"action is one of {', '.join(steps)}: {error}"}, 400)
        shown = [
            {"serial": one.serial, "signing": one.signing, "expires_at": one.expires_at, "pem": one.pem}
            for one in self._merchants.certificates()
        ]
        return _json({"certificates": shown})

    async def merchants(self, request: Request) -> Response:
        """Changes what `MerchantOrder` names."""
        try:
            order = msgspec.json.decode(await request.body(), type=MerchantOrder)
        except msgspec.MsgspecError as error:
            return _json({"error": str(error)}, 400)
        merchant = self._merchants.get(order.mchid)
        if merchant is None or from_elsewhere(request):
            return _json({"error": f"no merchant {order.mchid}"}, 404)
        if order.trust not in (None, *TRUSTS):
            return _json({"error": f"trust is one of {', '.join(TRUSTS)}"}, 400)
        names = ("trust", "callback_share", "notify_url", "fee_rate")
        changes = {name: value for name in names if (value := getattr(order, name)) is not None}
        changed = msgspec.structs.replace(merchant, **changes)
        self._merchants.put(changed)
        return _json({name: getattr(changed, name) for name in ("mchid", *names)})

    async def limits(self, request: Request) -> Response:
        """GET or POST `{path template: calls per second}`; 0 lifts a limit."""
        if request.method == "POST" and not from_elsewhere(request):
            try:
                self._limits.rates.update(msgspec.json.decode(await request.body(), type=dict[str, int]))
            except msgspec.MsgspecError as error:
                return _json({"error": str(error)}, 400)
        return _json(self._limits.rates)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
