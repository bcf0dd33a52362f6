"""Certificate mode with authorities made for this run: serials sent, certificates chosen, fetched and refused."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.channels.alipay.conftest import (
    APP_ID,
    GATEWAY_URL,
    NOW,
    AsyncScript,
    FixedClock,
    Keys,
    ScriptedAlipay,
    canonical,
    ok,
    signed_with,
    unsigned,
)
from tongbao.channels.alipay import AlipayClient
from tongbao.channels.alipay.adapter import ALIPAY
from tongbao.channels.alipay.certificates import root_serial_of, serial_of
from tongbao.channels.alipay.notifications import SerialUnknown
from tongbao.domain.errors import ChannelUnavailable, InvalidInput, MessageNotTrusted, OutcomeUnknown
from tongbao.ports import KeyWanted, RawRequest, Reply, Request


@dataclass
class Authority:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def named(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test Ant"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def issue(
    name: str,
    issuer: Authority | None,
    key: rsa.RSAPrivateKey,
    serial: int,
    *,
    days: int = 365,
    signer: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
) -> Authority:
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(issuer.certificate.subject if issuer else named(name))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
        .sign(signer or (issuer.key if issuer else key), hashes.SHA256())
    )
    return Authority(certificate, key)


@dataclass
class Pki:
    """Root -> class 1 (merchants), class 2 (Alipay); a second RSA root and an ECDSA one beside it in the bundle."""

    keys: Keys
    spare: rsa.RSAPrivateKey
    root: Authority
    class1: Authority
    class2: Authority
    app: Authority
    alipay: Authority
    bundle: str = ""
    others: dict[str, Authority] = field(default_factory=dict)


@pytest.fixture(scope="module")
def pki(keys: Keys) -> Pki:
    made = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]
    root = issue("Root R1", None, made[0], 11)
    class1 = issue("Class 1 R1", root, made[1], 12)
    class2 = issue("Class 2 R1", root, made[2], 13)
    app = issue("2088-2021", class1, keys.app, 14)
    alipay = issue("Alipay-2088", class2, keys.alipay, 15)
    second = issue("Root G3", None, made[1], 16)
    elliptic = issue("Root E1", None, made[1], 17, signer=ec.generate_private_key(ec.SECP256R1()))
    unreadable = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    return Pki(
        keys=keys,
        spare=made[0],
        root=root,
        class1=class1,
        class2=class2,
        app=app,
        alipay=alipay,
        bundle=unreadable + root.pem + elliptic.pem + second.pem,
        others={"second": second},
    )


@pytest.fixture
def certificate_settings(pki: Pki) -> dict[str, Any]:
    return {
        "app_id": APP_ID,
        "private_key": pki.keys.app_private,
        "app_cert": pki.app.pem,
        "alipay_cert": pki.alipay.pem + pki.class2.pem,
        "alipay_root_cert": pki.bundle,
        "gateway_url": GATEWAY_URL,
        "clock": FixedClock(),
    }


@dataclass
class Certified(ScriptedAlipay):
    """Signs with `signer`, names its serial, and hands out certificates on demand."""

    signer: Authority | None = None
    offered: dict[str, str] = field(default_factory=dict)
    downloads: int = 0

    def send(self, request: Request) -> Reply:
        params = self.received(request)
        if params["method"] != "alipay.open.app.alipaycert.download":
            return super().send(request)
        self.downloads += 1
        serial = json.loads(params["biz_content"])["alipay_cert_sn"]
        if serial not in self.offered:
            return Reply(503, {}, b"")
        content = base64.b64encode(self.offered[serial].encode()).decode()
        node = json.dumps(ok(alipay_cert_content=content))
        return self.reply("alipay_open_app_alipaycert_download_response", node, sign=False)

    def reply(self, name: str, node: str, *, sign: bool = True) -> Reply:
        if self.signer is None or not sign:
            return super().reply(name, node, sign=sign)
        signature = signed_with(self.signer.key, node.encode())
        serial = serial_of(self.signer.certificate)
        body = f'{{"{name}":{node},"alipay_cert_sn":"{serial}","sign":"{signature}"}}'
        return Reply(200, {}, body.encode())


# --- serials -------------------------------------------------------------------------------------------------------


def test_serials_by_hand(pki: Pki) -> None:
    """MD5 of the issuer, common name first, and the decimal serial number."""
    import hashlib

    text = "CN=Class 1 R1,O=Test Ant,C=CN14"
    assert serial_of(pki.app.certificate) == hashlib.md5(text.encode()).hexdigest()


def test_the_bundles_serial_counts_rsa_only(pki: Pki) -> None:
    from tongbao.crypto import load_certificates

    roots = load_certificates(pki.bundle)
    assert root_serial_of(roots) == "_".join(serial_of(one.certificate) for one in (pki.root, pki.others["second"]))


def test_every_call_names_both_serials(certificate_settings: dict[str, Any], pki: Pki) -> None:
    script = Certified(pki.keys, [ok()], signer=pki.alipay)
    client = AlipayClient(**certificate_settings, transport=script)
    client.query(out_trade_no="T1")
    assert script.params[0]["app_cert_sn"] == serial_of(pki.app.certificate)
    assert script.params[0]["alipay_root_cert_sn"].count("_") == 1
    assert "app_cert_sn=" in client.page_pay(out_trade_no="T1", total_amount=1, subject="tea").url
    assert script.downloads == 0


# --- rotation ------------------------------------------------------------------------------------------------------


def renewed(pki: Pki, **more: Any) -> Authority:
    return issue("Alipay-2088", more.pop("issuer", pki.class2), pki.spare, 99, **more)


def test_a_new_certificate_is_fetched_once_and_believed(certificate_settings: dict[str, Any], pki: Pki) -> None:
    new = renewed(pki)
    serial = serial_of(new.certificate)
    script = Certified(pki.keys, [ok(), ok()], signer=new, offered={serial: new.pem + pki.class2.pem})
    client = AlipayClient(**certificate_settings, transport=script)
    assert client.query(out_trade_no="T1") == ok()
    assert client.query(out_trade_no="T1") == ok()
    assert script.downloads == 1


def impostor_chain(pki: Pki) -> tuple[Authority, str]:
    """A merchant's certificate used as an authority that calls itself Alipay's."""
    fake = issue("Class 2 R1", pki.app, pki.spare, 50)
    leaf = issue("Alipay-2088", fake, pki.spare, 51)
    return leaf, leaf.pem + fake.pem + pki.app.pem + pki.class1.pem


FORGERIES: dict[str, Callable[[Pki], tuple[Authority, str]]] = {
    "a merchant's certificate": lambda pki: (pki.app, pki.app.pem + pki.class1.pem),
    "a merchant's certificate as authority": impostor_chain,
    "issued by itself": lambda pki: (leaf := issue("Alipay-2088", None, pki.spare, 52), leaf.pem),
    "expired": lambda pki: (leaf := renewed(pki, days=-1), leaf.pem + pki.class2.pem),
    "another than asked for": lambda pki: (renewed(pki), pki.alipay.pem),
    "no certificate": lambda pki: (renewed(pki), "hello"),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_forged_certificates(certificate_settings: dict[str, Any], pki: Pki, kind: str) -> None:
    signer, content = FORGERIES[kind](pki)
    script = Certified(pki.keys, [ok(), ok()], signer=signer, offered={serial_of(signer.certificate): content})
    client = AlipayClient(**certificate_settings, transport=script)
    with pytest.raises(MessageNotTrusted):
        client.query(out_trade_no="T1")
    with pytest.raises(OutcomeUnknown):
        client.close(out_trade_no="T1")
    with pytest.raises(MessageNotTrusted):
        client.load_certificate(serial_of(signer.certificate))


def test_a_certificate_that_cannot_be_fetched_leaves_the_outcome_unknown(
    certificate_settings: dict[str, Any], pki: Pki
) -> None:
    script = Certified(pki.keys, [ok()], signer=renewed(pki))
    with pytest.raises(OutcomeUnknown):
        AlipayClient(**certificate_settings, transport=script).close(out_trade_no="T1")


def test_a_refused_download(certificate_settings: dict[str, Any], pki: Pki) -> None:
    class Refusing(Certified):
        def send(self, request: Request) -> Reply:
            return self.reply("error_response", json.dumps({"code": "40006"}), sign=False)

    with pytest.raises(ChannelUnavailable):
        AlipayClient(**certificate_settings, transport=Refusing(pki.keys)).load_certificate("abc")


# --- opening -------------------------------------------------------------------------------------------------------


def test_certificates_as_paths_and_bytes(certificate_settings: dict[str, Any], pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "root.crt").write_text(pki.bundle.replace("\n", "\r\n"))
    given = {
        **certificate_settings,
        "app_cert": pki.app.pem.encode(),
        "alipay_root_cert": tmp_path / "root.crt",
    }
    script = Certified(pki.keys, [ok()], signer=pki.alipay)
    assert AlipayClient(**given, transport=script).query(out_trade_no="T1") == ok()


@pytest.mark.parametrize(
    ("param", "make"),
    [
        ("app_cert", lambda pki: pki.alipay.pem),
        ("app_cert", lambda pki: "nonsense"),
        ("app_cert", lambda pki: ""),
        ("alipay_cert", lambda pki: ""),
        ("alipay_root_cert", lambda pki: pki.bundle[: len(pki.bundle) // 2]),
        ("alipay_root_cert", lambda pki: "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"),
    ],
)
def test_certificates_that_cannot_be_right(
    certificate_settings: dict[str, Any], pki: Pki, param: str, make: Callable[[Pki], str]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        AlipayClient(**{**certificate_settings, param: make(pki)})
    assert refused.value.param == param


def test_key_and_certificates_together(certificate_settings: dict[str, Any], pki: Pki) -> None:
    with pytest.raises(InvalidInput, match="not both"):
        AlipayClient(**certificate_settings, alipay_public_key=pki.keys.alipay_public)


# --- notifications and the gateway ---------------------------------------------------------------------------------


def notified(signer: Authority, **fields: str) -> bytes:
    from urllib.parse import urlencode

    params = {"app_id": APP_ID, "notify_id": "n1", "alipay_cert_sn": serial_of(signer.certificate), **fields}
    params["sign"] = signed_with(signer.key, canonical(params, ()).encode())
    params["sign_type"] = "RSA2"
    return urlencode(params).encode()


async def test_the_gateway_fetches_the_key_that_a_notification_names(
    certificate_settings: dict[str, Any], pki: Pki
) -> None:
    new = renewed(pki)
    script = Certified(pki.keys, offered={serial_of(new.certificate): new.pem + pki.class2.pem})
    credentials = {name: str(value) for name, value in certificate_settings.items() if name != "clock"}
    channel = ALIPAY.open(credentials, AsyncScript(script), FixedClock())
    raw = RawRequest("POST", "/", "", {}, notified(new, out_trade_no="T1", trade_status="TRADE_SUCCESS"))

    wanted = channel.read_notification(raw, NOW)
    assert wanted == KeyWanted(serial_of(new.certificate))
    assert isinstance(wanted, KeyWanted)
    await channel.refresh_keys(wanted.serial)
    read = channel.read_notification(raw, NOW)
    assert not isinstance(read, KeyWanted)
    assert read.reports[0].reference == "T1"
    with pytest.raises(OutcomeUnknown):
        await channel.refresh_keys("0" * 32)


def test_a_notification_by_the_configured_certificate(certificate_settings: dict[str, Any], pki: Pki) -> None:
    client = AlipayClient(**certificate_settings)
    assert client.verify_notification(notified(pki.alipay))["notify_id"] == "n1"
    with pytest.raises(SerialUnknown):
        client.verify_notification(notified(renewed(pki)))
    with pytest.raises(MessageNotTrusted):
        client.verify_notification(notified(pki.alipay).replace(b"n1", b"n2"))


def test_unsigned_success_in_certificate_mode(certificate_settings: dict[str, Any], pki: Pki) -> None:
    script = Certified(pki.keys, [unsigned(ok())])
    with pytest.raises(MessageNotTrusted):
        AlipayClient(**certificate_settings, transport=script).query(out_trade_no="T1")
