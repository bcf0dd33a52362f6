"""An Alipay application with its keys, opened once: what every exchange is driven with.

Rule: keys are parsed here and nowhere else, because a checked load costs a hundred signatures. A key that cannot be
right (unreadable, too short, our own public key in place of Alipay's) is refused here with the parameter's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.x509 import Certificate

from tongbao.channels.alipay.certificates import Trust, certificate_from, public_key_of, root_serial_of, serial_of
from tongbao.channels.alipay.signing import SignType
from tongbao.crypto import KeySource, KeyUnreadable, RsaPrivateKey, RsaPublicKey, decode_base64
from tongbao.domain.errors import InvalidInput
from tongbao.ports import Clock, Ids, Timeouts
from tongbao.system import SystemClock, SystemIds

PRODUCTION_URL = "https://openapi.alipay.com/gateway.do"
SANDBOX_URL = "https://openapi-sandbox.dl.alipaydev.com/gateway.do"

CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gbk", "gb2312": "gbk"}
"""What a caller may write -> Python's codec. On the wire stand `utf-8` and `GBK`."""

BITS_MIN = 2048


class KeyRing:
    """Alipay's public keys: one without a serial (key mode), or some by the serial of their certificate."""

    def __init__(self, keys: Mapping[str | None, RsaPublicKey]) -> None:
        self._keys = dict(keys)

    def candidates(self, serial: str | None) -> tuple[RsaPublicKey, ...]:
        """The keys that a message may be signed with: the one it names; in key mode, or where it names none, all."""
        if serial is None or None in self._keys:
            return tuple(self._keys.values())
        return (self._keys[serial],) if serial in self._keys else ()

    def add(self, serial: str, key: RsaPublicKey) -> None:
        self._keys = {**self._keys, serial: key}


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
    ids: Ids = field(repr=False)
    timeouts: Timeouts
    serials: Mapping[str, str] = field(default_factory=dict)
    """`app_cert_sn` and `alipay_root_cert_sn` in certificate mode, sent with every call."""
    trust: Trust | None = field(default=None, repr=False)
    """Certificate mode: what a new certificate of Alipay's is measured against."""

    @property
    def wire_charset(self) -> str:
        return "GBK" if self.charset == "gbk" else self.charset


def open_account(
    *,
    app_id: str,
    private_key: KeySource,
    alipay_public_key: KeySource | None = None,
    app_cert: KeySource | None = None,
    alipay_cert: KeySource | None = None,
    alipay_root_cert: KeySource | None = None,
    gateway_url: str = PRODUCTION_URL,
    sign_type: str = "RSA2",
    charset: str = "utf-8",
    aes_key: str | None = None,
    app_auth_token: str | None = None,
    clock: Clock | None = None,
    ids: Ids | None = None,
    timeouts: Timeouts | None = None,
) -> Account:
    """Reads keys and certificates and checks what can be checked without a call; raises InvalidInput with `param`."""
    kind = _sign_type(sign_type)
    own = _private_key(private_key, kind)
    ring, serials, trust = _theirs(own, alipay_public_key, app_cert, alipay_cert, alipay_root_cert)
    return Account(
        gateway_url=_gateway_url(gateway_url),
        app_id=_app_id(app_id),
        private_key=own,
        alipay_keys=ring,
        sign_type=kind,
        charset=_charset(charset),
        aes_key=_aes_key(aes_key),
        app_auth_token=app_auth_token,
        clock=clock or SystemClock(),
        ids=ids or SystemIds(),
        timeouts=timeouts or Timeouts(),
        serials=serials,
        trust=trust,
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
        app_id=text("app_id") or "",
        private_key=file("private_key") or b"",
        alipay_public_key=file("alipay_public_key"),
        app_cert=file("app_cert"),
        alipay_cert=file("alipay_cert"),
        alipay_root_cert=file("alipay_root_cert"),
        gateway_url=text("gateway_url") or "",
        sign_type=text("sign_type") or "RSA2",
        charset=text("charset") or "utf-8",
        aes_key=text("aes_key"),
        app_auth_token=text("app_auth_token"),
        clock=clock,
    )


Theirs = tuple[KeyRing, Mapping[str, str], Trust | None]


def _theirs(
    own: RsaPrivateKey,
    public_key: KeySource | None,
    app_cert: KeySource | None,
    alipay_cert: KeySource | None,
    root_cert: KeySource | None,
) -> Theirs:
    """Alipay's side: its public key, or the three certificates; one app id uses either."""
    certificates = {"app_cert": app_cert, "alipay_cert": alipay_cert, "alipay_root_cert": root_cert}
    given = {name: source for name, source in certificates.items() if source}
    if public_key and given:
        raise InvalidInput("give Alipay's public key or the three certificates, not both", param="alipay_public_key")
    if not given:
        if not public_key:
            raise InvalidInput("Alipay's public key is missing (or the three certificates)", param="alipay_public_key")
        return KeyRing({None: _public_key(public_key, own)}), {}, None
    missing = sorted(certificates.keys() - given.keys())
    if missing:
        raise InvalidInput(f"certificate mode needs {missing[0]} too", param=missing[0])
    return _certificate_mode(own, {name: _certificates(source, name) for name, source in given.items()})


def _certificate_mode(own: RsaPrivateKey, found: Mapping[str, list[Certificate]]) -> Theirs:
    app, (leaf, *intermediates), roots = found["app_cert"][0], found["alipay_cert"], found["alipay_root_cert"]
    if _key_of(app, "app_cert") != own.public():
        raise InvalidInput("the app's certificate does not belong to this private key", param="app_cert")
    serials = {"app_cert_sn": serial_of(app), "alipay_root_cert_sn": root_serial_of(roots)}
    if not serials["alipay_root_cert_sn"]:
        raise InvalidInput("the root bundle holds no RSA certificate; is it whole?", param="alipay_root_cert")
    ring = KeyRing({serial_of(leaf): _key_of(leaf, "alipay_cert")})
    return ring, serials, Trust(leaf, tuple(intermediates), tuple(roots))


def _certificates(source: KeySource, param: str) -> list[Certificate]:
    try:
        return certificate_from(source)
    except (KeyUnreadable, ValueError, OSError) as error:
        raise InvalidInput(f"{param} cannot be read: {error}", param=param) from None


def _key_of(certificate: Certificate, param: str) -> RsaPublicKey:
    try:
        return public_key_of(certificate)
    except KeyUnreadable as error:
        raise InvalidInput(f"{param}: {error}", param=param) from None


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


def _public_key(source: KeySource, own: RsaPrivateKey) -> RsaPublicKey:
    try:
        key = RsaPublicKey.load(source)
    except (KeyUnreadable, OSError) as error:
        raise InvalidInput(f"Alipay's public key cannot be read: {error}", param="alipay_public_key") from None
    if key == own.public():
        raise InvalidInput(
            "this is the public key of your own private key; Alipay's public key stands in the console "
            "under 'interface signing', beside your own",
            param="alipay_public_key",
        )
    return key


def _aes_key(text: str | None) -> bytes | None:
    if text is None:
        return None
    key = decode_base64(text)
    if key is None or len(key) not in (16, 24, 32):
        raise InvalidInput("the AES key is base64 of 16 bytes, as the console shows it", param="aes_key")
    return key
