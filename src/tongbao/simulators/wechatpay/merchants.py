"""The merchants that are registered in the sandbox, and every key: theirs, WeChat's certificates, its public keys.

Rule: everything is made on first use and kept. A reply is signed by the key that the request names if that key is the
merchant's to name; otherwise by the signing platform certificate, or the public key of a merchant that has no other.
Certificates begin on the machine's clock, by which their readers check them, however far the sandbox is ahead.
"""

from dataclasses import dataclass
from datetime import UTC, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from tongbao.crypto import RsaPrivateKey, RsaPublicKey, certificate_pem, decode_base64
from tongbao.simulators.bank import Bank
from tongbao.simulators.journal import Shelf
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.model import Merchant, PlatformCertificate
from tongbao.simulators.wechatpay.wire import openid_of

MCHID, NEW_MCHID, PROVIDER_MCHID, SUB_MCHID = "1900000109", "1900000208", "1900000307", "1900000406"
PUBLIC_KEY_PREFIX = "PUB_KEY_ID_"
LIFE = timedelta(days=5 * 365)
AUTHORITY = ("Tenpay.com Root CA (sandbox)", "Tongbao Sandbox")
UNPUBLISHED = "7" + "0" * 38 + "1"
"""A serial that belongs to no key."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A merchant as it is registered when the sandbox is made."""

    mchid: str
    name: str
    appids: tuple[str, ...]
    trust: str = "both"
    subs: tuple[str, ...] = ()


SEEDS = (
    Seed(MCHID, "通宝沙箱商户", ("wx2421b1c4370ec43b", "wx00000000000000ap")),
    Seed(NEW_MCHID, "通宝沙箱公钥商户", ("wx8888888888888888",), "public_key"),
    Seed(PROVIDER_MCHID, "通宝沙箱服务商", ("wx9999999999999999",), subs=(SUB_MCHID,)),
    Seed(SUB_MCHID, "通宝沙箱特约商户", ("wx7777777777777777",)),
)


