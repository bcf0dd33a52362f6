"""The measured request: `POST /v1/payments` without a method, with an order_no and an idempotency key of its own."""

import json

from bench.generator import NUMBER, Job


def create_payment(
    port: int, api_key: str, *, connections: int, seconds: float, rate_max: int, first_number: int = 0
) -> Job:
    """A job of at most `rate_max * seconds` payments, numbered from `first_number`."""
    number = NUMBER.decode()
    body = {"order_no": f"BENCH_{number}", "amount": 9999, "currency": "CNY", "subject": "Go课程购买"}
    headers = {
        "Authorization": f"Bearer {api_key}",
        "Content-Type": "application/json",
        "Idempotency-Key": f"bench-{number}",
    }
    return Job(
        host="127.0.0.1",
        port=port,
        method="POST",
        path="/v1/payments",
        headers=headers,
        body=json.dumps(body, ensure_ascii=False),
        connections=connections,
        seconds=seconds,
        requests_max=int(rate_max * seconds),
        first_number=first_number,
    )
