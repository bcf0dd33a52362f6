"""Reading a request at the gateway's door: merge, decode, and the checks in their order.

Rule: the order is method and app id, then format, charset, sign type, timestamp and version, then the signature, then
encryption and the business JSON; only 'app id before signature' is documented, the rest is this simulator's choice.
Stricter than the documents where they are silent or disagree: an absent `sign_type` is refused (one source says it is
RSA); a parameter that comes twice with different values is refused; `sign_type` must be the one the app is registered
with. The timestamp's form is checked and not its distance from now, because the accepted distance is not published and
the sandbox's time can travel.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from email.parser import BytesParser
from email.policy import HTTP
from typing import NoReturn
from urllib.parse import parse_qsl

import msgspec

from tongbao.crypto import aes_cbc_decrypt, decode_base64
from tongbao.simulators.alipay.apps import Apps
from tongbao.simulators.alipay.errors import GatewayError
from tongbao.simulators.alipay.model import App
from tongbao.simulators.alipay.wire import CHARSETS, DIGESTS, from_china_time, sign_content, verified
from tongbao.simulators.faults import Struck
from tongbao.transport import RawRequest

MISSING, INVALID = "40001", "40002"
AES_IV = bytes(16)


@dataclass(slots=True)
class Call:
    """A request proven to come from `app`. `charset` is as the caller wrote it, `codec` Python's name for it.

    With `app_auth_token` the call is made for another merchant: `app.seller_id` is then that merchant's, and
    `auth_app_id` its application.
    """

    app: App
    method: str
    params: Mapping[str, str]
    biz: dict[str, object]
    charset: str
    codec: str
    now: datetime
    faults: list[Struck] = field(default_factory=list)
    auth_app_id: str = ""
    base_url: str = ""

    @property
    def encrypted(self) -> bool:
        return "encrypt_type" in self.params

    def text(self, name: str) -> str:
        """A business field as text; absent is empty, numbers are written out."""
        value = self.biz.get(name, "")
        return "" if value is None else str(value)


def read_params(raw: RawRequest) -> dict[str, str]:
    """Query and body merged and decoded in the request's charset; raises GatewayError."""
    pairs = _pairs(raw, "latin-1")
    names = dict(pairs)
    method = names.get("method", "")
    codec = CHARSETS.get(names.get("charset", "").lower(), "utf-8")
    try:
        pairs = _pairs(raw, codec)
    except UnicodeDecodeError:
        raise GatewayError(INVALID, "isv.invalid-charset", method=method) from None
    params: dict[str, str] = {}
    for name, value in pairs:
        if params.setdefault(name, value) != value:
            raise GatewayError(INVALID, "isv.invalid-parameter", method=method, charset=codec)
    return params


def _pairs(raw: RawRequest, codec: str) -> list[tuple[str, str]]:
    found = _form(raw.query, codec)
    content_type = raw.headers.get("content-type", "").lower()
    if content_type.startswith("multipart/form-data"):
        return found + _multipart(raw, codec)
    if raw.body and "json" not in content_type:
        found += _form(raw.body.decode("latin-1"), codec)
    return found


def _form(text: str, codec: str) -> list[tuple[str, str]]:
    """A query or a form body; characters beyond ASCII that somebody left unescaped are read as the bytes they were."""
    escaped = "".join(char if char < "\x80" else f"%{ord(char):02X}" for char in text)
    try:
        return parse_qsl(escaped, keep_blank_values=True, encoding=codec, errors="strict", max_num_fields=200)
    except UnicodeDecodeError:
        raise
    except ValueError:
        raise GatewayError(INVALID, "isv.invalid-parameter") from None


def _multipart(raw: RawRequest, codec: str) -> list[tuple[str, str]]:
    head = f"Content-Type: {raw.headers['content-type']}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + raw.body)
    pairs = []
    for part in message.iter_parts():
        name, payload = part.get_param("name", header="content-disposition"), part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes) and not part.get_filename():
            pairs.append((name, payload.decode(codec)))
    return pairs


