"""What a WeChat Pay account can do and which credentials it takes: data that routing, checkout and console read.

Source: create order, code pay, refund rules of the protocol.
"""

from dataclasses import replace

from tongbao.channels.wechatpay.account import PRODUCTION_URL
from tongbao.channels.wechatpay.values import FEN_MAX, FEN_MIN
from tongbao.ports import Capabilities, CredentialField, MethodCapability, Verb

_ORDER_OPTIONS = frozenset({"attach", "goods_tag", "detail", "scene_info", "settle_info", "limit_pay"})


def _method(surfaces: str, options: str = "", required: str = "") -> MethodCapability:
    return MethodCapability(
        currencies=frozenset({"CNY"}),
        amount_min=FEN_MIN,
        amount_max=FEN_MAX,
        surfaces=frozenset(surfaces.split()),
        options=_ORDER_OPTIONS | frozenset(options.split()),
        required=frozenset(required.split()),
    )


CAPABILITIES = Capabilities(
    methods={
        "wechat_native": _method("desktop qr", "support_fapiao"),
        "wechat_jsapi": _method("in_app", "openid support_fapiao", required="openid"),
        "wechat_h5": replace(_method("mobile", "h5_info support_fapiao"), wants_origin=True),
        "wechat_app": _method("in_app", "support_fapiao"),
        "wechat_barcode": _method("counter", "auth_code store_info device_ip", required="auth_code"),
    },
    partial_refund=True,
    # Not CREATE: a barcode is good for one charge.
    idempotent=frozenset({Verb.CLOSE, Verb.REFUND}),
    refund_gap_seconds=60,
    expiry_min_seconds=60,
    expiry_max_seconds=7 * 86_400,
)

CREDENTIALS = (
    CredentialField("gateway_url", secret=False, description=f"{PRODUCTION_URL}, or the sandbox's address"),
    CredentialField("mchid", secret=False, description="the merchant number"),
    CredentialField("appid", secret=False, description="the app that orders are made for; checked in notifications"),
    CredentialField("merchant_private_key", secret=True, description="apiclient_key.pem, PKCS#1 or PKCS#8"),
    CredentialField("merchant_serial", secret=False, description="the serial of apiclient_cert.pem, hexadecimal"),
    CredentialField("apiv3_key", secret=True, description="the APIv3 key, 32 characters"),
    CredentialField(
        "public_key_id", secret=False, required=False, description="public-key mode: PUB_KEY_ID_... of the public key"
    ),
    CredentialField(
        "public_key", secret=False, required=False, description="public-key mode: pub_key.pem from the console"
    ),
)
