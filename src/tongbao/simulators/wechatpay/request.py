"""Who asks, and whether to believe it: the checks of an APIv3 request in the channel's order, before any business.

Rule: the first check that fails answers, unsigned: user agent and accept (all families but payments), Authorization,
time, serial, signature. The signed text holds the target as it was sent. Below the sandbox's own prefix both readings
of it are taken, with and without the prefix, because clients differ; at the root there is only one. Time is good when
it fits the machine's clock or the sandbox's (which may be ahead). Nonces may repeat: that they may not is unverified.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from tongbao.crypto import decode_base64
from tongbao.simulators.faults import Struck
from tongbao.simulators.wechatpay.errors import Refusal, Unsigned, sign_error
from tongbao.simulators.wechatpay.merchants import Merchants
from tongbao.simulators.wechatpay.model import Merchant
from tongbao.simulators.wechatpay.wire import SCHEME, lines
from tongbao.transport import RawRequest

SKEW = timedelta(minutes=5)
SHOWN_CHARACTERS = 256
_PAIR = re.compile(r'\s*([a-z_]+)="([^"]*)"\s*(?:,|$)')
_PARTS = frozenset({"mchid", "nonce_str", "timestamp", "serial_no", "signature"})
_WIDE = re.compile("[\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Call:
    """A proven request. `stamp` is the time on the caller's wire: the clock that its own time stamp agreed with.

    `document` is the bytes that a multipart request carries beside its JSON.
    """

    merchant: Merchant
    route: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]
    serial: str
    now: datetime
    stamp: datetime
    base_url: str
    site: str
    takes_gzip: bool = False
    document: bytes = b""
    file_name: str = ""
    faults: list[Struck] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Proof:
    """What the Authorization header claims."""

    mchid: str
    nonce_str: str
    timestamp: str
    serial_no: str
    signature: str


class Checks:
    """The door keeper."""

    def __init__(self, merchants: Merchants) -> None:
        self._merchants = merchants

    def agent(self, raw: RawRequest, *, pays: bool) -> None:
        if not pays and not (raw.headers.get("user-agent", "").strip() and raw.headers.get("accept", "").strip()):
            raise Unsigned(400, "INVALID_REQUEST", "Http头缺少Accept或User-Agent")

    def proof(self, raw: RawRequest, *, pays: bool) -> Proof:
        """Raises Unsigned in the words of the path's family."""
        scheme, _, text = raw.headers.get("authorization", "").strip().partition(" ")
        if pays and scheme != SCHEME:
            raise sign_error("签名信息错误，验签失败", named=False)
        if scheme and text and scheme != SCHEME:
            raise sign_error("HTTP头Authorization认证类型不正确")
        pairs = dict(_PAIR.findall(text))
        if set(pairs) != _PARTS or not all(pairs.values()) or _PAIR.sub("", text).strip():
            if pays:
                raise sign_error("签名信息错误，验签失败", named=False)
            raise sign_error("Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》")
        return Proof(**pairs)

    def merchant(
        self, raw: RawRequest, proof: Proof, targets: tuple[str, ...], signed: bytes, clocks: tuple[datetime, ...]
    ) -> tuple[Merchant, datetime]:
        """The caller and its clock; raises Unsigned."""
        stamp = _clock(proof.timestamp, clocks)
        if stamp is None:
            raise sign_error("Http头Authorization中的timestamp与发起请求的时间不得超过5分钟")
        merchant = self._merchants.get(proof.mchid)
        if merchant is None:
            raise sign_error("商户未申请过证书。")
        if proof.serial_no != merchant.serial:
            raise sign_error("商户证书序列号有误。请使用签名私钥匹配的证书序列号")
        key, signature = self._merchants.public_key(merchant.mchid), decode_base64(proof.signature)
        rest = (proof.timestamp.encode("latin-1"), proof.nonce_str.encode("latin-1"), signed)
        texts = [lines(raw.method.encode(), target.encode("latin-1"), *rest) for target in targets]
        if signature is None or not any(key.verify(signature, text) for text in texts):
            raise _wrong_signature(raw, targets[0], texts[0])
        return merchant, stamp


def _clock(text: str, clocks: tuple[datetime, ...]) -> datetime | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 11):
        return None
    moment = datetime.fromtimestamp(int(text), UTC)
    return next((clock for clock in clocks if abs(moment - clock) <= SKEW), None)


def _wrong_signature(raw: RawRequest, target: str, text: bytes) -> Unsigned:
    """401; with `X-Sandbox-Explain: 1` it says what was verified, as older documents show."""
    error = sign_error("签名错误")
    if raw.headers.get("x-sandbox-explain"):
        error.message = "错误的签名，验签失败"
        shown = text[:SHOWN_CHARACTERS].decode("utf-8", "replace")
        seen = {"method": raw.method, "url": target, "truncated_sign_message": shown, "sign_message_length": len(text)}
        where = {"field": "signature", "issue": "sign not match", "location": "authorization"}
        error.detail = {**where, "sign_information": seen}
    return error


def read_body(raw: RawRequest, body: bytes) -> dict[str, Any]:
    """The JSON object of a request, empty when there is none; raises Refusal."""
    if not body:
        return {}
    if not raw.headers.get("content-type", "").lower().startswith(("application/json", "multipart/form-data")):
        raise Refusal("param", message="Http头Content-Type错误，请使用application/json")
    try:
        text = body.decode()
        value = msgspec.json.decode(body)
        wide = _WIDE.search(text) or ("\\u" in text and _WIDE.search(msgspec.json.encode(value).decode()))
        null = _null(value, "/body") if b"null" in body else ""
    except (UnicodeError, msgspec.DecodeError, RecursionError):
        raise Refusal("param", message="请求体不是合法的JSON") from None
    if wide:
        raise Refusal("illegal_text")
    if not isinstance(value, dict):
        raise Refusal("param", message="请求体不是合法的JSON")
    if null:
        raise Refusal("param", message=f"输入源“{null}”不能为null", detail={"location": "body", "value": ""})
    return value


def _null(value: Any, pointer: str) -> str:
    """Where a null is, empty when there is none."""
    if value is None:
        return pointer
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for key, item in items if (found := _null(item, f"{pointer}/{key}"))), "")


def read_query(raw: RawRequest) -> dict[str, str]:
    return dict(parse_qsl(raw.query, keep_blank_values=True))
