"""WeChat's keys: platform certificates and the public key, side by side by serial. Pure.

Rule: a message is verified with the key that its serial names and with no other; a certificate is believed when it
comes out of a reply decrypted with the APIv3 key, names itself rightly, leads to the configured root (where one is
configured) and is valid now. A list is taken over whole when it is proven, and the old one stays until then.
Source: keys and certificates, rotation and the transition to public keys of the protocol.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tongbao.channels.wechatpay.signing import Unreadable, VerifyingKey, decrypt_resource
from tongbao.crypto import KeySource, KeyUnreadable, RsaPublicKey, Sm2PublicKey, load_certificates
from tongbao.domain.errors import MessageNotTrusted
from tongbao.ports import Reply

PUBLIC_KEY_START = "PUB_KEY_ID_"
REFRESH_AFTER = timedelta(hours=12)
"""How old a list may become before it is fetched anew to encrypt with."""
PAUSE = timedelta(seconds=60)
"""Between two fetches for serials that are not known: a stranger can invent as many as he likes."""
PAUSE_EMPTY = timedelta(seconds=5)
"""The same while there is no key at all: without a first list nothing can be verified."""


class ListUndecryptable(MessageNotTrusted):
    """The certificate list does not decrypt with the APIv3 key; is it the one set in the merchant console?"""


@dataclass(frozen=True, slots=True)
class WechatKey:
    """One key of WeChat's. The public key of public-key mode has no end."""

    serial: str
    key: VerifyingKey = field(repr=False)
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return (self.valid_from is None or self.valid_from <= now) and (
            self.valid_until is None or now <= self.valid_until
        )


class KeyRing:
    """WeChat's keys by serial. Reading needs no lock: a new list replaces the old one in one step."""

    def __init__(self, public_key: WechatKey | None = None, certificates: Iterable[WechatKey] = ()) -> None:
        self.public_key = public_key
        self._certificates = {one.serial: one for one in certificates}
        self.listed_at: datetime | None = None
        self._asked_at: datetime | None = None
        self._listed: Reply | None = None

    @property
    def certificates(self) -> tuple[WechatKey, ...]:
        return tuple(self._certificates.values())

    def find(self, serial: str) -> WechatKey | None:
        """The key that `serial` names, in the spelling of its kind."""
        if self.public_key is not None and serial == self.public_key.serial:
            return self.public_key
        return self._certificates.get(normal_serial(serial))

    def newest(self, now: datetime) -> WechatKey | None:
        """What to ask WeChat to sign with, and to encrypt with: the public key where there is one, else the valid
        certificate that is valid longest."""
        if self.public_key is not None:
            return self.public_key
        valid = [one for one in self._certificates.values() if one.is_valid(now)]
        return max(valid, key=lambda one: one.valid_until or now, default=None)

    def is_stale(self, now: datetime) -> bool:
        """True when the certificates are due to be fetched again."""
        return self.listed_at is None or now - self.listed_at >= REFRESH_AFTER

    def may_ask(self, serial: str, now: datetime) -> bool:
        """Whether a list may be fetched for `serial` now; a public key cannot be fetched at all."""
        if serial.startswith(PUBLIC_KEY_START):
            return False
        is_empty = self.public_key is None and not self._certificates
        return self._asked_at is None or now - self._asked_at >= (PAUSE_EMPTY if is_empty else PAUSE)

    def asked(self, now: datetime) -> None:
        self._asked_at = now

    def is_listed(self, reply: Reply) -> bool:
        """True when this very reply was taken over last: many who waited for it together need not read it again."""
        return reply is self._listed

    def replace(self, certificates: Iterable[WechatKey], reply: Reply, now: datetime) -> None:
        self._certificates = {one.serial: one for one in certificates}
        self._listed, self.listed_at = reply, now


def normal_serial(serial: str) -> str:
    """A certificate's serial without leading zeros, upper case; an id of a public key stays as it is."""
    return serial if serial.startswith(PUBLIC_KEY_START) else serial.strip().upper().lstrip("0")


def serial_of(certificate: x509.Certificate) -> str:
    """The serial number in hexadecimal digits, as WeChat writes it."""
    return f"{certificate.serial_number:040X}"


def key_from_certificate(certificate: x509.Certificate) -> WechatKey:
    """A platform certificate's key; raises KeyUnreadable for a kind of key that WeChat does not use."""
    return WechatKey(
        serial=normal_serial(serial_of(certificate)),
        key=_public_key(certificate),
        valid_from=certificate.not_valid_before_utc,
        valid_until=certificate.not_valid_after_utc,
    )


def _public_key(certificate: x509.Certificate) -> VerifyingKey:
    if certificate.public_key_algorithm_oid.dotted_string.startswith("1.2.840.113549.1.1."):
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            return RsaPublicKey(key)
    return Sm2PublicKey.from_certificate(certificate.public_bytes(Encoding.DER))


def read_list(
    data: object, decryption_key: bytes, roots: tuple[x509.Certificate, ...], now: datetime
) -> list[WechatKey]:
    """The valid certificates of a `/v3/certificates` reply; raises MessageNotTrusted for one that is not what it says
    (a list with a forged member is not a list of WeChat's)."""
    if not isinstance(data, list) or not data:
        raise MessageNotTrusted("the certificate list is empty")
    found = [_read_one(one, decryption_key, roots) for one in data]
    return [one for one in found if one.is_valid(now)]


def _read_one(entry: Mapping[str, Any], decryption_key: bytes, roots: tuple[x509.Certificate, ...]) -> WechatKey:
    try:
        sealed = entry["encrypt_certificate"]
        pem = decrypt_resource(
            decryption_key, sealed["algorithm"], sealed["nonce"], sealed["ciphertext"], sealed["associated_data"]
        )
        certificate = load_certificates(pem)[0]
        key = key_from_certificate(certificate)
    except Unreadable:
        raise ListUndecryptable from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise MessageNotTrusted("the certificate list holds what is no certificate") from None
    if normal_serial(str(entry.get("serial_no", ""))) != key.serial:
        raise MessageNotTrusted("a platform certificate has another serial than the list says")
    if roots and not any(_issued(certificate, root) for root in roots):
        raise MessageNotTrusted("a platform certificate does not lead to the configured root")
    return key


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def certificates_from(source: KeySource) -> list[x509.Certificate]:
    """The certificates of a file; raises KeyUnreadable."""
    return load_certificates(source)


def is_pair(certificate: x509.Certificate, public: RsaPublicKey) -> bool:
    """True when the certificate is of this key."""
    spki = certificate.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    try:
        return RsaPublicKey.load(spki) == public
    except KeyUnreadable:
        return False
