"""How WeChat Pay writes things: times, money, JSON, numbers, and the texts that are signed.

Rule: a body is serialised once, compact and with sorted keys; those bytes are signed and sent.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone

import msgspec

from tongbao.crypto import RsaPrivateKey, aes_gcm_encrypt
from tongbao.simulators.bank import Bank

CHINA = timezone(timedelta(hours=8))
SCHEME = "WECHATPAY2-SHA256-RSA2048"
AES = "AEAD_AES_256_GCM"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_ENCODER = msgspec.json.Encoder(order="sorted")
_LONG_FRACTION = re.compile(r"(\.\d{6})\d+")


def china_time(instant: datetime) -> str:
    """`2026-01-02T10:00:05+08:00`: whole seconds, Beijing time."""
    return f"{instant.astimezone(CHINA):%Y-%m-%dT%H:%M:%S}+08:00"


def china_day(instant: datetime) -> str:
    return f"{instant.astimezone(CHINA):%Y%m%d}"


def bill_time(instant: datetime) -> str:
    """`yyyy-MM-dd HH:mm:ss`, Beijing time, as bills write it."""
    return f"{instant.astimezone(CHINA):%Y-%m-%d %H:%M:%S}"


def from_rfc3339(text: str) -> datetime | None:
    """An aware UTC instant; None when the text is not RFC 3339 with an offset."""
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(_LONG_FRACTION.sub(r"\1", text).replace("Z", "+00:00")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def yuan(amount_minor: int) -> str:
    sign, amount = ("-", -amount_minor) if amount_minor < 0 else ("", amount_minor)
    return f"{sign}{amount // 100}.{amount % 100:02d}"


def encoded(value: object) -> bytes:
    """Compact JSON with sorted keys."""
    return _ENCODER.encode(value)


def fingerprint(*values: object) -> str:
    """What a request is compared by when its number comes again."""
    return hashlib.sha256(encoded(values)).hexdigest()


def lines(*parts: bytes) -> bytes:
    """The text that is signed: each part on a line of its own, the last one too."""
    return b"".join([part + b"\n" for part in parts])


def signature(key: RsaPrivateKey, parts: Iterable[bytes]) -> str:
    return base64.b64encode(key.sign(lines(*parts))).decode()


def openid_of(appid: str, user_id: str) -> str:
    """Who a buyer is for one app: 28 characters, different for every app, the same in every run."""
    digest = hashlib.sha256(f"{appid}/{user_id}".encode()).digest()
    return "o" + base64.urlsafe_b64encode(digest).decode()[:27]


def sealed(bank: Bank, secret: str, kind: str, plain: bytes) -> dict[str, str]:
    """A resource encrypted under an APIv3 key; `kind` is its associated data."""
    nonce = bank.token(12)
    cipher = aes_gcm_encrypt(secret.encode(), nonce.encode(), plain, kind.encode())
    return {
        "algorithm": AES,
        "ciphertext": base64.b64encode(cipher).decode(),
        "associated_data": kind,
        "nonce": nonce,
    }


def transaction_number(bank: Bank, now: datetime) -> str:
    """28 digits: `42000`, five digits, the day, ten digits."""
    return f"42000{bank.digits(5)}{china_day(now)}{bank.digits(10)}"


def refund_number(bank: Bank, now: datetime) -> str:
    """29 digits that begin with `503`."""
    return f"503{bank.digits(8)}{china_day(now)}{bank.digits(10)}"


def funds_number(bank: Bank, now: datetime, prefix: str) -> str:
    """Numbers of transfers, sharings and the like: a prefix, the day, digits."""
    return f"{prefix}{bank.digits(9)}{china_day(now)}{bank.digits(10)}"


def prepay_id(bank: Bank, now: datetime) -> str:
    """`wx`, the time, twenty characters: 36 in all."""
    return f"wx{now.astimezone(CHINA):%Y%m%d%H%M%S}{bank.chance(80):020x}"
