"""How many signed answers a second the simulators of Alipay and WeChat Pay give, on one core: the whole exchange behind
their doors (read, verify the caller's signature, act, write down, sign), with the journal on disk; per second of CPU
time, behind the door without a socket, and over HTTP as it is served.

The requests are signed beforehand. The bar is 1,500/s; the ceiling printed beside it is what one verification and one
signature alone allow. Run: `python -m bench.simulators [count]`.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tongbao.crypto import RsaPrivateKey
from tongbao.simulators.app import Sandbox, build_sandbox
from tongbao.simulators.bank import chance_from
from tongbao.transport import AiohttpTransport, AsgiTransport, RawRequest, Request

BAR_PER_SECOND = 1500
CALLERS = 16
FORM = {"content-type": "application/x-www-form-urlencoded;charset=utf-8", "host": "sandbox"}


def requests(account: Any, method: str, bodies: list[dict[str, str]]) -> list[RawRequest]:
    """Signed requests, ready to send."""
    key = RsaPrivateKey.load(account["app_private_key_pkcs8_pem"])
    made = []
    for biz in bodies:
        params = {"app_id": account["app_id"], "method": method, "charset": "utf-8", "sign_type": "RSA2"}
        params |= {"timestamp": "2026-05-01 20:00:00", "version": "1.0", "biz_content": json.dumps(biz)}
        text = "&".join(f"{name}={params[name]}" for name in sorted(params))
        sign = base64.b64encode(key.sign(text.encode())).decode()
        body = urlencode({**params, "sign": sign}).encode()
        made.append(RawRequest("POST", "/alipay/gateway.do", "charset=utf-8", FORM, body))
    return made


def v3_requests(account: Any, calls: list[tuple[str, str, object]]) -> list[RawRequest]:
    """Signed APIv3 requests (method, target, body), ready to send."""
    key, made = RsaPrivateKey.load(account["merchant_private_key"]), []
    stamp = str(int(time.time()))
    for number, (method, target, value) in enumerate(calls):
        body = b"" if value is None else json.dumps(value).encode()
        text = f"{method}\n{target}\n{stamp}\n{number}\n".encode() + body + b"\n"
        parts = {"mchid": account["mchid"], "nonce_str": str(number), "timestamp": stamp}
        parts |= {"serial_no": account["merchant_serial"], "signature": base64.b64encode(key.sign(text)).decode()}
        joined = ",".join(f'{name}="{part}"' for name, part in parts.items())
        headers = {"authorization": f"WECHATPAY2-SHA256-RSA2048 {joined}", "accept": "application/json"}
        headers |= {"content-type": "application/json", "user-agent": "bench", "host": "sandbox"}
        path, _, query = target.partition("?")
        made.append(RawRequest(method, path, query, headers, body))
    return made


def check(body: bytes) -> None:
    """Only signed successes count."""
    if b'"sign":"' not in body or b'"code":"10000"' not in body:
        raise RuntimeError(body.decode())


def rate(count: int, work: Callable[[int], object]) -> float:
    """Calls per second of CPU time of this process."""
    started = time.process_time()
    for number in range(count):
        work(number)
    return count / (time.process_time() - started)


def ceiling(count: int) -> float:
    """One verification and one signature, and nothing else."""
    key = RsaPrivateKey.generate()
    public, text = key.public(), b"x" * 400
    signature = key.sign(text)
    return rate(count, lambda _: (public.verify(signature, text), key.sign(text)))


def answer_rate(sandbox: Sandbox, made: list[RawRequest]) -> float:
    """Answers per second, each in the journal before it counts."""

    def work(number: int) -> None:
        answer = sandbox.alipay.gateway.answer(made[number])
        sandbox.bank.flush()
        check(answer.body)

    return rate(len(made), work)


def v3_answer_rate(sandbox: Sandbox, made: list[RawRequest]) -> float:
    """The same behind WeChat's door."""

    def work(number: int) -> None:
        answer = sandbox.wechatpay.gateway.answer(made[number])
        sandbox.bank.flush()
        if answer.status != 200 or "Wechatpay-Signature" not in answer.headers:
            raise RuntimeError(answer.body.decode())

    return rate(len(made), work)


