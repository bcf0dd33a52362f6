"""`python -m bench.wechatpay` measures WeChat Pay's client: the Authorization header, a notification, importing.

Rule: each figure stands beside what it is compared with, measured in the same run, in turns, so that a noisy machine is
noisy for both. "Straight" is the same work written by hand with `cryptography` and the standard library, a key parsed
once. What counts is the median of the ratios of neighbouring turns.
"""

import base64
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench import machine
from tongbao.channels.wechatpay import WechatPayClient
from tongbao.channels.wechatpay.requests import signed_request
from tongbao.channels.wechatpay.signing import authorization
from tongbao.crypto import RsaPrivateKey

ROUNDS, SIGNATURES, NOTIFICATIONS = 31, 60, 600
MERCHANT, WECHAT = RsaPrivateKey.generate(), RsaPrivateKey.generate()
MCHID, SERIAL, APIV3_KEY = "1900000109", "5157F09EFDC096DE15EBE81A47057A7232F1B8E1", "0123456789abcdef0123456789ABCDEF"
PUBLIC_KEY_ID = "PUB_KEY_ID_0000000000000024101100397200000006"
PADDING, SHA256 = padding.PKCS1v15(), hashes.SHA256()
TARGET = "/v3/pay/transactions/native"

client = WechatPayClient(
    mchid=MCHID,
    appid="wx0000000000000001",
    merchant_private_key=MERCHANT.pem_pkcs8(),
    merchant_serial=SERIAL,
    apiv3_key=APIV3_KEY,
    public_key_id=PUBLIC_KEY_ID,
    public_key=WECHAT.public().pem(),
)
ORDER = {
    "appid": "wx0000000000000001",
    "mchid": MCHID,
    "description": "一斤好茶",
    "out_trade_no": "01J0000000000000000000ATT1",
    "notify_url": "https://shop.example/notify/ca_1",
    "amount": {"total": 8888, "currency": "CNY"},
}
BODY = json.dumps(ORDER, ensure_ascii=False, separators=(",", ":")).encode()


# --- the Authorization header --------------------------------------------------------------------------------------


def header_ours() -> object:
    timestamp, nonce = str(int(time.time())), os.urandom(16).hex()
    account = client.account
    return authorization(
        account.private_key, account.scheme, account.mchid, account.serial, "POST", TARGET, timestamp, nonce, BODY
    )


def header_straight() -> object:
    timestamp, nonce = str(int(time.time())), os.urandom(16).hex()
    text = f"POST\n{TARGET}\n{timestamp}\n{nonce}\n".encode() + BODY + b"\n"
    signature = base64.b64encode(MERCHANT.key.sign(text, PADDING, SHA256)).decode()
    return (
        f'WECHATPAY2-SHA256-RSA2048 mchid="{MCHID}",nonce_str="{nonce}",timestamp="{timestamp}",'
        f'serial_no="{SERIAL}",signature="{signature}"'
    )


def request_ours() -> object:
    """The whole request: the body checked and serialised, every header."""
    return signed_request(client.account, "POST", TARGET, ORDER)


# --- a notification ------------------------------------------------------------------------------------------------


def notification() -> tuple[dict[str, str], bytes]:
    content = {
        "amount": {"currency": "CNY", "payer_currency": "CNY", "payer_total": 8888, "total": 8888},
        "appid": "wx0000000000000001",
        "attach": "",
        "bank_type": "OTHERS",
        "mchid": MCHID,
        "out_trade_no": "01J0000000000000000000ATT1",
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        "promotion_detail": [],
        "success_time": "2026-01-02T10:00:05+08:00",
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "trade_type": "NATIVE",
        "transaction_id": "4200001234202601021234567890",
    }
    plain = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    cipher = AESGCM(APIV3_KEY.encode()).encrypt(b"abcdefghijkl", plain, b"transaction")
    envelope = {
        "id": "0f0e0d0c-0b0a-5908-8706-050403020100",
        "create_time": "2026-01-02T10:00:05+08:00",
        "resource_type": "encrypt-resource",
        "event_type": "TRANSACTION.SUCCESS",
        "summary": "支付成功",
        "resource": {
            "original_type": "transaction",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(cipher).decode(),
            "associated_data": "transaction",
            "nonce": "abcdefghijkl",
        },
    }
    body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    timestamp = str(int(time.time()))
    headers = {
        "host": "shop.example",
        "user-agent": "Mozilla/4.0",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "request-id": "08F7",
        "wechatpay-timestamp": timestamp,
        "wechatpay-nonce": "n" * 32,
        "wechatpay-serial": PUBLIC_KEY_ID,
        "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048",
        "wechatpay-signature": base64.b64encode(
            WECHAT.sign(f"{timestamp}\n{'n' * 32}\n".encode() + body + b"\n")
        ).decode(),
    }
    return headers, body


HEADERS, RAW = notification()
WECHAT_PUBLIC = WECHAT.public().key


def verify_ours() -> object:
    return client.verify_notification(HEADERS, RAW).resource


def verify_straight() -> object:
    text = f"{HEADERS['wechatpay-timestamp']}\n{HEADERS['wechatpay-nonce']}\n".encode() + RAW + b"\n"
    assert abs(time.time() - int(HEADERS["wechatpay-timestamp"])) < 300
    WECHAT_PUBLIC.verify(base64.b64decode(HEADERS["wechatpay-signature"]), text, PADDING, SHA256)
    sealed = json.loads(RAW)["resource"]
    plain = AESGCM(APIV3_KEY.encode()).decrypt(
        sealed["nonce"].encode(), base64.b64decode(sealed["ciphertext"]), sealed["associated_data"].encode()
    )
    return json.loads(plain)


# --- measuring -----------------------------------------------------------------------------------------------------


def in_turns(calls: int, contenders: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Calls per second of each, in `ROUNDS` rounds, taken in turns."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(ROUNDS):
        turn = list(contenders.items())
        for name, call in turn if number % 2 else turn[::-1]:
            started = time.perf_counter()
            for _ in range(calls):
                call()
            rates[name].append(calls / (time.perf_counter() - started))
    return rates


def report(title: str, rates: Mapping[str, list[float]]) -> None:
    print(f"\n{title}")
    for name, found in rates.items():
        ratios = [ours / this for ours, this in zip(rates["ours"], found, strict=True)]
        print(
            f"  {name:<14} {statistics.median(found):>8,.0f}/s   best {max(found):>8,.0f}/s   "
            f"ours / this: {statistics.median(ratios):.3f}"
        )


def import_milliseconds(module: str) -> float:
    """What an import costs a fresh interpreter, above starting it: the median of nine."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    found = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(9)]
    return statistics.median(found) * 1000


def main() -> None:
    print(f"machine    {machine.line()}")
    assert verify_ours() == verify_straight()
    report(
        "Authorization header of a create (RSA, 2048 bits)",
        in_turns(
            SIGNATURES,
            {"ours": header_ours, "straight": header_straight, "whole request": request_ours},
        ),
    )
    report(
        f"notification ({len(RAW)} bytes): window, verify, decrypt, parse",
        in_turns(NOTIFICATIONS, {"ours": verify_ours, "straight": verify_straight}),
    )
    print(f"\nimport tongbao.channels.wechatpay   {import_milliseconds('tongbao.channels.wechatpay'):.0f} ms")


if __name__ == "__main__":
    main()
