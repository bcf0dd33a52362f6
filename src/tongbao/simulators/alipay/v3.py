"""OpenAPI v3: JSON under `/v3/alipay/...` with the signature in headers, over the same methods.

Rule: signed are the caller's own auth string, the verb, path with query, and the body, each with a newline. The
timestamp may be ten minutes from the machine's clock or from the sandbox's (which travels). Gateway refusals are HTTP
400 and unsigned, also a missing header (documents say 401, a probe said 400); a business failure is HTTP 400 and
signed; a payment that waits for its buyer is 202 (not documented per method).
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from urllib.parse import parse_qsl

import msgspec

from tongbao.crypto import aes_cbc_decrypt, aes_cbc_encrypt, decode_base64
from tongbao.simulators.alipay.apps import Apps
from tongbao.simulators.alipay.errors import SUB_MESSAGES, Failure, GatewayError
from tongbao.simulators.alipay.gateway import CHANNEL, Handler
from tongbao.simulators.alipay.model import App
from tongbao.simulators.alipay.replies import ENDINGS, Writer, changed
from tongbao.simulators.alipay.request import AES_IV, INVALID, Call, Checks, read_json
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import sign, verified
from tongbao.simulators.door import Answer, Ending
from tongbao.simulators.faults import FAULT_HEADER, Fault, Stage, Struck, find, from_header
from tongbao.transport import RawRequest

PREFIX = "/v3/"
SCHEME = "ALIPAY-SHA256withRSA "
SKEW = timedelta(minutes=10)
BY_GET = frozenset({"alipay.data.dataservice.bill.downloadurl.query", "alipay.fund.trans.common.query"})
REFUSED = {Fault.CALL_LIMITED: (429, "app-call-limited"), Fault.NO_PERMISSION: (403, "insufficient-isv-permissions")}


@dataclass(frozen=True, slots=True)
class Claim:
    """What the Authorization header says. `text` is the signed part of it."""

    text: str
    fields: Mapping[str, str]

    @classmethod
    def read(cls, header: str) -> "Claim":
        text, _, signature = header.removeprefix(SCHEME).rpartition(",sign=")
        pairs = (part.partition("=") for part in text.split(",") if part)
        return cls(text, {name.strip(): value for name, _, value in pairs} | {"sign": signature})


class OpenApi:
    """The v3 door."""

    def __init__(
        self,
        book: Book,
        apps: Apps,
        checks: Checks,
        writer: Writer,
        handlers: Mapping[str, Handler],
        machine_now: Callable[[], datetime],
    ) -> None:
        self._book = book
        self._apps = apps
        self._checks = checks
        self._writer = writer
        self._handlers = handlers
        self._machine_now = machine_now

    def answer(self, raw: RawRequest) -> Answer:
        """The whole exchange without I/O."""
        try:
            call, handler = self._accept(raw)
            call.faults = self._faults(raw, call)
        except GatewayError as error:
            return _refusal(400, _short(error.sub_code), SUB_MESSAGES.get(error.sub_code, error.sub_code))
        if (early := _before(call.faults)) is not None:
            return early
        assert handler.answer is not None
        try:
            fields = dict(handler.answer(self._book, call))
            status = 202 if fields.pop("code", "10000") == "10003" else 200
        except Failure as failure:
            status, fields = 500 if failure.code == "20000" else 400, _error_body(failure.sub_code)
        except GatewayError as error:
            return _refusal(403, _short(error.sub_code), SUB_MESSAGES.get(error.sub_code, error.sub_code))
        answer = self._signed(call, status, fields)
        if slow := find(call.faults, Fault.SLOW):
            answer.delay_seconds = slow.number(3)
        return answer

    def _accept(self, raw: RawRequest) -> tuple[Call, Handler]:
        if not raw.headers.get("authorization", "").startswith(SCHEME):
            raise GatewayError("40001", "isv.missing-timestamp")
        claim = Claim.read(raw.headers["authorization"])
        app = self._who(claim, raw)
        method = raw.path.removeprefix(PREFIX).strip("/").replace("/", ".")
        handler = self._handlers.get(method)
        if handler is None or handler.answer is None or raw.method != ("GET" if method in BY_GET else "POST"):
            raise GatewayError(INVALID, "isv.invalid-method")
        encrypted = raw.headers.get("alipay-encrypt-type", "")
        params = {"encrypt_type": encrypted} if encrypted else {}
        biz = self._body(raw, app, encrypted)
        params |= {name: str(biz.pop(name)) for name in ("notify_url", "return_url") if biz.get(name)}
        now = self._book.bank.clock.now()
        call = Call(app, method, params, biz, "utf-8", "utf-8", now, base_url=f"http://{raw.headers.get('host', '')}")
        if token := raw.headers.get("alipay-app-auth-token"):
            merchant = self._checks.merchant_of(token, now)
            if merchant is None:
                raise GatewayError("20001", "aop.invalid-app-auth-token")
            call.app, call.auth_app_id = msgspec.structs.replace(app, seller_id=merchant.seller_id), merchant.app_id
        return call, handler

    def _who(self, claim: Claim, raw: RawRequest) -> App:
        """The proven caller."""
        for name in ("app_id", "timestamp", "nonce"):
            if not claim.fields.get(name):
                raise GatewayError("40001", f"isv.missing-{name.replace('_', '-')}")
        app = self._apps.get(claim.fields["app_id"])
        if app is None:
            raise GatewayError(INVALID, "isv.invalid-app-id")
        if not self._in_time(claim.fields["timestamp"]):
            raise GatewayError(INVALID, "isv.invalid-timestamp")
        root = raw.headers.get("alipay-root-cert-sn", "")
        serials = {"app_cert_sn": claim.fields.get("app_cert_sn", ""), "alipay_root_cert_sn": root}
        if sub_code := self._checks.certificates(app, serials):
            raise GatewayError(INVALID, sub_code)
        target = f"{raw.path}?{raw.query}" if raw.query else raw.path
        token = raw.headers.get("alipay-app-auth-token", "")
        parts = [claim.text, raw.method, target, raw.body.decode("utf-8", "replace"), *([token] if token else [])]
        text = "".join(f"{part}\n" for part in parts).encode()
        if not verified(self._apps.public_key(app), claim.fields["sign"], text, "RSA2"):
            raise GatewayError(INVALID, "isv.invalid-signature")
        return app

    def _in_time(self, text: str) -> bool:
        if not (text.isascii() and text.isdigit() and len(text) < 15):
            return False
        moment = datetime.fromtimestamp(int(text) / 1000, UTC)
        return any(abs(moment - now) <= SKEW for now in (self._machine_now(), self._book.bank.clock.now()))

    def _body(self, raw: RawRequest, app: App, encrypted: str) -> dict[str, object]:
        if raw.method == "GET":
            return dict(parse_qsl(raw.query))
        text = raw.body.decode("utf-8", "replace")
        if encrypted:
            key, cipher = decode_base64(app.aes_key), decode_base64(text)
            if encrypted != "AES" or not key or not cipher:
                raise GatewayError(INVALID, "isv.decryption-error-unknown")
            try:
                text = aes_cbc_decrypt(key, cipher, AES_IV).decode()
            except ValueError:
                raise GatewayError(INVALID, "isv.decryption-error-unknown") from None
        return read_json(text, _not_json)

    def _faults(self, raw: RawRequest, call: Call) -> list[Struck]:
        try:
            struck = from_header(raw.headers.get(FAULT_HEADER, ""))
        except ValueError:
            raise GatewayError(INVALID, "isv.invalid-parameter") from None
        for stage in (Stage.REQUEST, Stage.REPLY):
            struck += self._book.bank.faults.draw(stage, CHANNEL, call.app.app_id, call.method)
        return struck

    def _signed(self, call: Call, status: int, fields: Mapping[str, object]) -> Answer:
        fields = changed(fields, call.faults)
        if fields.get("sub_code"):
            status, fields = 500, _error_body(str(fields["sub_code"]))
        rest = {name: fields[name] for name in sorted(fields) if fields[name] not in ("", None)}
        body, kind = msgspec.json.encode(rest), "application/json;charset=utf-8"
        if call.encrypted:
            key = decode_base64(call.app.aes_key)
            assert key, "an encrypted call has passed the door with this key"
            body, kind = base64.b64encode(aes_cbc_encrypt(key, body, AES_IV)), "text/plain;charset=utf-8"
        serial, key_ = self._writer.certificate(call)
        if find(call.faults, Fault.REPLY_BAD_SIGNATURE):
            key_ = self._apps.stranger_key
        stamp, nonce = str(int(call.now.timestamp() * 1000)), self._book.bank.token(32)
        signature = sign(key_, f"{stamp}\n{nonce}\n".encode() + body + b"\n", "RSA2")
        headers = {"content-type": kind, "alipay-timestamp": stamp, "alipay-nonce": nonce}
        headers |= {"alipay-trace-id": self._book.bank.token(32), "alipay-signature": signature}
        headers |= {"alipay-sn": serial} if serial else {}
        if find(call.faults, Fault.REPLY_UNSIGNED):
            del headers["alipay-signature"]
        if find(call.faults, Fault.REPLY_TAMPERED):
            body = body.replace(b'":"', b'": "', 1)
        if find(call.faults, Fault.REPLY_TRUNCATED):
            body = body[: len(body) // 2]
        ending = next((end for fault, end in ENDINGS.items() if find(call.faults, fault)), Ending.ANSWERED)
        return Answer(status, headers, body, ending)


def _before(faults: list[Struck]) -> Answer | None:
    """What a fault answers before anything was done."""
    if find(faults, Fault.UNREACHABLE):
        return Answer(ending=Ending.DROPPED)
    if find(faults, Fault.UNAVAILABLE):
        return _refusal(500, "unknow-error", SUB_MESSAGES["isp.unknow-error"])
    if find(faults, Fault.BAD_GATEWAY):
        return Answer(502, {"content-type": "text/html"}, b"<html>502</html>")
    for fault, (status, code) in REFUSED.items():
        if find(faults, fault):
            return _refusal(status, code, code)
    return None


def _short(sub_code: str) -> str:
    """Gateway codes lose their prefix, business codes keep it."""
    return sub_code if sub_code.startswith("ACQ.") else sub_code.partition(".")[2] or sub_code


def _error_body(sub_code: str) -> dict[str, object]:
    link = {"link": "https://open.alipay.com/api/errCheck", "desc": "解决方案"}
    return {"code": _short(sub_code), "message": SUB_MESSAGES.get(sub_code, sub_code), "links": [link]}


def _refusal(status: int, code: str, message: str) -> Answer:
    body = msgspec.json.encode({"code": code, "message": message, "links": []})
    return Answer(status, {"content-type": "application/json;charset=utf-8"}, body)


def _not_json() -> NoReturn:
    raise GatewayError(INVALID, "isv.illegal-json")
