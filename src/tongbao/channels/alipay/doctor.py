"""What is wrong with an Alipay account, and what to do about it: from an error to a finding. Pure.

Rule: a finding names one cause and one next step. Source: the gateway's error codes, and the fact that a signed
'no such trade' proves both key pairs right.
"""

from tongbao.channels.alipay.errors import AlipayError
from tongbao.domain.errors import ChannelUnavailable, MessageNotTrusted, OutcomeUnknown, TongbaoError
from tongbao.ports import Finding

PROBE_NUMBER = "TONGBAO_CHECK_NO_SUCH_TRADE"
"""A trade that nobody makes."""

KEYS_RIGHT = Finding("ok", "keys_right", "Alipay accepted our signature, and its answer is signed with its key.")

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
