"""Agreements by which a merchant may charge without the buyer present, and tokens of users. Pure.

Source: agreements section of the protocol. `oauth_token` sends its fields at the top level, without biz_content.
"""

from collections.abc import Mapping
from typing import cast

from tongbao.channels.alipay.account import Account
from tongbao.channels.alipay.answers import AgreementQueried, AgreementUnsigned, TokenGranted
from tongbao.channels.alipay.calls import call
from tongbao.channels.alipay.orders import further
from tongbao.channels.alipay.requests import SignedPage, signed_page, signed_params
from tongbao.channels.exchange import Exchange
from tongbao.domain.errors import InvalidInput


def agreement_page_sign(
    account: Account,
    *,
    personal_product_code: str,
    sign_scene: str,
    access_params: Mapping[str, object],
    product_code: str | None = "GENERAL_WITHHOLDING",
    external_agreement_no: str | None = None,
    external_logon_id: str | None = None,
    period_rule_params: Mapping[str, object] | None = None,
    sign_validity_period: str | None = None,
    notify_url: str | None = None,
    return_url: str | None = None,
    more: Mapping[str, object] | None = None,
    app_auth_token: str | None = None,
) -> SignedPage:
    """`alipay.user.agreement.page.sign`: the page (or, with its `url` in the app's deep link, the app) where the
    buyer agrees. Nothing is sent here.

    Args:
        personal_product_code: CYCLE_PAY_AUTH_P, GENERAL_WITHHOLDING_P.
        sign_scene: e.g. `INDUSTRY|DIGITAL_MEDIA`.
        access_params: `{"channel": "ALIPAYAPP" | "QRCODE" | "QRCODEORSMS"}`.
        product_code: the contract's product.
        external_agreement_no: the merchant's number of the agreement, at most 32 characters.
        external_logon_id: who the buyer is at the merchant's.
        period_rule_params: for cycle pay: period_type (DAY, MONTH), period, execute_time, single_amount, ...
        sign_validity_period: how long the page can be agreed on, e.g. `2m`.
        return_url: where the buyer's browser comes back to.
    """
    business: dict[str, object] = {
        "personal_product_code": personal_product_code,
        "product_code": product_code,
        "sign_scene": sign_scene,
        "external_agreement_no": external_agreement_no,
        "external_logon_id": external_logon_id,
        "access_params": access_params,
        "period_rule_params": period_rule_params,
        "sign_validity_period": sign_validity_period,
        **further(more),
    }
    common = {"notify_url": notify_url, "return_url": return_url, "app_auth_token": app_auth_token}
    return signed_page(account, signed_params(account, "alipay.user.agreement.page.sign", business, common))


def agreement_query(
    account: Account,
    *,
    agreement_no: str | None = None,
    alipay_user_id: str | None = None,
    personal_product_code: str | None = None,
    sign_scene: str | None = None,
    external_agreement_no: str | None = None,
    app_auth_token: str | None = None,
) -> Exchange[AgreementQueried]:
    """`alipay.user.agreement.query`: `status` TEMP, NORMAL or STOP.

    Args:
        agreement_no: Alipay's number, alone; or all of
        alipay_user_id, personal_product_code, sign_scene, external_agreement_no: whose it is, and as it was signed.
    """
    business = _agreement(agreement_no, alipay_user_id, personal_product_code, sign_scene, external_agreement_no)
    answer = yield from call(account, "alipay.user.agreement.query", business, app_auth_token=app_auth_token)
    return cast(AgreementQueried, answer)


def agreement_unsign(
    account: Account,
    *,
    agreement_no: str | None = None,
    alipay_user_id: str | None = None,
    personal_product_code: str | None = None,
    sign_scene: str | None = None,
    external_agreement_no: str | None = None,
    notify_url: str | None = None,
    app_auth_token: str | None = None,
) -> Exchange[AgreementUnsigned]:
    """`alipay.user.agreement.unsign`: ends an agreement.

    Args:
        agreement_no: Alipay's number, alone; or all of
        alipay_user_id, personal_product_code, sign_scene, external_agreement_no: whose it is, and as it was signed.
    """
    business = _agreement(agreement_no, alipay_user_id, personal_product_code, sign_scene, external_agreement_no)
    method = "alipay.user.agreement.unsign"
    answer = yield from call(account, method, business, notify_url=notify_url, app_auth_token=app_auth_token)
    return cast(AgreementUnsigned, answer)


def _agreement(
    agreement_no: str | None,
    alipay_user_id: str | None,
    personal_product_code: str | None,
    sign_scene: str | None,
    external_agreement_no: str | None,
) -> dict[str, object]:
    if not agreement_no and not alipay_user_id and not external_agreement_no:
        raise InvalidInput("name the agreement: agreement_no, or the user and product", param="agreement_no")
    return {
        "agreement_no": agreement_no,
        "alipay_user_id": alipay_user_id,
        "personal_product_code": personal_product_code,
        "sign_scene": sign_scene,
        "external_agreement_no": external_agreement_no,
    }


def oauth_token(
    account: Account,
    *,
    code: str | None = None,
    refresh_token: str | None = None,
    app_auth_token: str | None = None,
) -> Exchange[TokenGranted]:
    """`alipay.system.oauth.token`: a user's token.

    Args:
        code: what the user's browser brought, once; or
        refresh_token: of an earlier token, to renew it.
    """
    if bool(code) == bool(refresh_token):
        raise InvalidInput("give either code or refresh_token", param="code")
    common = {
        "grant_type": "authorization_code" if code else "refresh_token",
        "code": code,
        "refresh_token": refresh_token,
    }
    method = "alipay.system.oauth.token"
    return cast(TokenGranted, (yield from call(account, method, None, common=common, app_auth_token=app_auth_token)))
