"""Answers over real sockets: in one write where they can be, in order, and whole when the connection ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import create_server
from typing import Any

import uvicorn

from tongbao.cli.one_write import Gathered, OneWriteProtocol

BIG = b"x" * 3_000_000


class Recorder:
    """A transport that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.closing = False

    def writelines(self, data: list[bytes]) -> None:
        self.told.append(("write", b"".join(data)))

    def close(self) -> None:
        self.told.append(("close", b""))

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str) -> str:
        return name


async def test_what_one_turn_writes_leaves_in_one_write() -> None:
    transport: Any = Recorder()
    gathered = Gathered(transport, asyncio.get_running_loop())
    gathered.write(b"head ")
    gathered.write(b"body")
    assert transport.told == []
    await asyncio.sleep(0)
    gathered.write(b"more")
    gathered.close()
    assert transport.told == [("write", b"head body"), ("write", b"more"), ("close", b"")]
    assert gathered.get_extra_info("peername") == "peername"


async def test_nothing_is_written_to_who_has_gone() -> None:
    transport: Any = Recorder()
    gathered = Gathered(transport, asyncio.get_running_loop())
    gathered.write(b"late")
    transport.closing = True
    await asyncio.sleep(0)
    assert transport.told == []


async def application(scope: Any, receive: Any, send: Any) -> None:
    """`/big` in one piece, anything else as a stream of its path's letters."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/big":
        await send({"type": "http.response.body", "body": BIG})
        return
    for letter in scope["path"].encode():
        await send({"type": "http.response.body", "body": bytes([letter]), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    listening = create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, http=OneWriteProtocol, ws="none", lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    yield listening.getsockname()[1]
    server.should_exit = True
    await task


async def test_pipelined_streamed_and_large_answers_come_whole_and_in_order() -> None:
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        writer.write(request % b"abc" + request % b"big" + last)
        raw = await reader.read()
        writer.close()
    answers = raw.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert len(answers) == 3
    assert answers[0].endswith(b"1\r\n/\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n")
    assert BIG in answers[1]
    assert answers[2].endswith(b"1\r\nd\r\n0\r\n\r\n")
