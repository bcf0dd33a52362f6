"""Writing answers: the node, its signature, the envelope around it, and what can be wrong with them.

Rule: one serialisation. The signature covers the exact bytes of the node's value; with AES that is the quoted text.
In certificate mode `alipay_cert_sn` stands between node and `sign`.
"""

import base64
from collections.abc import Callable, Mapping

from tongbao.crypto import RsaPrivateKey, aes_cbc_encrypt, decode_base64
from tongbao.simulators.alipay.apps import Apps
from tongbao.simulators.alipay.errors import MESSAGES, SUB_MESSAGES, GatewayError, failure_node
from tongbao.simulators.alipay.request import AES_IV, Call
from tongbao.simulators.alipay.wire import fen, node_name, node_text, sign, yuan
from tongbao.simulators.door import Answer, Ending
from tongbao.simulators.faults import Fault, Struck, find

MAINTENANCE = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
_MONEY_FIELDS = ("total_amount", "refund_fee", "refund_amount", "trans_amount", "amount")


def _unavailable(node: Mapping[str, object]) -> Mapping[str, object]:
    return failure_node("20000", "isp.unknow-error", {})


def _system_error(node: Mapping[str, object]) -> Mapping[str, object]:
    return failure_node("40004", "ACQ.SYSTEM_ERROR", {})


def _wrong_trade(node: Mapping[str, object]) -> Mapping[str, object]:
    return {**node, "out_trade_no": f"{str(node.get('out_trade_no', ''))[:58]}OTHER"}


def _wrong_amount(node: Mapping[str, object]) -> Mapping[str, object]:
    return {**node, **{name: yuan((fen(node[name]) or 0) + 100) for name in _MONEY_FIELDS if name in node}}


_NODE_FAULTS: Mapping[Fault, Callable[[Mapping[str, object]], Mapping[str, object]]] = {
    Fault.REPLY_UNAVAILABLE: _unavailable,
    Fault.REPLY_ERROR_NODE: _unavailable,
    Fault.REPLY_SYSTEM_ERROR: _system_error,
    Fault.REPLY_WRONG_TRADE: _wrong_trade,
    Fault.REPLY_WRONG_AMOUNT: _wrong_amount,
}
ENDINGS = {Fault.REPLY_LOST: Ending.DROPPED, Fault.REPLY_NEVER: Ending.NEVER}
_INSTEAD = {
    Fault.CALL_LIMITED: ("40005", "isv.app-call-limited"),
    Fault.NO_PERMISSION: ("40006", "isv.insufficient-isv-permissions"),
}


def changed(node: Mapping[str, object], faults: list[Struck]) -> Mapping[str, object]:
    """The node after the faults that make it say something else, still to be signed."""
    for fault, change in _NODE_FAULTS.items() if faults else ():
        if find(faults, fault):
            node = change(node)
    return node


class Writer:
    """Signs with Alipay's key; `certificate` gives serial and key for apps in certificate mode."""

    def __init__(self, apps: Apps) -> None:
        self._apps = apps
        self.certificate: Callable[[Call], tuple[str, RsaPrivateKey]] = lambda call: ("", apps.alipay_key)

    def envelope(self, call: Call, node: Mapping[str, object], name: str | None = None) -> Answer:
        """The signed answer of a method, with the faults that strike it."""
        faults = call.faults
        node = changed(node, faults)
        name = "error_response" if find(faults, Fault.REPLY_ERROR_NODE) else name or node_name(call.method)
        text = node_text(node)
        escaped = text.replace("/", "\\/")
        signed = escaped if find(faults, Fault.REPLY_SLASHES_ESCAPED) else text
        shown = escaped if find(faults, Fault.REPLY_SLASHES_ESCAPED_AFTER) else signed
        if call.encrypted:
            signed = shown = self._encrypted(call, signed)
        if find(faults, Fault.REPLY_TAMPERED):
            shown = shown.replace('"msg":"', '"msg":"~', 1)
        body = f'{{"{name}":{shown}{self._seal(call, signed, faults)}}}'
        if find(faults, Fault.REPLY_DUPLICATE_NODE):
            body = f'{body[:-1]},"{name}":{node_text({**node, "trade_status": "TRADE_SUCCESS"})}}}'
        return self._with_ending(_answer(body, call.codec), faults)

    def plain(self, call: Call, node: Mapping[str, object]) -> Answer:
        """An answer that is not signed by its nature."""
        return self._with_ending(_answer(f'{{"{node_name(call.method)}":{node_text(node)}}}', call.codec), call.faults)

    def unsigned(self, error: GatewayError, *, known: bool) -> Answer:
        """A gateway error: the method's node, or `error_response` when there is no such method; never signed."""
        sub_msg = SUB_MESSAGES.get(error.sub_code, error.sub_code)
        node = {"code": error.code, "msg": MESSAGES[error.code], "sub_code": error.sub_code, "sub_msg": sub_msg}
        name = node_name(error.method) if known else "error_response"
        return _answer(f'{{"{name}":{node_text(node)}}}', error.charset)

    def instead(self, call: Call, faults: list[Struck]) -> Answer | None:
        """What a fault answers before anything was done; None when it lets the call through."""
        if find(faults, Fault.UNREACHABLE):
            return Answer(ending=Ending.DROPPED)
        if find(faults, Fault.BAD_GATEWAY):
            return Answer(502, {"content-type": "text/html"}, MAINTENANCE)
        if find(faults, Fault.UNAVAILABLE):
            return self.envelope(call, _unavailable({}))
        for fault, (code, sub_code) in _INSTEAD.items():
            if find(faults, fault):
                return self.unsigned(GatewayError(code, sub_code, method=call.method, charset=call.codec), known=True)
        return None

    def _seal(self, call: Call, signed: str, faults: list[Struck]) -> str:
        """`,"alipay_cert_sn":"...","sign":"..."`, or nothing."""
        if find(faults, Fault.REPLY_UNSIGNED):
            return ""
        serial, key = self.certificate(call)
        if find(faults, Fault.REPLY_BAD_SIGNATURE):
            key = self._apps.stranger_key
        signature = sign(key, signed.encode(call.codec, "replace"), call.app.sign_type)
        named = f',"alipay_cert_sn":"{serial}"' if serial else ""
        return f'{named},"sign":"{signature}"'

    def _encrypted(self, call: Call, text: str) -> str:
        key = decode_base64(call.app.aes_key)
        assert key, "an encrypted call has passed the door with this key"
        return f'"{base64.b64encode(aes_cbc_encrypt(key, text.encode(call.codec, "replace"), AES_IV)).decode()}"'

    def _with_ending(self, answer: Answer, faults: list[Struck]) -> Answer:
        for fault, ending in ENDINGS.items() if faults else ():
            if find(faults, fault):
                answer.ending = ending
        if find(faults, Fault.REPLY_NOT_JSON):
            answer.body = MAINTENANCE
        if find(faults, Fault.REPLY_TRUNCATED):
            answer.body = answer.body[: len(answer.body) // 2]
        return answer


def _answer(text: str, codec: str) -> Answer:
    return Answer(200, {"content-type": f"text/html;charset={codec}"}, text.encode(codec, "replace"))