def served_rate(count: int, folder: Path, over_http: Callable[[str, int, int], Awaitable[float]]) -> float:
    """Answers per second of the server process's CPU time, over HTTP, as `tongbao sandbox` serves it."""
    command = [sys.executable, "-c", "from tongbao.cli.sandbox import app; app()", "--port", "0", "--data-dir"]
    process = subprocess.Popen([*command, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[1]
        return asyncio.run(_run(over_http(url, count, process.pid)))
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


async def _run(work: Awaitable[float]) -> float:
    return await work


async def _over_http(url: str, count: int, pid: int) -> float:
    async with AiohttpTransport() as transport:
        accounts: Any = json.loads((await transport.send(Request("GET", f"{url}/_sandbox/accounts"))).body)
        orders = [{"out_trade_no": f"H{number}", "total_amount": "0.01", "subject": "tea"} for number in range(count)]
        made = iter(requests(accounts["alipay"], "alipay.trade.precreate", orders))
        before = cpu_seconds(pid)

        async def caller() -> None:
            for raw in made:
                where = f"{url}{raw.path}?{raw.query}"
                check(
                    (
                        await transport.send(
                            Request(raw.method, where, {"content-type": FORM["content-type"]}, raw.body)
                        )
                    ).body
                )

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return count / (cpu_seconds(pid) - before)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(count: int, folder: Path) -> dict[str, float]:
    """Rates by method."""
    sandbox = build_sandbox(
        now=lambda: datetime.now(UTC),
        chance=chance_from(os.urandom),
        transport=AsgiTransport({}),
        data_dir=folder,
    )
    accounts: Any = sandbox.accounts("http://sandbox")
    orders = [{"out_trade_no": f"B{number}", "total_amount": "0.01", "subject": "tea"} for number in range(count)]
    found = {"precreate": answer_rate(sandbox, requests(accounts["alipay"], "alipay.trade.precreate", orders))}
    for order in list(sandbox.alipay.book.orders.values()):
        sandbox.alipay.pay(order.token, sandbox.buyer())
    asked = [{"out_trade_no": order["out_trade_no"]} for order in orders]
    found["query"] = answer_rate(sandbox, requests(accounts["alipay"], "alipay.trade.query", asked))
    back = [{**one, "refund_amount": "0.01"} for one in asked]
    found["refund"] = answer_rate(sandbox, requests(accounts["alipay"], "alipay.trade.refund", back))
    sandbox.close()
    return found


def v3_measured(count: int, folder: Path) -> dict[str, float]:
    """Rates of WeChat Pay by call."""
    sandbox = build_sandbox(
        now=lambda: datetime.now(UTC), chance=chance_from(os.urandom), transport=AsgiTransport({}), data_dir=folder
    )
    accounts: Any = sandbox.accounts("http://sandbox")
    account = accounts["wechatpay"]
    names = {"appid": account["appid"], "mchid": account["mchid"], "notify_url": "http://shop.test/n"}
    sandbox.wechatpay.gateway.limits.rates["/v3/refund/domestic/refunds"] = 0
    numbers = [f"BENCH{number:06}" for number in range(count)]
    orders = [{**names, "description": "tea", "out_trade_no": one, "amount": {"total": 100}} for one in numbers]
    native = v3_requests(account, [("POST", "/v3/pay/transactions/native", one) for one in orders])
    found = {"native": v3_answer_rate(sandbox, native)}
    for order in list(sandbox.wechatpay.book.orders.values()):
        sandbox.wechatpay.pay(order.token, sandbox.buyer())
    asked = f"/v3/pay/transactions/out-trade-no/{{}}?mchid={account['mchid']}"
    query = v3_requests(account, [("GET", asked.format(one), None) for one in numbers])
    found["query"] = v3_answer_rate(sandbox, query)
    amount = {"refund": 1, "total": 100, "currency": "CNY"}
    back = [{"out_trade_no": one, "out_refund_no": one, "amount": amount} for one in numbers]
    refund = v3_requests(account, [("POST", "/v3/refund/domestic/refunds", one) for one in back])
    found["refund"] = v3_answer_rate(sandbox, refund)
    sandbox.close()
    return found


async def _v3_over_http(url: str, count: int, pid: int) -> float:
    async with AiohttpTransport() as transport:
        accounts: Any = json.loads((await transport.send(Request("GET", f"{url}/_sandbox/accounts"))).body)
        account = accounts["wechatpay"]
        names = {"appid": account["appid"], "mchid": account["mchid"], "notify_url": "http://127.0.0.1:9/n"}
        orders = [
            {**names, "description": "tea", "out_trade_no": f"HTTP{number:08}", "amount": {"total": 100}}
            for number in range(count)
        ]
        made = iter(v3_requests(account, [("POST", "/v3/pay/transactions/native", one) for one in orders]))
        before = cpu_seconds(pid)

        async def caller() -> None:
            for raw in made:
                headers = {name: value for name, value in raw.headers.items() if name != "host"}
                reply = await transport.send(Request(raw.method, f"{url}{raw.path}", headers, raw.body))
                if reply.status != 200 or "wechatpay-signature" not in reply.headers:
                    raise RuntimeError(reply.body.decode())

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return count / (cpu_seconds(pid) - before)


def main(count: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = {f"alipay {name}": per_second for name, per_second in measured(count, Path(folder) / "door").items()}
        found["alipay over HTTP"] = served_rate(count, Path(folder) / "served", _over_http)
        v3 = v3_measured(count, Path(folder) / "v3")
        found |= {f"wechatpay {name}": per_second for name, per_second in v3.items()}
        found["wechatpay over HTTP"] = served_rate(count, Path(folder) / "v3_served", _v3_over_http)
    top = ceiling(min(count, 2000))
    print(f"ceiling (verify + sign alone)  {top:8,.0f}/s")
    for method, per_second in found.items():
        print(f"simulator {method:20}  {per_second:8,.0f}/s  {per_second / top:.0%} of the ceiling")
    slowest = min(found.values())
    print(f"bar {BAR_PER_SECOND:,}/s: {'reached' if slowest >= BAR_PER_SECOND else 'MISSED'}")
    return 0 if slowest >= BAR_PER_SECOND else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000))
