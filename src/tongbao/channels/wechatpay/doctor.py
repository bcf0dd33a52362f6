"""What is wrong with a WeChat Pay account, and what to do about it: what can be seen offline, one probe, notifications.

Rule: a finding names one cause and one next step. Everything is a pure exchange; who runs it brings the transport.
Source: authentication failures, keys and certificates of the protocol, and two facts: a signed 'no such order' proves
merchant number, key, serial and WeChat's key; a certificate list that decrypts proves the APIv3 key.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TypeVar, cast
from urllib.parse import urlsplit

from tongbao.channels.exchange import Exchange
from tongbao.channels.wechatpay.account import Account, account_from_credentials
from tongbao.channels.wechatpay.calls import load_certificates
from tongbao.channels.wechatpay.certificates import ListUndecryptable
from tongbao.channels.wechatpay.errors import WechatPayError, plain
from tongbao.channels.wechatpay.trades import query
from tongbao.channels.wechatpay.trust import OutsideWindow
from tongbao.domain.errors import (
    ChannelError,
    ChannelUnavailable,
    InvalidInput,
    MessageNotTrusted,
    OutcomeUnknown,
    TongbaoError,
)
from tongbao.ports import Clock, Finding, Reply, Request

T = TypeVar("T")

PROBE_NUMBER = "TONGBAO_CHECK_NO_SUCH_ORDER"
"""An order that nobody makes."""
CLOCK_SKEW_MAX = timedelta(seconds=60)
EXPIRY_WARNING = timedelta(days=30)

LIST_REFUSED = "certificate_list_refused"
KEYS_RIGHT = Finding("ok", "keys_right", "WeChat Pay accepted our signature, and its answer is signed with its key.")
APIV3_KEY_RIGHT = Finding("ok", "apiv3_key_right", "The certificate list decrypts with the APIv3 key.")

# The codes of refused signatures are all SIGN_ERROR; only the text tells them apart. It is a hint for a person, and
# nothing is decided by it.
_HINTS: tuple[tuple[str, str, str, str], ...] = (
    (
        "证书序列号",
        "merchant_serial_wrong",
        "WeChat Pay knows no certificate of this merchant with this serial.",
        "Set merchant_serial to the serial of apiclient_cert.pem: openssl x509 -in apiclient_cert.pem -noout -serial",
    ),
    (
        "timestamp",
        "clock_off",
        "WeChat Pay refuses the time of our request.",
        "Set the machine's clock (NTP); the time zone does not matter.",
    ),
    (
        "过期",
        "merchant_certificate_expired",
        "The merchant's API certificate has expired.",
        "Make a new API certificate in the merchant console, and set its key and serial.",
    ),
    (
        "作废",
        "merchant_certificate_revoked",
        "The merchant's API certificate was revoked.",
        "Make a new API certificate in the merchant console, and set its key and serial.",
    ),
    (
        "更换证书",
        "merchant_certificate_replaced",
        "The merchant's API certificate was replaced by another.",
        "Set the key and serial of the new API certificate.",
    ),
    (
        "未申请过证书",
        "merchant_certificate_missing",
        "The merchant has no API certificate.",
        "Apply for one in the merchant console, under API security.",
    ),
    (
        "APIv3密钥",
        "apiv3_key_unset",
        "The merchant has set no APIv3 key, so no notifications come.",
        "Set one in the merchant console, under API security.",
    ),
)

_ADVICE_FROM_CODE: dict[str, tuple[str, str, str]] = {
    "SIGN_ERROR": (
        "merchant_key_wrong",
        "WeChat Pay refuses our signature: key and serial do not belong together, or not to this merchant.",
        "Set mchid, apiclient_key.pem and the serial of apiclient_cert.pem from one and the same download.",
    ),
    "MCH_NOT_EXISTS": ("mchid_wrong", "WeChat Pay does not know this merchant number.", "Check mchid."),
    "NO_AUTH": (
        "permission_missing",
        "The merchant may not use this call.",
        "Apply for the product in the merchant console.",
    ),
    "APPID_MCHID_NOT_MATCH": (
        "appid_not_bound",
        "The app is not bound to this merchant.",
        "Bind the appid in the merchant console, or set the one that is bound.",
    ),
}
_ADVICE = {plain(code): advice for code, advice in _ADVICE_FROM_CODE.items()}


# --- everything at once --------------------------------------------------------------------------------------------


def examine(credentials: Mapping[str, str], clock: Clock, notify_url: str | None = None) -> Exchange[list[Finding]]:
    """Every finding about an account: what can be seen in its credentials, what a probe of WeChat says, and whether
    the notification address answers.

    Args:
        credentials: as the gateway stores them (see `capabilities.CREDENTIALS`), keys as text.
        clock: whose correctness is checked against WeChat's Date.
        notify_url: where WeChat is to send notifications; not checked when None.
    """
    try:
        account = account_from_credentials(credentials, clock)
    except InvalidInput as error:
        return [_finding_from_credential(error)]
    found = yield from probe(account)
    if notify_url is not None:
        found.append((yield from _about_notify_url(notify_url, account)))
    return found


_CODE_FROM_PARAM: dict[str | None, tuple[str, str]] = {
    "merchant_private_key": ("merchant_key_unreadable", "Paste apiclient_key.pem whole, unencrypted."),
    "merchant_serial": (
        "merchant_serial_wrong",
        "Set the serial of apiclient_cert.pem: openssl x509 -in apiclient_cert.pem -noout -serial",
    ),
    "apiv3_key": ("apiv3_key_wrong", "Copy the 32 characters that were set in the merchant console as APIv3 key."),
    "public_key": ("public_key_wrong", "Paste pub_key.pem from the merchant console, under WeChat Pay public key."),
    "public_key_id": ("public_key_id_wrong", "Copy the id beside the public key: PUB_KEY_ID_ and digits."),
    "mchid": ("mchid_wrong", "Copy the merchant number from the console."),
    "appid": ("appid_wrong", "Copy the appid of the app that is bound to the merchant."),
    "gateway_url": ("gateway_url_wrong", "Set gateway_url to WeChat's address or the sandbox's."),
}


def _finding_from_credential(error: InvalidInput) -> Finding:
    code, advice = _CODE_FROM_PARAM.get(error.param, (error.code, ""))
    return Finding("error", code, error.message, advice)


# --- WeChat ----------------------------------------------------------------------------------------------------------


def probe(account: Account) -> Exchange[list[Finding]]:
    """Fetches the certificates and asks for an order that does not exist."""
    replies: list[Reply] = []
    about_list = yield from _about_list(account, replies)
    try:
        yield from _watched(query(account, out_trade_no=PROBE_NUMBER), replies)
    except TongbaoError as error:
        found = _finding_from_error(error, account, replies)
    else:
        found = KEYS_RIGHT
    clock = _about_clock(replies[0], account.clock) if replies else []
    return [*clock, *_told_apart(about_list, found, is_clock_off=bool(clock))]


def _told_apart(about_list: list[Finding], found: Finding, *, is_clock_off: bool) -> list[Finding]:
    """One finding per cause: what stops the list often stops the question too, and one of them says it better."""
    if found.code == "answer_not_trusted" and any(finding.level == "error" for finding in about_list):
        return about_list
    if found.level == "error":
        about_list = [finding for finding in about_list if finding.code not in (LIST_REFUSED, found.code)]
    return about_list if is_clock_off and found.code == "clock_off" else [*about_list, found]


def _about_list(account: Account, replies: list[Reply]) -> Exchange[list[Finding]]:
    """Whether the APIv3 key is right, and how long WeChat's certificates are valid."""
    try:
        keys = yield from _watched(load_certificates(account), replies)
    except WechatPayError as error:
        if plain(error.channel_code or "") == plain("RESOURCE_NOT_EXISTS"):
            return [_no_certificates(account)]
        return []  # the query that follows says why
    except ListUndecryptable as error:
        advice = "Copy the 32 characters that were set in the merchant console; setting it anew takes effect at once."
        return [Finding("error", "apiv3_key_wrong", error.message, advice)]
    except MessageNotTrusted as error:
        return [Finding("error", LIST_REFUSED, error.message, "Set the clock (NTP), then try again.")]
    except ChannelError:
        return []
    last = max(key.valid_until for key in keys if key.valid_until is not None)
    if last - account.clock.now() > EXPIRY_WARNING:
        return [APIV3_KEY_RIGHT]
    text = f"WeChat's last platform certificate ends on {last:%Y-%m-%d}."
    advice = "Switch to the public key in the merchant console, or wait for the next certificate."
    return [APIV3_KEY_RIGHT, Finding("warning", "certificate_expiring", text, advice)]


