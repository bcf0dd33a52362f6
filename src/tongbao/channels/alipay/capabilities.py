"""What an Alipay account can do and which credentials it takes: data that routing, checkout and console read.

Source: methods, timeouts and refund rules of the protocol.
"""

from tongbao.channels.alipay.account import PRODUCTION_URL
from tongbao.channels.alipay.values import FEN_MAX, FEN_MIN
from tongbao.ports import Capabilities, CredentialField, MethodCapability, Verb

_ORDER_OPTIONS = frozenset(
    {
        "body",
        "goods_detail",
        "store_id",
        "operator_id",
        "terminal_id",
        "extend_params",
        "enable_pay_channels",
        "disable_pay_channels",
        "passback_params",
    }
)


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
        "alipay_page": _method("desktop", "qr_pay_mode qrcode_width goods_type"),
        "alipay_wap": _method("mobile wallet", "quit_url goods_type"),
        "alipay_app": _method("in_app", "goods_type"),
        "alipay_qr": _method("desktop qr"),
        "alipay_barcode": _method("counter", "auth_code scene product_code", required="auth_code"),
        "alipay_jsapi": _method("in_app", "buyer_id buyer_open_id op_app_id product_code"),
    },
    partial_refund=True,
    # Not CREATE: asking again for the QR of one order is refused, and a barcode is good for one charge.
    idempotent=frozenset({Verb.CLOSE, Verb.REFUND}),
    refund_gap_seconds=3,
    expiry_min_seconds=60,
    expiry_max_seconds=15 * 86_400,
)

CREDENTIALS = (
    CredentialField("gateway_url", secret=False, description=f"{PRODUCTION_URL}, or the sandbox's address"),
    CredentialField("app_id", secret=False, description="the application's id"),
    CredentialField("private_key", secret=True, description="the application's private key, PKCS#1 or PKCS#8"),
    CredentialField(
        "alipay_public_key",
        secret=False,
        required=False,
        description="key mode: Alipay's public key, not the application's own",
    ),
    CredentialField(
        "app_cert", secret=False, required=False, description="certificate mode: appCertPublicKey_<app id>.crt"
    ),
    CredentialField(
        "alipay_cert", secret=False, required=False, description="certificate mode: alipayCertPublicKey_RSA2.crt"
    ),
    CredentialField(
        "alipay_root_cert", secret=False, required=False, description="certificate mode: alipayRootCert.crt, whole"
    ),
    CredentialField(
        "seller_id",
        secret=False,
        required=False,
        description="who receives the money (2088...); checked in notifications when given",
    ),
    CredentialField("sign_type", secret=False, required=False, description="RSA2 (default) or RSA"),
    CredentialField("charset", secret=False, required=False, description="utf-8 (default) or GBK"),
    CredentialField("aes_key", secret=True, required=False, description="to encrypt the business parameters"),
    CredentialField("app_auth_token", secret=True, required=False, description="acting for a merchant (ISV)"),
)
