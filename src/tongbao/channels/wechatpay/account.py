"""A WeChat Pay merchant with its keys, opened once: what every exchange is driven with.

Rule: keys are parsed here and nowhere else, because a checked load costs a hundred signatures. What cannot be right (a
key that cannot be read, an APIv3 key of another length, our own public key in place of WeChat's) is refused here with
the parameter's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.x509 import Certificate

from tongbao.channels.wechatpay.certificates import (
    PUBLIC_KEY_START,
    KeyRing,
    WechatKey,
    certificates_from,
    is_pair,
    key_from_certificate,
    serial_of,
)
from tongbao.channels.wechatpay.signing import Scheme, SigningKey, VerifyingKey
from tongbao.crypto import KeySource, KeyUnreadable, RsaPrivateKey, RsaPublicKey, Sm2PrivateKey, Sm2PublicKey, sm3
from tongbao.domain.errors import InvalidInput
from tongbao.ports import Clock, Ids, Timeouts
from tongbao.system import SystemClock, SystemIds

PRODUCTION_URL = "https://api.mch.weixin.qq.com"
BACKUP_URL = "https://api2.mch.weixin.qq.com"
"""The other city: same behaviour, same signatures, because the host is not signed."""

BITS_MIN = 2048
APIV3_KEY_LENGTH = 32


class Apiv3Key:
    """The merchant's APIv3 key; decrypts notifications and certificates. Prints as ***."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode()

    def for_scheme(self, scheme: Scheme) -> bytes:
        """32 bytes for AES; SM4 takes the first 16 of their SM3."""
        return self._bytes if scheme is Scheme.RSA else sm3(self._bytes)[:16]

    def __repr__(self) -> str:
        return "Apiv3Key(***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A merchant (`mchid`) and one of its apps at one gateway address. Prints without its secrets."""

    gateway_url: str
    mchid: str
    appid: str | None
    private_key: SigningKey = field(repr=False)
    serial: str
    """Of the merchant's API certificate."""
    decryption_key: bytes = field(repr=False)
    keys: KeyRing = field(repr=False)
    scheme: Scheme = Scheme.RSA
    sub_mchid: str | None = None
    sub_appid: str | None = None
    roots: tuple[Certificate, ...] = field(default=(), repr=False)
    clock: Clock = field(repr=False)
    ids: Ids = field(repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)


def open_account(
    *,
    mchid: str,
    merchant_private_key: KeySource,
    apiv3_key: str,
    merchant_serial: str | None = None,
    merchant_cert: KeySource | None = None,
    appid: str | None = None,
    public_key_id: str | None = None,
    public_key: KeySource | None = None,
    platform_certs: KeySource | None = None,
    platform_root: KeySource | None = None,
    sub_mchid: str | None = None,
    sub_appid: str | None = None,
    gateway_url: str = PRODUCTION_URL,
    sm_mode: bool = False,
    clock: Clock | None = None,
    ids: Ids | None = None,
    timeouts: Timeouts | None = None,
) -> Account:
    """Reads keys and certificates and checks what can be checked without a call; raises InvalidInput with `param`."""
    scheme = Scheme.SM2 if sm_mode else Scheme.RSA
    own = _private_key(merchant_private_key, scheme)
    certificates = _certificates(platform_certs, "platform_certs") if platform_certs else []
    theirs = _public_key(public_key_id, public_key, own, scheme)
    return Account(
        gateway_url=_gateway_url(gateway_url),
        mchid=_mchid(mchid, "mchid"),
        appid=_appid(appid, "appid"),
        private_key=own,
        serial=_serial(merchant_serial, merchant_cert, own),
        decryption_key=_apiv3_key(apiv3_key).for_scheme(scheme),
        keys=KeyRing(theirs, [_key_from(one) for one in certificates]),
        scheme=scheme,
        sub_mchid=_mchid(sub_mchid, "sub_mchid") if sub_mchid else None,
        sub_appid=_appid(sub_appid, "sub_appid"),
        roots=tuple(_certificates(platform_root, "platform_root") if platform_root else ()),
        clock=clock or SystemClock(),
        ids=ids or SystemIds(),
        timeouts=timeouts or Timeouts(),
    )