class Checks:
    """The checks, with what they need to know: the registered apps and the names of all methods."""

    def __init__(self, apps: Apps, methods: Mapping[str, object]) -> None:
        self._apps = apps
        self._methods = methods
        self.certificates: Callable[[App, Mapping[str, str]], str] = lambda app, params: ""
        self.merchant_of: Callable[[str, datetime], App | None] = lambda token, now: None

    def accept(self, params: dict[str, str], now: datetime) -> Call:
        """The proven call; raises GatewayError for the first check that fails."""
        app = self._who(params)
        self._how(params, app)
        self._signature(params, app)
        method, charset = params["method"], params["charset"]
        biz = read_json(self._clear_text(params, app), lambda: _refuse(params, INVALID, "isv.illegal-json"))
        call = Call(app, method, params, biz, charset, CHARSETS[charset.lower()], now)
        if token := params.get("app_auth_token"):
            merchant = self.merchant_of(token, now) or _refuse(params, "20001", "aop.invalid-app-auth-token")
            call.app = msgspec.structs.replace(app, seller_id=merchant.seller_id)
            call.auth_app_id = merchant.app_id
        return call

    def _who(self, params: Mapping[str, str]) -> App:
        if not params.get("method"):
            _refuse(params, MISSING, "isv.missing-method")
        if not params.get("app_id"):
            _refuse(params, MISSING, "isv.missing-app-id")
        if params["method"] not in self._methods:
            _refuse(params, INVALID, "isv.invalid-method")
        return self._apps.get(params["app_id"]) or _refuse(params, INVALID, "isv.invalid-app-id")

    def _how(self, params: Mapping[str, str], app: App) -> None:
        for holds, code, sub_code in (
            (params.get("format", "JSON") in ("JSON", "json"), INVALID, "isv.invalid-format"),
            (params.get("charset", "").lower() in CHARSETS, INVALID, "isv.invalid-charset"),
            (params.get("sign_type"), MISSING, "isv.missing-signature-type"),
            (params.get("sign_type") in DIGESTS, INVALID, "isv.invalid-signature-type"),
            (params.get("sign_type") == app.sign_type, INVALID, "isv.invalid-signature-type"),
            (params.get("timestamp"), MISSING, "isv.missing-timestamp"),
            (from_china_time(params.get("timestamp", "")), INVALID, "isv.invalid-timestamp"),
            (params.get("version"), MISSING, "isv.missing-version"),
            (params.get("version") == "1.0", INVALID, "isv.invalid-parameter"),
        ):
            if not holds:
                _refuse(params, code, sub_code)

    def _signature(self, params: Mapping[str, str], app: App) -> None:
        if sub_code := self.certificates(app, params):
            _refuse(params, MISSING if "missing" in sub_code else INVALID, sub_code)
        if not params.get("sign"):
            _refuse(params, MISSING, "isv.missing-signature")
        codec = CHARSETS[params["charset"].lower()]
        text = sign_content(params, without=("sign",)).encode(codec)
        if not verified(self._apps.public_key(app), params["sign"], text, app.sign_type):
            _refuse(params, INVALID, "isv.invalid-signature")

    def _clear_text(self, params: Mapping[str, str], app: App) -> str:
        """`biz_content`, decrypted when `encrypt_type` says so."""
        content = params.get("biz_content", "")
        kind = params.get("encrypt_type")
        if kind is None:
            return content
        if kind != "AES":
            _refuse(params, INVALID, "isv.invalid-encrypt-type")
        if not app.aes_key:
            _refuse(params, INVALID, "isv.decryption-error-not-valid-encrypt-key")
        cipher, key = decode_base64(content), decode_base64(app.aes_key)
        if not cipher or key is None:
            _refuse(params, INVALID, "isv.decryption-error-unknown")
        try:
            return aes_cbc_decrypt(key, cipher, AES_IV).decode(CHARSETS[params["charset"].lower()])
        except ValueError:
            _refuse(params, INVALID, "isv.decryption-error-unknown")


def read_json(text: str, refuse: Callable[[], NoReturn]) -> dict[str, object]:
    """A JSON object; numbers with a point stay exact. Refused are a name that
    comes twice, NaN, bottomless nesting and half surrogate pairs."""
    if not text:
        return {}
    try:
        value = json.loads(text, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_unique)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False, default=str).encode()  # half a surrogate pair is no text
    except (ValueError, ArithmeticError, RecursionError):
        refuse()
    if not isinstance(value, dict):
        refuse()
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse(params: Mapping[str, str], code: str, sub_code: str) -> NoReturn:
    charset = CHARSETS.get(params.get("charset", "").lower(), "utf-8")
    raise GatewayError(code, sub_code, method=params.get("method", ""), charset=charset)
