"""Everything that an outside client needs to talk to this WeChat Pay: numbers, keys, certificates, openids, codes.

Rule: nothing here changes over a restart but balances and, after a rotation, the platform certificates. The files are
written next to the journal for clients that want paths; private ones for their owner only.
"""

from collections.abc import Mapping
from pathlib import Path

from tongbao.simulators.bank import Bank, Buyer
from tongbao.simulators.wechatpay.counter import seeded_codes
from tongbao.simulators.wechatpay.gateway import PREFIX
from tongbao.simulators.wechatpay.merchants import MCHID, NEW_MCHID, PROVIDER_MCHID, SUB_MCHID, Merchants
from tongbao.simulators.wechatpay.model import Merchant
from tongbao.simulators.wechatpay.wire import openid_of, yuan


def facts(bank: Bank, merchants: Merchants, base_url: str, folder: Path | None) -> dict[str, object]:
    """The merchant with both kinds of trust at the top level, the others by what they are. `gateway_url` is what
    stands for `https://api.mch.weixin.qq.com`: `/v3/...` follows it."""
    base = base_url.rstrip("/")
    common = {"gateway_url": base, "prefixed_url": base + PREFIX, "root_certificate": merchants.root_pem}
    made = {mchid: _merchant(bank, merchants, mchid, folder) for mchid in (MCHID, NEW_MCHID, PROVIDER_MCHID, SUB_MCHID)}
    return {
        **common,
        **made[MCHID],
        "public_key_only": {**common, **made[NEW_MCHID]},
        "provider": {**common, **made[PROVIDER_MCHID], "sub_mchids": [SUB_MCHID]},
        "sub_merchant": {**common, **made[SUB_MCHID]},
    }


def _merchant(bank: Bank, merchants: Merchants, mchid: str, folder: Path | None) -> dict[str, object]:
    merchant = merchants.get(mchid)
    assert merchant is not None, "seeded"
    private, public = merchants.private_key(mchid), merchants.wechat_key(mchid).public()
    texts = {
        "merchant_private_key": private.pem_pkcs8(),
        "merchant_certificate": merchant.certificate_pem,
        "public_key": public.pem(),
    }
    platform: list[dict[str, object]] = []
    if merchant.trust != "public_key":
        platform = [{"serial": one.serial, "pem": one.pem, "signing": one.signing} for one in merchants.certificates()]
    return {
        "mchid": mchid,
        "name": merchant.name,
        "appid": merchant.appids[0],
        "appids": merchant.appids,
        "merchant_serial": merchant.serial,
        **texts,
        "merchant_private_key_pkcs1": private.pem_pkcs1(),
        "merchant_private_key_bare": private.bare_pkcs8(),
        "apiv3_key": merchant.apiv3_key,
        "public_key_id": merchant.public_key_id,
        "platform_certificates": platform,
        "buyers": [_buyer(buyer, merchant) for buyer in bank.buyers.values()],
        **_files(folder, mchid, texts),
    }


def _buyer(buyer: Buyer, merchant: Merchant) -> dict[str, object]:
    names = {"user_id": buyer.user_id, "logon_id": buyer.logon_id, "name": buyer.name, "note": buyer.note_en}
    openids = {appid: openid_of(appid, buyer.user_id) for appid in merchant.appids}
    more = {"balance": yuan(buyer.balance_minor), "openid": openids[merchant.appids[0]], "openids": openids}
    return {**names, **more, "auth_codes": seeded_codes(buyer.user_id)}


def _files(folder: Path | None, mchid: str, texts: Mapping[str, str]) -> dict[str, object]:
    if folder is None:
        return {}
    place = folder / "wechatpay" / mchid
    place.mkdir(parents=True, exist_ok=True)
    paths: dict[str, object] = {}
    for name, text in texts.items():
        path = place / f"{name}.pem"
        path.touch(mode=0o600 if "private" in name else 0o644)
        path.write_text(text)
        paths[f"{name}_file"] = str(path)
    return paths