def account_from_credentials(credentials: Mapping[str, str], clock: Clock) -> Account:
    """Opens an account from the gateway's credentials; raises InvalidInput with the credential's name as `param`.

    Keys are handed on as bytes: a text could be taken for the path of a file on this machine.
    """

    def text(name: str) -> str | None:
        return credentials.get(name, "").strip() or None

    def file(name: str) -> bytes | None:
        return (text(name) or "").encode() or None

    return open_account(
        gateway_url=text("gateway_url") or "",
        mchid=text("mchid") or "",
        appid=text("appid"),
        merchant_private_key=file("merchant_private_key") or b"",
        merchant_serial=text("merchant_serial"),
        apiv3_key=text("apiv3_key") or "",
        public_key_id=text("public_key_id"),
        public_key=file("public_key"),
        clock=clock,
    )


# --- one setting each --------------------------------------------------------------------------------------------


def _mchid(text: str, param: str) -> str:
    number = text.strip()
    if not number.isascii() or not number.isdigit() or len(number) > 32:
        raise InvalidInput(f"{param} is a merchant number in digits, e.g. 1900000109", param=param)
    return number


def _appid(text: str | None, param: str) -> str | None:
    if text is None or not text.strip():
        return None
    name = text.strip()
    if not name.isascii() or not name.isalnum() or len(name) > 32:
        raise InvalidInput(f"{param} is letters and digits, e.g. wx0000000000000001", param=param)
    return name


def _gateway_url(url: str) -> str:
    text = url.strip().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(f"the gateway address is a URL such as {PRODUCTION_URL}", param="gateway_url")
    return text.removesuffix("/v3")


def _private_key(source: KeySource, scheme: Scheme) -> SigningKey:
    param = "merchant_private_key"
    try:
        if scheme is Scheme.SM2:
            return Sm2PrivateKey.load(source)
        key = RsaPrivateKey.load(source)
    except (KeyUnreadable, OSError) as error:
        raise InvalidInput(f"the merchant's private key cannot be read: {error}", param=param) from None
    if key.bits < BITS_MIN:
        raise InvalidInput(f"WeChat takes keys of {BITS_MIN} bits, this one has {key.bits}", param=param)
    return key


def _serial(text: str | None, source: KeySource | None, own: SigningKey) -> str:
    """The merchant certificate's serial, given or read from the certificate."""
    found = _certificates(source, "merchant_cert")[0] if source else None
    if found is not None and isinstance(own, RsaPrivateKey) and not is_pair(found, own.public()):
        raise InvalidInput("the merchant's certificate does not belong to this private key", param="merchant_cert")
    serial = (text or "").strip().upper().replace(":", "") or (serial_of(found) if found is not None else "")
    if not serial or len(serial) > 40 or set(serial) - set("0123456789ABCDEF"):
        raise InvalidInput(
            "the merchant certificate's serial is up to 40 hexadecimal digits: `openssl x509 -in apiclient_cert.pem "
            "-noout -serial`",
            param="merchant_serial",
        )
    return serial


def _apiv3_key(text: str) -> Apiv3Key:
    key = text.strip()
    if len(key.encode()) != APIV3_KEY_LENGTH:
        raise InvalidInput(f"the APIv3 key has {APIV3_KEY_LENGTH} characters", param="apiv3_key")
    return Apiv3Key(key)


def _public_key(key_id: str | None, source: KeySource | None, own: SigningKey, scheme: Scheme) -> WechatKey | None:
    if not key_id and not source:
        return None
    if not source:
        raise InvalidInput("public_key_id is given without public_key", param="public_key")
    if not key_id or not key_id.strip().startswith(PUBLIC_KEY_START):
        raise InvalidInput(f"the public key's id begins with {PUBLIC_KEY_START}", param="public_key_id")
    try:
        key: VerifyingKey = Sm2PublicKey.load(source) if scheme is Scheme.SM2 else RsaPublicKey.load(source)
    except (KeyUnreadable, OSError) as error:
        raise InvalidInput(f"WeChat Pay's public key cannot be read: {error}", param="public_key") from None
    if isinstance(own, RsaPrivateKey) and key == own.public():
        raise InvalidInput(
            "this is the public key of your own private key; WeChat Pay's is pub_key.pem from the merchant console",
            param="public_key",
        )
    return WechatKey(key_id.strip(), key)


def _certificates(source: KeySource, param: str) -> list[Certificate]:
    try:
        return certificates_from(source)
    except (KeyUnreadable, ValueError, OSError) as error:
        raise InvalidInput(f"{param} cannot be read: {error}", param=param) from None


def _key_from(certificate: Certificate) -> WechatKey:
    try:
        return key_from_certificate(certificate)
    except KeyUnreadable as error:
        raise InvalidInput(f"platform_certs: {error}", param="platform_certs") from None