class Merchants:
    """The console's side of WeChat Pay, and its key room."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._shelf = Shelf(bank.journal, "wechatpay_merchant", Merchant)
        self._platform = Shelf(bank.journal, "wechatpay_certificate", PlatformCertificate)
        self._public: dict[str, RsaPublicKey] = {}
        self._seeds = {seed.mchid: seed for seed in SEEDS}

    # --- merchants

    def get(self, mchid: str) -> Merchant | None:
        """A merchant; a seeded one is made when it is asked for the first time, because its keys cost time."""
        found = self._shelf.get(mchid)
        if found is None and mchid in self._seeds:
            found = self._register(self._seeds[mchid])
        return found

    def names(self) -> dict[str, str]:
        """Without making a key."""
        return {seed.mchid: seed.name for seed in SEEDS} | {one.mchid: one.name for one in self._shelf.values()}

    def exists(self, mchid: str) -> bool:
        return mchid in self._seeds or mchid in self._shelf

    def put(self, merchant: Merchant) -> None:
        self._shelf.put(merchant.mchid, merchant)

    def _register(self, seed: Seed) -> Merchant:
        serial, pem = self._issue(seed.mchid, seed.name, self.private_key(seed.mchid))
        secret = self._bank.token(32)
        number = PUBLIC_KEY_PREFIX + "0" + seed.mchid + self._bank.digits(23)
        made = Merchant(
            seed.mchid, seed.name, list(seed.appids), secret, pem, serial, number, seed.trust, subs=list(seed.subs)
        )
        return self._shelf.put(seed.mchid, made)

    def private_key(self, mchid: str) -> RsaPrivateKey:
        """The merchant's own: signs its requests, decrypts what is encrypted for it."""
        return self._bank.key(f"wechatpay_merchant_{mchid}")

    def public_key(self, mchid: str) -> RsaPublicKey:
        """What the merchant's requests are verified with."""
        found = self._public.get(mchid)
        if found is None:
            found = self._public[mchid] = self.private_key(mchid).public()
        return found

    def buyer_id(self, appids: list[str], openid: str) -> str:
        """The buyer behind an openid of one of these apps, empty when it is nobody's."""
        users = (buyer.user_id for buyer in self._bank.buyers.values())
        return next((user for user in users if openid in (openid_of(appid, user) for appid in appids)), "")

    # --- WeChat's keys

    def wechat_key(self, mchid: str) -> RsaPrivateKey:
        """The private half of the WeChat Pay public key that this merchant was given."""
        return self._bank.key(f"wechatpay_public_{mchid}")

    @property
    def stranger_key(self) -> RsaPrivateKey:
        return self._bank.key("stranger")

    def certificates(self) -> list[PlatformCertificate]:
        """The published ones, the signing one first."""
        if not len(self._platform):
            self._make(published=True, signing=True)
        published = [one for one in self._platform.values() if one.published]
        return sorted(published, key=lambda one: not one.signing)

    def next_certificate(self) -> PlatformCertificate:
        """The one that rotation will publish; made when it is wanted."""
        self.certificates()
        waiting = [one for one in self._platform.values() if not one.published]
        return waiting[0] if waiting else self._make()

    def issue(self) -> PlatformCertificate:
        """First step of a rotation: the next certificate appears beside the old one, which goes on signing."""
        return self._changed(self.next_certificate(), published=True)

    def switch(self) -> PlatformCertificate:
        """Second step: the newest published certificate signs."""
        newest = [one for one in self._platform.values() if one.published][-1]
        for one in self.certificates():
            self._changed(one, signing=one.serial == newest.serial)
        return newest

    def retire(self) -> int:
        """Last step: certificates that do not sign are withdrawn; returns how many."""
        old = [one for one in self.certificates() if not one.signing]
        for one in old:
            self._platform.remove(one.serial)
        return len(old)

    def key_of(self, certificate: PlatformCertificate) -> RsaPrivateKey:
        return self._bank.key(certificate.key_name)

    def signer(self, merchant: Merchant, wanted: str = "") -> tuple[str, RsaPrivateKey]:
        """Serial and key for an answer to a request that names `wanted`."""
        found = self._by_serial(merchant, wanted)
        if found is not None:
            return found
        if merchant.trust == "public_key":
            return merchant.public_key_id, self.wechat_key(merchant.mchid)
        signing = self.certificates()[0]
        return signing.serial, self.key_of(signing)

    def callback_signer(self, merchant: Merchant, draw: int) -> tuple[str, RsaPrivateKey]:
        """Serial and key for a notification; `draw` below the merchant's share takes the public key."""
        wanted = merchant.public_key_id if draw % 100 < merchant.callback_share else ""
        return self.signer(merchant, wanted)

    def decrypted(self, merchant: Merchant, wanted: str, text: str) -> str:
        """A sensitive field in the clear; raises Refusal."""
        if not wanted:
            raise Refusal("serial_missing")
        found, cipher = self._by_serial(merchant, wanted), decode_base64(text)
        if found is None:
            raise Refusal("serial_wrong")
        try:
            return found[1].decrypt_oaep(cipher or b"").decode()
        except ValueError:
            raise Refusal("not_decrypted") from None

    def _by_serial(self, merchant: Merchant, wanted: str) -> tuple[str, RsaPrivateKey] | None:
        if not wanted:
            return None
        if wanted.startswith(PUBLIC_KEY_PREFIX):
            mine = wanted == merchant.public_key_id and merchant.trust != "certificate"
            return (wanted, self.wechat_key(merchant.mchid)) if mine else None
        if merchant.trust == "public_key":
            return None
        known = next((one for one in self.certificates() if one.serial == wanted), None)
        return None if known is None else (known.serial, self.key_of(known))

    def _changed(self, one: PlatformCertificate, **changes: bool) -> PlatformCertificate:
        return self._platform.put(one.serial, msgspec.structs.replace(one, **changes))

    def _make(self, *, published: bool = False, signing: bool = False) -> PlatformCertificate:
        key_name = f"wechatpay_platform_{self._bank.token(8)}"
        serial, pem = self._issue("Tenpay.com sign", "Tongbao Sandbox WeChat Pay", self._bank.key(key_name))
        start = self._bank.clock.machine_now().astimezone(UTC).replace(microsecond=0)
        made = PlatformCertificate(serial, pem, key_name, start, start + LIFE, published, signing)
        return self._platform.put(serial, made)

    @property
    def root_pem(self) -> str:
        """The certificate of the authority that signed all others."""
        authority = self._bank.key("wechatpay_authority")
        return self._bank.pem("wechatpay_root", lambda: self._issue(*AUTHORITY, authority, ca=True)[1])

    def _issue(self, common: str, organisation: str, key: RsaPrivateKey, *, ca: bool = False) -> tuple[str, str]:
        """Serial (40 upper-case hex digits) and PEM of a certificate of the sandbox's own authority."""
        authority = self._bank.key("wechatpay_authority").key
        start = self._bank.clock.machine_now().astimezone(UTC).replace(microsecond=0)
        serial = (5 << 156) | self._bank.chance(156)
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(common, organisation))
            .issuer_name(_name(*AUTHORITY))
            .public_key(key.key.public_key())
            .serial_number(serial)
            .not_valid_before(start - timedelta(days=1))
            .not_valid_after(start + LIFE)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(authority, hashes.SHA256())
        )
        return f"{serial:040X}", certificate_pem(made)


def _name(common: str, organisation: str) -> x509.Name:
    parts = ((NameOID.COUNTRY_NAME, "CN"), (NameOID.ORGANIZATION_NAME, organisation), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
