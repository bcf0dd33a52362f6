"""What a wallet's own browser gives its pages: an object that opens the wallet's cashier over the page. Data only.

Rule: the page's script knows no wallet. It calls `window[object][verb](call, params, callback)` as it is told here, and
looks the answer up in `outcomes`. What the wallet answers is a hint for the buyer; whether it is paid the channel says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tongbao.services.views import AttemptView


@dataclass(frozen=True, slots=True)
class Bridge:
    """One method's call. `ready` is the event after which the object is there, `names` our parameters that the wallet
    spells otherwise, `result` the field of its answer; an answer that is not among `outcomes` is a failure."""

    object: str
    ready: str
    verb: str
    call: str
    result: str
    outcomes: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)


BRIDGES: Mapping[str, Bridge] = {
    "wechat_jsapi": Bridge(
        object="WeixinJSBridge",
        ready="WeixinJSBridgeReady",
        verb="invoke",
        call="getBrandWCPayRequest",
        result="err_msg",
        outcomes={"get_brand_wcpay_request:ok": "paid", "get_brand_wcpay_request:cancel": "canceled"},
    ),
    "alipay_jsapi": Bridge(
        object="AlipayJSBridge",
        ready="AlipayJSBridgeReady",
        verb="call",
        call="tradePay",
        result="resultCode",
        outcomes={"9000": "paid", "8000": "paid", "6004": "paid", "6001": "canceled"},
        names={"trade_no": "tradeNO"},
    ),
}
"""Method -> how its page calls the wallet. 8000 and 6004: Alipay does not know yet; so the page waits and we ask."""


def is_bridged(method: str) -> bool:
    """Whether a page inside the wallet can carry this method out."""
    return method in BRIDGES


def call_of(attempt: AttemptView) -> dict[str, Any]:
    """What the page's script is told, for an attempt by a method with a bridge."""
    bridge, action = BRIDGES[attempt.method], attempt.next_action
    given = (action.params if action is not None else None) or {}
    return {
        "object": bridge.object,
        "ready": bridge.ready,
        "verb": bridge.verb,
        "call": bridge.call,
        "params": {bridge.names.get(name, name): value for name, value in given.items()},
        "result": bridge.result,
        "outcomes": dict(bridge.outcomes),
    }