def _no_certificates(account: Account) -> Finding:
    if account.keys.public_key is None:
        return Finding(
            "error",
            "public_key_missing",
            "This merchant has no platform certificates, only a public key.",
            "Set public_key_id and public_key from the merchant console, under WeChat Pay public key.",
        )
    return Finding(
        "warning",
        "apiv3_key_unproven",
        "This merchant has no platform certificates, so only a notification can prove the APIv3 key.",
        "Pay a small amount and look whether its notification is accepted.",
    )


def _watched(exchange: Exchange[T], replies: list[Reply]) -> Exchange[T]:
    """The exchange itself, its replies kept."""
    try:
        request = next(exchange)
        while True:
            try:
                reply = yield request
            except ChannelError as error:
                request = exchange.throw(error)
                continue
            replies.append(reply)
            request = exchange.send(reply)
    except StopIteration as end:
        return cast(T, end.value)


def _about_clock(reply: Reply, clock: Clock) -> list[Finding]:
    try:
        theirs = parsedate_to_datetime(reply.headers.get("date", ""))
    except ValueError:
        return []
    if theirs.tzinfo is None:
        return []
    lead = clock.now() - theirs
    if abs(lead) <= CLOCK_SKEW_MAX:
        return []
    text = f"This machine's clock is {abs(lead)} {'ahead of' if lead > timedelta(0) else 'behind'} WeChat's."
    return [Finding("error", "clock_off", text, "Set the clock (NTP); the time zone does not matter.")]


