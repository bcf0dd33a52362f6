"""`python -m bench.alipay` measures Alipay's client: building and signing, verifying, importing.

Rule: each figure stands beside what it is compared with, measured in the same run, in short turns, per second of CPU
time, and the ratio is the median of the rounds' ratios: a busy machine is busy for both. "Straight" is the same work
written by hand with `cryptography` and the standard library, a key parsed once; the other library is python-alipay-sdk.
"""

import base64
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlencode

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from bench import machine
from tongbao.channels.alipay import PRODUCTION_URL, AlipayClient
from tongbao.crypto import RsaPrivateKey

ROUNDS, CALLS = 31, 100
APP, ALIPAY = RsaPrivateKey.generate(), RsaPrivateKey.generate()
APP_ID = "2021000000000001"
NOTIFY_URL, RETURN_URL = "https://shop.example/notify/ca_1", "https://shop.example/return"
CHINA = timezone(timedelta(hours=8))
PADDING, SHA256 = padding.PKCS1v15(), hashes.SHA256()

client = AlipayClient(app_id=APP_ID, private_key=APP.pem_pkcs8(), alipay_public_key=ALIPAY.public().pem())
order: dict[str, Any] = {"out_trade_no": "T20260102030405", "total_amount": "88.88", "subject": "一斤好茶"}


# --- build and sign a page.pay address -----------------------------------------------------------------------------


def page_ours() -> str:
    return client.page_pay(**order, notify_url=NOTIFY_URL, return_url=RETURN_URL).url


def page_straight() -> str:
    params = {
        "app_id": APP_ID,
        "method": "alipay.trade.page.pay",
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": datetime.now(UTC).astimezone(CHINA).strftime("%Y-%m-%d %H:%M:%S"),
        "version": "1.0",
        "notify_url": NOTIFY_URL,
        "return_url": RETURN_URL,
        "biz_content": json.dumps(
            {**order, "product_code": "FAST_INSTANT_TRADE_PAY"}, ensure_ascii=False, separators=(",", ":")
        ),
    }
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    params["sign"] = base64.b64encode(APP.key.sign(text.encode(), PADDING, SHA256)).decode()
    return f"{PRODUCTION_URL}?{urlencode(sorted(params.items()))}"


def page_python_alipay_sdk() -> Callable[[], object]:
    from alipay import AliPay

    other = AliPay(
        appid=APP_ID,
        app_notify_url=NOTIFY_URL,
        app_private_key_string=APP.pem_pkcs1(),
        alipay_public_key_string=ALIPAY.public().pem(),
        sign_type="RSA2",
    )
    return lambda: other.api_alipay_trade_page_pay(
        subject=order["subject"],
        out_trade_no=order["out_trade_no"],
        total_amount=order["total_amount"],
        return_url=RETURN_URL,
    )


# --- verify a notification -----------------------------------------------------------------------------------------


def notification() -> bytes:
    params = {
        "app_id": APP_ID,
        "auth_app_id": APP_ID,
        "buyer_id": "2088102000000001",
        "buyer_pay_amount": "88.88",
        "charset": "utf-8",
        "fund_bill_list": '[{"amount":"88.88","fundChannel":"ALIPAYACCOUNT"}]',
        "gmt_create": "2026-01-02 03:04:05",
        "gmt_payment": "2026-01-02 03:04:09",
        "invoice_amount": "88.88",
        "notify_id": "2026010200222030409000000000000001",
        "notify_time": "2026-01-02 03:04:10",
        "notify_type": "trade_status_sync",
        "out_trade_no": order["out_trade_no"],
        "point_amount": "0.00",
        "receipt_amount": "88.88",
        "seller_id": "2088000000000001",
        "subject": order["subject"],
        "total_amount": "88.88",
        "trade_no": "2026010222001400000000000001",
        "trade_status": "TRADE_SUCCESS",
        "version": "1.0",
    }
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    params["sign"] = base64.b64encode(ALIPAY.sign(text.encode())).decode()
    params["sign_type"] = "RSA2"
    return urlencode(params).encode()


BODY = notification()
ALIPAY_PUBLIC = ALIPAY.public().key


def verify_ours() -> object:
    return client.verify_notification(BODY)


def verify_straight() -> object:
    params = dict(parse_qsl(BODY.decode(), keep_blank_values=True))
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()) if name not in ("sign", "sign_type"))
    try:
        ALIPAY_PUBLIC.verify(base64.b64decode(params["sign"]), text.encode(), PADDING, SHA256)
    except InvalidSignature:
        return None
    return params


# --- measuring -----------------------------------------------------------------------------------------------------


def in_turns(**contenders: Callable[[], object]) -> dict[str, list[float]]:
    """Calls per second of CPU time of each, round by round, taken in turns that begin with another one each round.
    The garbage collector waits meanwhile, as it does for `timeit`: one's garbage is not the next one's time."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders.items())
    gc.disable()
    for _ in range(ROUNDS):
        for name, call in order:
            started = time.process_time()
            for _ in range(CALLS):
                call()
            rates[name].append(CALLS / (time.process_time() - started))
        order.append(order.pop(0))
        gc.collect()
    gc.enable()
    return rates


def report(title: str, rates: dict[str, list[float]], bars: dict[str, float]) -> None:
    """Medians; and whether the ratio to each contender reaches its bar."""
    print(f"\n{title}")
    for name, found in rates.items():
        ratio = statistics.median(ours / this for ours, this in zip(rates["ours"], found, strict=True))
        bar = f"   bar {bars[name]:.2f}: {'reached' if ratio >= bars[name] else 'MISSED'}" if name in bars else ""
        print(f"  {name:<20} {statistics.median(found):>10,.0f}/s   ours / this: {ratio:.2f}{bar}")


def import_milliseconds(module: str) -> float:
    """What an import costs a fresh interpreter, above starting it, in CPU time: the median of nine."""
    code = f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
    found = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(9)]
    return statistics.median(found) * 1000


def main() -> None:
    print(f"machine    {machine.line()}")
    assert verify_ours() == verify_straight() is not None
    report(
        "build and sign a page.pay address (RSA2, 2048 bits)",
        in_turns(ours=page_ours, straight=page_straight, python_alipay_sdk=page_python_alipay_sdk()),
        {"straight": 0.95, "python_alipay_sdk": 4.0},
    )
    report(
        f"verify a notification ({len(BODY)} bytes, from the raw body)",
        in_turns(ours=verify_ours, straight=verify_straight),
        {"straight": 0.8},
    )
    print(f"\nimport tongbao.channels.alipay   {import_milliseconds('tongbao.channels.alipay'):.0f} ms   bar 200 ms")


if __name__ == "__main__":
    main()
