"""What is wrong with an Alipay account, and what to do about it: what can be seen offline, one probe, notifications.

Rule: a finding names one cause and one next step. Everything is a pure exchange; who runs it brings the transport.
Source: the gateway's error codes, the two key pairs and certificate mode of the protocol, and the fact that a signed
'no such trade' proves address, app id and both key pairs right.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TypeVar, cast
from urllib.parse import urlsplit

from cryptography.x509.oid import NameOID

from tongbao.channels.alipay.account import SANDBOX_URL, Account, account_from_credentials
from tongbao.channels.alipay.certificates import certificate_from, is_chained
from tongbao.channels.alipay.errors import AlipayError
from tongbao.channels.alipay.trades import query
from tongbao.channels.exchange import Exchange
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

RSA_OID = "BgkqhkiG9w0BAQEF"
"""As it stands in the base64 of a PKCS#8 key, and not of a PKCS#1 one."""
_ARMOURED = re.compile(r"-----BEGIN (RSA )?PRIVATE KEY-----([^-]*)")
_OWNER = re.compile(r"(?:^|-)(\d{10,})$")
"""An app certificate's common name is `<seller id>-<app id>`."""
FORM = "application/x-www-form-urlencoded"
PROBE_NUMBER = "TONGBAO_CHECK_NO_SUCH_TRADE"
"""A trade that nobody makes."""

KEYS_RIGHT = Finding("ok", "keys_right", "Alipay accepted our signature, and its answer is signed with its key.")
CLOCK_SKEW_MAX = timedelta(seconds=60)

RETIRED_HOSTS = {"openapi.alipaydev.com": SANDBOX_URL}

_ADVICE_FROM_SUB_CODE: dict[str, tuple[str, str]] = {
    "isv.invalid-signature": (
        "Alipay refuses our signature: the private key is not the other half of the public key in its console.",
        "Upload the public key that belongs to this private key (console, interface signing), or set the private key "
        "that belongs to the uploaded one.",
    ),
    "isv.missing-signature-config": (
        "No application public key is stored at Alipay.",
        "Upload the application's public key in the console, under interface signing.",
    ),
    "isv.invalid-app-id": (
        "Alipay does not know this app id at this address.",
        "Check app_id; apps of the sandbox exist only at the sandbox's address, and the other way round.",
    ),
    "isv.invalid-timestamp": (
        "Alipay refuses the time of our request.",
        "Set the machine's clock (NTP); the time zone does not matter.",
    ),
    "isv.invalid-signature-type": ("Alipay refuses the kind of signature.", "Set sign_type to RSA2."),
    "isv.missing-app-cert-sn": (
        "This app is in certificate mode, and no certificate is configured.",
        "Configure the app's certificate, Alipay's certificate and the root bundle instead of Alipay's public key.",
    ),
    "isv.missing-alipay-root-cert-sn": (
        "The root bundle's serial is missing.",
        "Configure alipayRootCert.crt as downloaded from the console, whole.",
    ),
    "isv.invalid-alipay-root-cert-sn": (
        "Alipay does not know the root bundle's serial.",
        "Download alipayRootCert.crt anew and configure it whole; a bundle that was cut has another serial.",
    ),
    "isv.app-cert-not-exist": (
        "Alipay does not know this app certificate.",
        "Configure the certificate that was made for this app id.",
    ),
    "isv.app-cert-expired": ("The app's certificate has expired.", "Make a new one in the console."),
    "isv.invalid-charset": ("Alipay refuses the character set.", "Set charset to utf-8 or GBK."),
}


# --- everything at once --------------------------------------------------------------------------------------------


