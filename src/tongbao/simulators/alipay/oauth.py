"""Tokens: alipay.system.oauth.token for a buyer, alipay.open.auth.token.app for an application that acts for a
merchant.

Rule: fields travel at the top level in the first and in biz_content in the second. A buyer's code is `code-<user id>`
and a merchant's `app-<app id>`; both are listed with the accounts and stay good, so that tests can be repeated. A
refresh token replaces its pair.
"""

from datetime import datetime, timedelta

from tongbao.crypto import same
from tongbao.simulators.alipay.apps import Apps
from tongbao.simulators.alipay.errors import Failure
from tongbao.simulators.alipay.holdings import Token
from tongbao.simulators.alipay.model import App
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import china_time

USER_CODE, APP_CODE = "code-", "app-"
USER_LIFE, APP_LIFE = timedelta(seconds=1_296_000), timedelta(seconds=31_536_000)


def user_token(book: Book, call: Call) -> dict[str, object]:
    """alipay.system.oauth.token."""
    kind, params = call.params.get("grant_type", ""), call.params
    if kind == "authorization_code":
        buyer = book.bank.buyers.get(params.get("code", "").removeprefix(USER_CODE))
        if buyer is None or not params.get("code", "").startswith(USER_CODE):
            raise Failure("isv.code-invalid", code="40002")
        user_id = buyer.user_id
    elif kind == "refresh_token":
        user_id = _renewed(book, params.get("refresh_token", "")).user_id
    else:
        raise Failure("isv.grant-type-invalid", code="40002")
    made = _make(book, call, user_id, "", "auth", USER_LIFE)
    return {
        "user_id": user_id,
        "access_token": made.token,
        "refresh_token": made.refresh_token,
        "expires_in": str(int(USER_LIFE.total_seconds())),
        "re_expires_in": str(2 * int(USER_LIFE.total_seconds())),
        "auth_start": china_time(call.now),
    }


def app_token(book: Book, call: Call) -> dict[str, object]:
    """alipay.open.auth.token.app: the merchant of `code` (or of the refresh token) authorises the caller."""
    kind = call.text("grant_type")
    if kind == "authorization_code":
        merchant = book.apps.get(call.text("code").removeprefix(APP_CODE))
        if merchant is None or not call.text("code").startswith(APP_CODE):
            raise Failure("isv.code-invalid", code="40002")
        app_id = merchant.app_id
    elif kind == "refresh_token":
        app_id = _renewed(book, call.text("refresh_token")).app_id
    else:
        raise Failure("isv.grant-type-invalid", code="40002")
    merchant = book.apps.get(app_id)
    if merchant is None:
        raise Failure("isv.code-invalid", code="40002")
    made = _make(book, call, merchant.seller_id, app_id, "app", APP_LIFE)
    return {
        "user_id": merchant.seller_id,
        "auth_app_id": app_id,
        "app_auth_token": made.token,
        "app_refresh_token": made.refresh_token,
        "expires_in": str(int(APP_LIFE.total_seconds())),
        "re_expires_in": str(2 * int(APP_LIFE.total_seconds())),
    }


def app_token_query(book: Book, call: Call) -> dict[str, object]:
    """alipay.open.auth.token.app.query."""
    found = book.tokens.get(call.text("app_auth_token"))
    if found is None or not found.app_id:
        raise Failure("aop.invalid-app-auth-token", code="20001")
    status = "valid" if found.expires_at > call.now else "invalid"
    seconds = str(int(APP_LIFE.total_seconds()))
    return {"user_id": found.user_id, "auth_app_id": found.app_id, "expires_in": seconds, "status": status}


def merchant_of(book: Book, apps: Apps, token: str, now: datetime) -> App | None:
    """The application whose merchant authorised by this token, if it is still good."""
    found = book.tokens.get(token)
    return apps.get(found.app_id) if found is not None and found.app_id and found.expires_at > now else None


def _renewed(book: Book, refresh_token: str) -> Token:
    found = next((one for one in book.tokens.values() if same(one.refresh_token, refresh_token)), None)
    if found is None:
        raise Failure("isv.refresh-token-invalid", code="40002")
    book.tokens.remove(found.token)
    return found


def _make(book: Book, call: Call, user_id: str, app_id: str, prefix: str, life: timedelta) -> Token:
    made = Token(f"{prefix}B{book.bank.token(36)}", f"{prefix}R{book.bank.token(36)}", user_id, app_id, call.now + life)
    return book.tokens.put(made.token, made)
