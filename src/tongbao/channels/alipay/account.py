"""An Alipay application with its keys, opened once: what every exchange is driven with.

Rule: keys are parsed here and nowhere else, because a checked load costs a hundred signatures. A key that cannot be
right (unreadable, too short, our own public key in place of Alipay's) is refused here with the parameter's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tongbao.channels.alipay.signing import SignType
from tongbao.crypto import KeySource, KeyUnreadable, RsaPrivateKey, RsaPublicKey, decode_base64
from tongbao.domain.errors import InvalidInput
from tongbao.ports import Clock, Timeouts
from tongbao.system import SystemClock

PRODUCTION_URL = "https://openapi.alipay.com/gateway.do"
SANDBOX_URL = "https://openapi-sandbox.dl.alipaydev.com/gateway.do"

CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gbk", "gb2312": "gbk"}
"""What a caller may write -> Python's codec. On the wire stand `utf-8` and `GBK`."""

BITS_MIN = 2048


class KeyRing:
    """Alipay's public keys by certificate serial. In key mode there is one, without a serial."""

    def __init__(self, keys: Mapping[str | None, RsaPublicKey]) -> None:
        self._keys = dict(keys)

    def find(self, serial: str | None) -> RsaPublicKey | None:
        """The key named by `serial`; in key mode the only one, whatever the answer names."""
        return self._keys.get(serial) or self._keys.get(None)

    def add(self, serial: str, key: RsaPublicKey) -> None:
        self._keys[serial] = key


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An application (`app_id`) at one gateway address. Prints without its secrets."""

    gateway_url: str
    app_id: str
    private_key: RsaPrivateKey = field(repr=False)
    alipay_keys: KeyRing = field(repr=False)
    sign_type: SignType
    charset: str
    aes_key: bytes | None = field(repr=False)
    app_auth_token: str | None = field(repr=False)
    clock: Clock = field(repr=False)
    timeouts: Timeouts
    serials: Mapping[str, str] = field(default_factory=dict)
    """`app_cert_sn` and `alipay_root_cert_sn` in certificate mode, sent with every call."""

    @property
    def wire_charset(self) -> str:
        return "GBK" if self.charset == "gbk" else self.charset


def open_account(
    *,
    app_id: str,
    private_key: KeySource,
    alipay_public_key: KeySource,
    gateway_url: str = PRODUCTION_URL,
    sign_type: str = "RSA2",
    charset: str = "utf-8",
    aes_key: str | None = None,
    app_auth_token: str | None = None,
    clock: Clock | None = None,
    timeouts: Timeouts | None = None,
) -> Account:
    """Reads the keys and checks what can be checked without a call; raises InvalidInput with `param`."""
    kind = _sign_type(sign_type)
    own = _private_key(private_key, kind)
    theirs = _public_key(alipay_public_key)
    if own.public() == theirs:
        raise InvalidInput(
            "this is the public key of your own private key; Alipay's public key stands in the console "
            "under 'interface signing', beside your own",
            param="alipay_public_key",
        )
    return Account(
        gateway_url=_gateway_url(gateway_url),
        app_id=_app_id(app_id),
        private_key=own,
        alipay_keys=KeyRing({None: theirs}),
        sign_type=kind,
        charset=_charset(charset),
        aes_key=_aes_key(aes_key),
        app_auth_token=app_auth_token,
        clock=clock or SystemClock(),
        timeouts=timeouts or Timeouts(),
    )


def _app_id(app_id: str) -> str:
    text = app_id.strip()
    if not text or len(text) > 32 or not text.isascii() or not text.isalnum():
        raise InvalidInput("an app id is at most 32 letters and digits, e.g. 2021000000000001", param="app_id")
    return text


def _gateway_url(url: str) -> str:
    text = url.strip()
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.netloc:
        raise InvalidInput(f"the gateway address is a URL such as {PRODUCTION_URL}", param="gateway_url")
    return text


def _sign_type(text: str) -> SignType:
    try:
        return SignType(text)
    except ValueError:
        raise InvalidInput("sign_type is RSA2, or RSA for an app from before 2018", param="sign_type") from None


def _charset(text: str) -> str:
    try:
        return CHARSETS[text.lower()]
    except KeyError:
        raise InvalidInput("charset is utf-8 or GBK", param="charset") from None


def _private_key(source: KeySource, sign_type: SignType) -> RsaPrivateKey:
    try:
        key = RsaPrivateKey.load(source)
    except (KeyUnreadable, OSError) as error:
        raise InvalidInput(f"the private key cannot be read: {error}", param="private_key") from None
    if sign_type is SignType.RSA2 and key.bits < BITS_MIN:
        raise InvalidInput(f"RSA2 needs a key of {BITS_MIN} bits, this one has {key.bits}", param="private_key")
    return key


def _public_key(source: KeySource) -> RsaPublicKey:
    try:
        return RsaPublicKey.load(source)
    except (KeyUnreadable, OSError) as error:
        raise InvalidInput(f"Alipay's public key cannot be read: {error}", param="alipay_public_key") from None


def _aes_key(text: str | None) -> bytes | None:
    if text is None:
        return None
    key = decode_base64(text)
    if key is None or len(key) not in (16, 24, 32):
        raise InvalidInput("the AES key is base64 of 16 bytes, as the console shows it", param="aes_key")
    return key
