"""Certificate mode: the sandbox's own authority, the certificates of Alipay and of the application, their serials.

Rule: made once and kept. The root bundle holds an ECDSA root between the RSA ones, as the real one does, which the
serial of the bundle has to leave out. Alipay's next certificate is ready for the fault that rotates it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tongbao.crypto import RsaPrivateKey, certificate_pem, load_certificates
from tongbao.simulators.alipay.apps import CERT_APP_ID, CERT_SELLER_ID, Apps
from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.model import App
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.wire import certificate_sn, root_sn
from tongbao.simulators.bank import Bank
from tongbao.simulators.faults import Fault, find

LIFE = timedelta(days=3650)
SERIAL_BITS = 100
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate that signs others, with its key."""

    name: x509.Name
    key: PrivateKey


def name(common: str, unit: str, organisation: str = "Tongbao Sandbox") -> x509.Name:
    """Country first, so that RFC 2253 puts the common name first."""
    parts = ((NameOID.COUNTRY_NAME, "CN"), (NameOID.ORGANIZATION_NAME, organisation))
    more = ((NameOID.ORGANIZATIONAL_UNIT_NAME, unit), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in (*parts, *more)])


class Authority:
    """Everything that is signed, and the checks of certificate mode."""

    def __init__(self, bank: Bank, apps: Apps) -> None:
        self._bank = bank
        self._apps = apps
        self._next_key = bank.key("alipay_next")
        self.root_bundle = bank.pem("alipay_roots", self._make_roots)
        middle = name("Sandbox Certification Authority Class 2 R1", "Certification Authority")
        roots = load_certificates(self.root_bundle)
        top = Issuer(roots[0].subject, bank.key("alipay_root").key)
        self.middle_pem = bank.pem(
            "alipay_middle", lambda: self._issue(middle, bank.key("alipay_middle_key"), top, ca=True)
        )
        issuer = Issuer(middle, bank.key("alipay_middle_key").key)
        self.alipay_pem = bank.pem("alipay_leaf", lambda: self._leaf("Alipay Sandbox 1", apps.alipay_key, issuer))
        self.next_pem = bank.pem("alipay_leaf_next", lambda: self._leaf("Alipay Sandbox 2", self._next_key, issuer))
        app_key, app_name = apps.private_key(CERT_APP_ID), f"{CERT_SELLER_ID}-{CERT_APP_ID}"
        self.app_pem = bank.pem("alipay_app_leaf", lambda: self._leaf(app_name, app_key, issuer))
        self.alipay_sn, self.next_sn = self._sn(self.alipay_pem), self._sn(self.next_pem)
        self.app_sn, self.root_sn = self._sn(self.app_pem), root_sn(roots)
        self._app_ends_at = load_certificates(self.app_pem)[0].not_valid_after_utc

    def check(self, app: App, params: Mapping[str, str]) -> str:
        """The gateway's refusal of a certificate-mode request, or empty."""
        if app.mode != "cert":
            return ""
        for bad, sub_code in (
            (not params.get("app_cert_sn"), "isv.missing-app-cert-sn"),
            (not params.get("alipay_root_cert_sn"), "isv.missing-alipay-root-cert-sn"),
            (params.get("app_cert_sn") != self.app_sn, "isv.app-cert-not-exist"),
            (self._bank.clock.now() >= self._app_ends_at, "isv.app-cert-expired"),
            (params.get("alipay_root_cert_sn") != self.root_sn, "isv.invalid-alipay-root-cert-sn"),
        ):
            if bad:
                return sub_code
        return ""

    def signer(self, call: Call) -> tuple[str, RsaPrivateKey]:
        """Serial and key that sign an answer to this call; without a serial in key mode."""
        if call.app.mode != "cert":
            return "", self._apps.alipay_key
        if find(call.faults, Fault.REPLY_KEY_ROTATED):
            return self.next_sn, self._next_key
        return self.alipay_sn, self._apps.alipay_key

    def renewed(self, app: App) -> tuple[str, RsaPrivateKey] | None:
        """Serial and key of Alipay's next certificate; None for an app in key mode."""
        return (self.next_sn, self._next_key) if app.mode == "cert" else None

    def by_serial(self, serial: str) -> str:
        """The PEM of one of Alipay's certificates with its issuer; raises Failure."""
        found = {self.alipay_sn: self.alipay_pem, self.next_sn: self.next_pem}.get(serial)
        if found is None:
            raise Failure("isv.invalid-parameter", code="40002")
        return found + self.middle_pem

    def _sn(self, pem: str) -> str:
        return certificate_sn(load_certificates(pem)[0])

    def _make_roots(self) -> str:
        """Two RSA roots and an ECDSA one between them, divided by blank lines as the real file is."""
        first = name("Sandbox Financial Certification Authority R1", "Certification Authority")
        second = name("Sandbox Trust Network Root CA", "Root CA")
        curve = name("Sandbox Financial Certification Authority E1", "Certification Authority")
        key, spare, ec_key = (
            self._bank.key("alipay_root"),
            self._bank.key("alipay_root_2"),
            ec.generate_private_key(ec.SECP384R1()),
        )
        return "\n".join(
            [
                self._issue(first, key, Issuer(first, key.key), ca=True),
                self._certificate(curve, ec_key.public_key(), Issuer(curve, ec_key), ca=True),
                self._issue(second, spare, Issuer(second, spare.key), ca=True),
            ]
        )

    def _leaf(self, common: str, key: RsaPrivateKey, issuer: Issuer) -> str:
        return self._issue(name(common, "Alipay"), key, issuer, ca=False)

    def _issue(self, subject: x509.Name, key: RsaPrivateKey, issuer: Issuer, *, ca: bool) -> str:
        return self._certificate(subject, key.key.public_key(), issuer, ca=ca)

    def _certificate(
        self, subject: x509.Name, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, issuer: Issuer, *, ca: bool
    ) -> str:
        start = self._bank.clock.now().astimezone(UTC).replace(microsecond=0) - timedelta(days=1)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.name)
            .public_key(key)
            .serial_number(self._bank.chance(SERIAL_BITS) + 1)
            .not_valid_before(start)
            .not_valid_after(_later(start))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(issuer.key, hashes.SHA256())
        )
        return certificate_pem(made)


def _later(start: datetime) -> datetime:
    return start + LIFE