# --- the notification address ----------------------------------------------------------------------------------------


def _about_notify_url(url: str, account: Account) -> Exchange[Finding]:
    code = "notify_url_unreachable"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s<>?#]", url):
        text = f"{url!r} is no address for WeChat."
        return Finding("error", "notify_url_wrong", text, "Give an https address without a query.")
    try:
        reply = yield Request("POST", url, {"content-type": "application/json"}, b"{}", account.timeouts)
    except ChannelError as error:
        advice = "WeChat must reach it from the internet: check DNS, firewall and the proxy in front of the server."
        return Finding("error", code, error.message, advice)
    if 300 <= reply.status < 400:
        text = f"The notification address redirects (HTTP {reply.status}); WeChat does not follow."
        return Finding("error", code, text, "Give the address that it redirects to.")
    if reply.status in (404, 502, 503, 504):
        text = f"The notification address answers HTTP {reply.status}: nobody receives there."
        return Finding("error", code, text, "Route this address to the gateway.")
    if reply.status < 300:
        text = "The notification address accepts a message that nobody signed."
        return Finding("error", "notify_url_trusts_all", text, "Verify before answering 2xx.")
    return Finding("ok", "notify_url_answers", "The notification address answers, seen from this machine.")


# --- errors ----------------------------------------------------------------------------------------------------------


def _finding_from_error(error: TongbaoError, account: Account, replies: list[Reply]) -> Finding:
    """What an error met by the probe says about the account."""
    if isinstance(error, WechatPayError):
        return _finding_from_answer(error)
    if isinstance(error, MessageNotTrusted):
        return _finding_from_distrust(error, account, replies[-1] if replies else None)
    if isinstance(error, ChannelUnavailable):
        return Finding("error", "gateway_unreachable", error.message, "Check gateway_url, DNS, firewall and proxy.")
    if isinstance(error, OutcomeUnknown):
        advice = "Check that gateway_url is WeChat's, then try again."
        return Finding("error", "gateway_no_answer", error.message, advice)
    return Finding("error", error.code, error.message)


def _finding_from_distrust(error: MessageNotTrusted, account: Account, reply: Reply | None) -> Finding:
    own = account.keys.public_key
    serial = reply.headers.get("wechatpay-serial", "") if reply is not None else ""
    if isinstance(error.__cause__, OutsideWindow):
        return Finding("error", "clock_off", error.message, "Set the machine's clock (NTP).")
    if own is not None and serial == own.serial:
        return Finding(
            "error",
            "public_key_wrong",
            "WeChat Pay accepted our signature, but its answer does not verify with the configured public key.",
            "Paste the pub_key.pem of this very merchant; each merchant has another one.",
        )
    if own is not None:
        text = f"WeChat Pay signs with key {serial[:64]!r}, and {own.serial!r} is configured."
        return Finding("error", "public_key_id_wrong", text, _CODE_FROM_PARAM["public_key_id"][1])
    return Finding("error", "answer_not_trusted", error.message, "Set public_key_id and public_key from the console.")


def _finding_from_answer(error: WechatPayError) -> Finding:
    if error.signed and plain(error.channel_code or "") == plain("ORDER_NOT_EXIST"):
        return KEYS_RIGHT
    if plain(error.channel_code or "") == plain("SIGN_ERROR"):
        for mark, code, text, advice in _HINTS:
            if mark in (error.channel_message or ""):
                return Finding("error", code, text, advice)
    told = _ADVICE.get(plain(error.channel_code or ""))
    if told is not None:
        return Finding("error", *told)
    return Finding("error", error.channel_code or error.code, error.message, error.next_step.value)