def examine(credentials: Mapping[str, str], clock: Clock, notify_url: str | None = None) -> Exchange[list[Finding]]:
    """Every finding about an account: what can be seen in its credentials, what a probe of the gateway says, and
    whether the notification address answers.

    Args:
        credentials: as the gateway stores them (see `capabilities.CREDENTIALS`), keys as text.
        clock: whose correctness is checked against the gateway's Date.
        notify_url: where Alipay is to send notifications; not checked when None.
    """
    found = [*_about_address(credentials.get("gateway_url", "")), *_about_private_key(credentials)]
    try:
        account = account_from_credentials(credentials, clock)
    except InvalidInput as error:
        return [*found, _finding_from_credential(error)]
    found += _about_certificates(credentials, account)
    if not any(finding.level == "error" for finding in found):  # else a refusal would only be its consequence
        found += yield from probe(account)
    if notify_url is not None:
        found.append((yield from _about_notify_url(notify_url, account)))
    return found


# --- offline -------------------------------------------------------------------------------------------------------

_CODE_FROM_PARAM: dict[str | None, tuple[str, str]] = {
    "private_key": (
        "private_key_unreadable",
        "Paste the whole application private key, PKCS#1 or PKCS#8, unencrypted.",
    ),
    "alipay_public_key": (
        "alipay_public_key_wrong",
        "Copy Alipay's public key from the console: it stands beside the application's own public key.",
    ),
    "app_cert": ("app_cert_wrong", "Configure the certificate that was made for this app id and this private key."),
    "alipay_cert": ("alipay_cert_wrong", "Configure alipayCertPublicKey_RSA2.crt as downloaded from the console."),
    "alipay_root_cert": (
        "root_bundle_cut",
        "Configure alipayRootCert.crt as downloaded from the console, whole; it holds several certificates.",
    ),
    "charset": ("charset_wrong", "Set charset to utf-8, or to GBK."),
    "gateway_url": ("gateway_url_wrong", "Set gateway_url to Alipay's address or the sandbox's."),
    "aes_key": ("aes_key_wrong", "Copy the content encryption key from the console, or leave it out."),
    "app_id": ("app_id_wrong", "Copy the app id from the console."),
    "sign_type": ("sign_type_wrong", "Set sign_type to RSA2."),
}


def _finding_from_credential(error: InvalidInput) -> Finding:
    code, advice = _CODE_FROM_PARAM.get(error.param, (error.code, ""))
    return Finding("error", code, f"{error.message[:1].upper()}{error.message[1:]}.", advice)


def _about_address(url: str) -> list[Finding]:
    host = urlsplit(url).hostname if "://" in url else None
    if host not in RETIRED_HOSTS:
        return []
    text = "This is the address of Alipay's old sandbox, which is retired."
    return [Finding("error", "gateway_retired", text, f"Use {RETIRED_HOSTS[host]} and an app id of the new sandbox.")]


def _about_private_key(credentials: Mapping[str, str]) -> list[Finding]:
    """A key whose armour names another form than it has: it is read here, and refused by stricter tools."""
    armoured = _ARMOURED.match(credentials.get("private_key", "").strip())
    if armoured is None:
        return []
    says_pkcs1, is_pkcs8 = armoured[1] is not None, RSA_OID in "".join(armoured[2].split())[:80]
    if says_pkcs1 != is_pkcs8:
        return []
    said, real = ("PKCS#1", "PKCS#8") if says_pkcs1 else ("PKCS#8", "PKCS#1")
    text = f"The private key's first line says {said}, and its content is {real}."
    return [
        Finding("warning", "private_key_mislabelled", text, "It works here; other tools refuse it. Export it anew.")
    ]


