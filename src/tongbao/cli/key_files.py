"""What a key file holds, told without telling the secret; and signing requests."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from tongbao.crypto import KeyUnreadable, RsaPrivateKey, RsaPublicKey, load_certificates, read_source


def certificate_request(key: RsaPrivateKey, common_name: str, organization: str) -> str:
    """A PKCS#10 request, PEM, signed with SHA-256."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    return builder.sign(key.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def describe(path: Path) -> dict[str, object]:
    """Kind, size and names; raises KeyUnreadable when it is none of the forms that channels hand out."""
    if b"BEGIN CERTIFICATE" in read_source(path):
        return {"kind": "certificates", "certificates": [_certificate(c) for c in load_certificates(path)]}
    try:
        private = RsaPrivateKey.load(path)
    except KeyUnreadable:
        pass
    else:
        return {"kind": "rsa private key", "bits": private.bits, "public_key": private.public().bare()}
    try:
        public = RsaPublicKey.load(path)
    except KeyUnreadable:
        raise KeyUnreadable(f"{path} is neither an RSA key (PKCS#1, PKCS#8, SPKI) nor a certificate") from None
    return {"kind": "rsa public key", "bits": public.bits, "public_key": public.bare()}


def _certificate(certificate: x509.Certificate) -> dict[str, object]:
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "serial_decimal": str(certificate.serial_number),
        "serial_hex": f"{certificate.serial_number:X}",
        "valid_from": certificate.not_valid_before_utc.isoformat(),
        "valid_until": certificate.not_valid_after_utc.isoformat(),
    }
