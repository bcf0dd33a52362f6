"""Everything that an outside client needs to talk to this Alipay: ids, keys in every form, certificates, codes.

Rule: nothing here changes over a restart but balances. The files are written next to the journal for clients that want
paths; private ones for their owner only.
"""

from collections.abc import Mapping
from pathlib import Path

from tongbao.simulators.alipay.apps import CERT_APP_ID, KEY_APP_ID, Apps
from tongbao.simulators.alipay.certificates import Authority
from tongbao.simulators.alipay.codes import seeded_codes
from tongbao.simulators.alipay.oauth import APP_CODE, USER_CODE
from tongbao.simulators.alipay.wire import yuan
from tongbao.simulators.bank import Bank, Buyer

GATEWAY_PATH = "/alipay/gateway.do"


def facts(bank: Bank, apps: Apps, authority: Authority, base_url: str, folder: Path | None) -> dict[str, object]:
    """The key-mode application at the top level, the certificate-mode one under `cert`; money in yuan."""
    base = base_url.rstrip("/")
    alipay = apps.alipay_key.public()
    common = {"gateway_url": base + GATEWAY_PATH, "v3_url": base}
    texts = {"alipay_public_key": alipay.pem()}
    key_app = {
        **common,
        **_app(apps, KEY_APP_ID),
        "alipay_public_key": alipay.bare(),
        "alipay_public_key_pem": alipay.pem(),
        **_files(folder, "key", {**texts, "app_private_key": apps.private_key(KEY_APP_ID).pem_pkcs8()}),
    }
    certificates = {
        "app_cert": authority.app_pem,
        "alipay_cert": authority.alipay_pem + authority.middle_pem,
        "alipay_root_cert": authority.root_bundle,
    }
    cert_app = {
        **common,
        **_app(apps, CERT_APP_ID),
        **{f"{name}_pem": pem for name, pem in certificates.items()},
        "app_cert_sn": authority.app_sn,
        "alipay_cert_sn": authority.alipay_sn,
        "alipay_root_cert_sn": authority.root_sn,
        **_files(folder, "cert", {**certificates, "app_private_key": apps.private_key(CERT_APP_ID).pem_pkcs8()}),
    }
    return {**key_app, "cert": cert_app, "buyers": [_buyer(buyer) for buyer in bank.buyers.values()]}


def _app(apps: Apps, app_id: str) -> dict[str, object]:
    app, private = apps.get(app_id), apps.private_key(app_id)
    assert app is not None, "seeded when the sandbox was made"
    return {
        "app_id": app.app_id,
        "seller_id": app.seller_id,
        "seller_email": app.seller_email,
        "sign_type": app.sign_type,
        "aes_key": app.aes_key,
        "app_private_key_pkcs8_pem": private.pem_pkcs8(),
        "app_private_key_pkcs1_pem": private.pem_pkcs1(),
        "app_private_key_pkcs8_bare": private.bare_pkcs8(),
        "app_private_key_pkcs1_bare": "".join(private.pem_pkcs1().splitlines()[1:-1]),
        "app_public_key_pem": private.public().pem(),
        "app_public_key": private.public().bare(),
        "app_auth_code": APP_CODE + app.app_id,
    }


def _buyer(buyer: Buyer) -> dict[str, object]:
    names = {"user_id": buyer.user_id, "logon_id": buyer.logon_id, "name": buyer.name, "note": buyer.note_en}
    more = {"balance": yuan(buyer.balance_minor), "oauth_code": USER_CODE + buyer.user_id}
    return {**names, **more, "auth_codes": seeded_codes(buyer.user_id)}


def _files(folder: Path | None, mode: str, texts: Mapping[str, str]) -> dict[str, object]:
    if folder is None:
        return {}
    place = folder / "alipay" / mode
    place.mkdir(parents=True, exist_ok=True)
    paths: dict[str, object] = {}
    for name, text in texts.items():
        path = place / f"{name}{'.crt' if name.endswith('cert') else '.pem'}"
        path.touch(mode=0o600 if "private" in name else 0o644)
        path.write_text(text)
        paths[f"{name}_file"] = str(path)
    return paths