def _about_certificates(credentials: Mapping[str, str], account: Account) -> list[Finding]:
    if account.trust is None:
        return []
    found = []
    name = certificate_from(credentials["app_cert"].strip().encode())[0].subject
    common = [str(one.value) for one in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    owner = _OWNER.search(common[0]) if common else None
    if owner and owner[1] != account.app_id:
        text = f"The app certificate was made for app {owner[1]}, not for {account.app_id}."
        found.append(Finding("error", "app_cert_wrong", text, _CODE_FROM_PARAM["app_cert"][1]))
    trust = account.trust
    if not is_chained(trust.leaf, trust.intermediates, trust.roots):
        text = "Alipay's certificate does not lead to a root of the configured bundle; the bundle may be cut."
        found.append(Finding("warning", "root_bundle_cut", text, _CODE_FROM_PARAM["alipay_root_cert"][1]))
    return found


# --- the gateway -----------------------------------------------------------------------------------------------------


def probe(account: Account) -> Exchange[list[Finding]]:
    """Asks for a trade that does not exist: a signed 'no such trade' proves address, app id and both key pairs."""
    replies: list[Reply] = []
    try:
        yield from _watched(query(account, out_trade_no=PROBE_NUMBER), replies)
    except TongbaoError as error:
        found = finding_from_error(error)
    else:
        found = KEYS_RIGHT
    return [*(_about_clock(replies[0], account.clock) if replies else []), found]


def _watched(exchange: Exchange[T], replies: list[Reply]) -> Exchange[T]:
    """The exchange itself, its replies kept."""
    request = next(exchange)
    while True:
        reply = yield request
        replies.append(reply)
        try:
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
    distance = timedelta(seconds=round(abs(lead).total_seconds()))
    text = f"This machine's clock is {distance} {'ahead of' if lead > timedelta(0) else 'behind'} the gateway's."
    return [Finding("error", "clock_off", text, "Set the clock (NTP); the time zone does not matter.")]


# --- the notification address ----------------------------------------------------------------------------------------


def _about_notify_url(url: str, account: Account) -> Exchange[Finding]:
    code = "notify_url_unreachable"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s<>]", url):
        return Finding("error", "notify_url_wrong", f"{url!r} is no address for Alipay.", "Give an http(s) address.")
    if _is_private(parts.hostname) and not _is_private(urlsplit(account.gateway_url).hostname or ""):
        text = f"{parts.hostname} is an address of your own network; Alipay cannot reach it."
        return Finding("error", code, text, "Give a public address, or forward one to this machine.")
    try:
        reply = yield Request("POST", url, {"content-type": FORM}, b"", account.timeouts)
    except ChannelError as error:
        advice = "Alipay must reach it from the internet: check DNS, firewall and the proxy in front of the server."
        failed = "cannot be reached" if isinstance(error, ChannelUnavailable) else "does not answer"
        return Finding("error", code, f"The notification address {failed}, seen from this machine.", advice)
    if 300 <= reply.status < 400:
        text = f"The notification address redirects (HTTP {reply.status}); Alipay does not follow."
        return Finding("error", code, text, "Give the address that it redirects to.")
    if reply.status in (404, 502, 503, 504):
        text = f"The notification address answers HTTP {reply.status}: nobody receives there."
        return Finding("error", code, text, "Route this address to the gateway.")
    return Finding("ok", "notify_url_answers", "The notification address answers, seen from this machine.")


def _is_private(host: str) -> bool:
    """Whether a literal address (or `localhost`) lies in somebody's own network; names are not resolved."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local"))


# --- errors ----------------------------------------------------------------------------------------------------------


def finding_from_error(error: TongbaoError) -> Finding:
    """What an error met by a probe says about the account."""
    if isinstance(error, AlipayError):
        return _finding_from_answer(error)
    if isinstance(error, MessageNotTrusted):
        return Finding(
            "error",
            "alipay_public_key_wrong",
            "Alipay accepted our signature, but its answer does not verify with the configured Alipay public key.",
            "Copy Alipay's public key from the console: it stands beside the application's own public key.",
        )
    if isinstance(error, ChannelUnavailable):
        return Finding("error", "gateway_unreachable", error.message, "Check gateway_url, DNS, firewall and proxy.")
    if isinstance(error, OutcomeUnknown):
        return Finding(
            "error", "gateway_no_answer", error.message, "Check that gateway_url is Alipay's, then try again."
        )
    return Finding("error", error.code, error.message)


def _finding_from_answer(error: AlipayError) -> Finding:
    if error.signed:
        return KEYS_RIGHT
    told = _ADVICE_FROM_SUB_CODE.get(error.sub_code)
    code = error.channel_code or error.code
    if told is not None:
        return Finding("error", code, told[0], told[1])
    return Finding("error", code, error.message, error.next_step.value)
