"""Certificate mode: the serials that every call names, and which of Alipay's certificates is believed. Pure.

Rule: a certificate that Alipay offers in place of the configured one is believed when it is issued by the same
authority as that one, through at most one intermediate that a root of the configured bundle issued itself. (Chaining to
the root alone proves nothing: merchants' certificates do too.) Source: certificate mode of the protocol.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa

from tongbao.crypto import KeySource, KeyUnreadable, RsaPublicKey, load_certificates, read_source
from tongbao.domain.errors import MessageNotTrusted

_RSA_SIGNATURES = "1.2.840.113549.1.1."


@dataclass(frozen=True, slots=True)
class Trust:
    """What a new certificate of Alipay's is measured against."""

    leaf: x509.Certificate
    intermediates: tuple[x509.Certificate, ...]
    roots: tuple[x509.Certificate, ...]


def serial_of(certificate: x509.Certificate) -> str:
    """`app_cert_sn`, `alipay_cert_sn`: MD5 of issuer (RFC 4514, CN first) and decimal serial number, 32 hex digits."""
    text = certificate.issuer.rfc4514_string() + str(certificate.serial_number)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def root_serial_of(roots: list[x509.Certificate]) -> str:
    """`alipay_root_cert_sn`: the serials of the bundle's RSA certificates in file order, joined by `_`."""
    return "_".join(serial_of(root) for root in roots if _is_rsa_signed(root))


def certificate_from(source: KeySource) -> list[x509.Certificate]:
    """A certificate file, leaf first; raises KeyUnreadable."""
    return load_certificates(source if b"BEGIN" in read_source(source) else _armoured(source))


def _armoured(source: KeySource) -> bytes:
    body = b"".join(read_source(source).split())
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n"


def public_key_of(certificate: x509.Certificate) -> RsaPublicKey:
    """Raises KeyUnreadable when it is not an RSA key."""
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise KeyUnreadable("a certificate, but not of an RSA key")
    return RsaPublicKey(key)


def trusted_key(content: str, serial: str, trust: Trust, now: datetime) -> RsaPublicKey:
    """The key of the certificate that `alipay.open.app.alipaycert.download` answered with (base64 of PEM).

    Raises MessageNotTrusted when it is not the one asked for, is not Alipay's, or is not valid now.
    """
    try:
        leaf, *offered = load_certificates(base64.b64decode(content))
        key = public_key_of(leaf)
    except (ValueError, KeyUnreadable):
        raise MessageNotTrusted("the downloaded certificate cannot be read") from None
    if serial_of(leaf) != serial:
        raise MessageNotTrusted("the downloaded certificate is not the one asked for")
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise MessageNotTrusted("the downloaded certificate is not valid today")
    if leaf.issuer != trust.leaf.issuer:
        raise MessageNotTrusted("the downloaded certificate is issued by another authority than Alipay's")
    if not is_chained(leaf, (*offered, *trust.intermediates), trust.roots):
        raise MessageNotTrusted("the downloaded certificate does not lead to a root of the configured bundle")
    return key


def is_chained(
    leaf: x509.Certificate, intermediates: tuple[x509.Certificate, ...], roots: tuple[x509.Certificate, ...]
) -> bool:
    """True when a root issued the leaf, or issued an intermediate that issued the leaf."""
    issuers = [one for one in (*intermediates, *roots) if _issued(leaf, one)]
    return any(issuer in roots or any(_issued(issuer, root) for root in roots) for issuer in issuers)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _is_rsa_signed(certificate: x509.Certificate) -> bool:
    return certificate.signature_algorithm_oid.dotted_string.startswith(_RSA_SIGNATURES)
