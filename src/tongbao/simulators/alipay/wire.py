"""How Alipay writes things: money, times, masked names, JSON nodes, and the texts that are signed.

Rule: a node is serialised once; those bytes are signed and spliced verbatim into the answer.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
from cryptography import x509

from tongbao.crypto import Digest, RsaPrivateKey, RsaPublicKey, decode_base64

CHINA = timezone(timedelta(hours=8))
DIGESTS = {"RSA2": Digest.SHA256, "RSA": Digest.SHA1}
CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gbk", "gb2312": "gbk"}
AMOUNT_MIN_MINOR, AMOUNT_MAX_MINOR = 1, 100_000_000_00
_AMOUNT = re.compile(r"-?\d{1,12}(\.\d{1,2})?", re.ASCII)
_ENVELOPE_FIRST = ("code", "msg", "sub_code", "sub_msg")
_RSA_FAMILY = "1.2.840.113549.1.1"


def yuan(amount_minor: int) -> str:
    """Fen as Alipay writes money: `-1` is `-0.01`."""
    sign, amount = ("-", -amount_minor) if amount_minor < 0 else ("", amount_minor)
    return f"{sign}{amount // 100}.{amount % 100:02d}"


def fen(value: object) -> int | None:
    """Money from a JSON string or number with at most two decimals; None when it is neither."""
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return None
    text = str(value)
    return int(Decimal(text) * 100) if _AMOUNT.fullmatch(text) else None


def china_time(instant: datetime) -> str:
    """`yyyy-MM-dd HH:mm:ss` in GMT+8."""
    return instant.astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S")


def china_millis(instant: datetime) -> str:
    """`yyyy-MM-dd HH:mm:ss.SSS` in GMT+8."""
    return f"{china_time(instant)}.{instant.microsecond // 1000:03d}"


def from_china_time(text: str) -> datetime | None:
    """The instant of `yyyy-MM-dd HH:mm:ss` (exactly 19 characters) in GMT+8, None when it is not one."""
    try:
        return (
            datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA).astimezone(UTC)
            if len(text) == 19
            else None
        )
    except ValueError:
        return None


def masked(logon_id: str) -> str:
    """A logon id as merchants see it: `138****8000`, `mei***@sandbox.example`."""
    name, at, host = logon_id.partition("@")
    return f"{name[:3]}***@{host}" if at else f"{logon_id[:3]}****{logon_id[-4:]}"


def sign_content(params: Mapping[str, str], *, without: Iterable[str]) -> str:
    """`k=v&k=v` over the parameters that are not blank, sorted by name; values as they are, not URL-encoded."""
    left_out = frozenset(without)
    names = sorted(name for name, value in params.items() if name and name not in left_out and value.strip())
    return "&".join([f"{name}={params[name]}" for name in names])


def sign(key: RsaPrivateKey, text: bytes, sign_type: str) -> str:
    return base64.b64encode(key.sign(text, DIGESTS[sign_type])).decode()


def verified(key: RsaPublicKey, signature: str, text: bytes, sign_type: str) -> bool:
    raw = decode_base64(signature)
    return raw is not None and key.verify(raw, text, DIGESTS[sign_type])


def node_text(node: Mapping[str, object]) -> str:
    """A node as compact JSON: code, msg, sub_code, sub_msg, then the others by name."""
    head = {name: node[name] for name in _ENVELOPE_FIRST if name in node}
    rest = {name: node[name] for name in sorted(node) if name not in head and node[name] not in ("", None)}
    return msgspec.json.encode({**head, **rest}).decode()


def encoded(text: str) -> str:
    """Base64 of a text."""
    return base64.b64encode(text.encode()).decode()


def encoded_json(value: object) -> str:
    """Compact JSON."""
    return msgspec.json.encode(value).decode()


def node_name(method: str) -> str:
    return method.replace(".", "_") + "_response"


def certificate_sn(certificate: x509.Certificate) -> str:
    """MD5 over issuer (RFC 2253, CN first) and decimal serial number, 32 lower-case hex digits."""
    text = certificate.issuer.rfc4514_string() + str(certificate.serial_number)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def root_sn(certificates: Iterable[x509.Certificate]) -> str:
    """The serials of the RSA-family certificates of a root bundle, in file order, joined by `_`."""
    rsa_only = (one for one in certificates if one.signature_algorithm_oid.dotted_string.startswith(_RSA_FAMILY))
    return "_".join(certificate_sn(one) for one in rsa_only)
