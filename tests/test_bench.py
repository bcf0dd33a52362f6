"""The load generator counts what there is: a benchmark is only as good as its judge."""

import asyncio
import json

import pytest
from bench.ceiling import checked
from bench.generator import build, end_of_answer, percentiles, run
from bench.payload import create_payment
from bench.targets import ANSWER


def test_each_request_has_its_own_numbers_and_the_right_length() -> None:
    requests = build(create_payment(1, "sk_test_x", connections=1, seconds=1, rate_max=50, first_number=7))
    assert len(set(requests)) == len(requests) == 50
    for number, request in enumerate(requests, 7):
        head, _, body = request.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert f"Idempotency-Key: bench-{number:012}".encode() in head
        assert json.loads(body)["order_no"] == f"BENCH_{number:012}"


def test_the_end_of_an_answer_is_found_wherever_it_is_cut() -> None:
    complete = [end_of_answer(ANSWER[:cut]) for cut in range(len(ANSWER) + 1)]
    head_length = ANSWER.index(b"\r\n\r\n") + 4
    assert set(complete[:head_length]) == {0}
    assert set(complete[head_length:]) == {len(ANSWER)}
    with pytest.raises(ValueError, match="without Content-Length"):
        end_of_answer(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")


def test_percentiles() -> None:
    assert percentiles([i / 1000 for i in range(1001)]) == {"p50": 500, "p95": 950, "p99": 990, "max": 1000}


@pytest.mark.parametrize("pieces", [1, 3])
async def test_it_counts_what_the_server_answered(pieces: int) -> None:
    seen = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        while head := await reader.read(65536):
            assert head.startswith(b"POST /v1/payments HTTP/1.1\r\n")
            seen += 1
            for at in range(pieces):
                writer.write(ANSWER[len(ANSWER) * at // pieces : len(ANSWER) * (at + 1) // pieces])
                await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await run(create_payment(port, "sk_test_x", connections=4, seconds=0.2, rate_max=100_000))
    server.close()
    await server.wait_closed()
    assert outcome.answers == seen > 4
    assert checked(outcome).statuses == {"201": seen}


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", b""])
async def test_a_refusal_or_a_broken_connection_makes_no_figure(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await run(create_payment(port, "sk_test_x", connections=1, seconds=0.2, rate_max=100))
    server.close()
    await server.wait_closed()
    with pytest.raises(RuntimeError, match="not every answer was a 201"):
        checked(outcome)
