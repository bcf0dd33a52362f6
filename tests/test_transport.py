"""The real transports against a server that misbehaves: what was certainly not sent, what perhaps was, how long.

Every case runs on both transports; the limits are fractions of a second so that the whole file is quick.
"""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tongbao.domain.errors import ChannelUnavailable, OutcomeUnknown
from tongbao.ports import Reply, Request, Timeouts
from tongbao.transport import AiohttpTransport, AsgiTransport, HttpcoreTransport

LIMITS = Timeouts(connect_seconds=0.2, headers_seconds=0.2, total_seconds=0.6)
Send = Callable[[Request], Reply]
Behaviour = Callable[[socket.socket, threading.Event], None]


def send_async(request: Request) -> Reply:
    async def once() -> Reply:
        async with AiohttpTransport(body_bytes_max=1000) as transport:
            return await transport.send(request)

    return asyncio.run(once())


def send_blocking(request: Request) -> Reply:
    with HttpcoreTransport(body_bytes_max=1000) as transport:
        return transport.send(request)


@pytest.fixture(params=[send_async, send_blocking], ids=["aiohttp", "httpcore"])
def send(request: pytest.FixtureRequest) -> Send:
    chosen: Send = request.param
    return chosen


@pytest.fixture
def serve() -> Iterator[Callable[[Behaviour], str]]:
    """Starts a server that treats every connection as told; answers with its address."""
    stop = threading.Event()
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(behaviour: Behaviour) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    try:
                        behaviour(connection, stop)
                    except OSError:
                        continue

        threads.append(threading.Thread(target=accept, daemon=True))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/gateway.do?a=1"

    yield start
    stop.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(3)


def post(url: str) -> Request:
    return Request("POST", url, {"content-type": "text/plain"}, b"body", LIMITS)


def read_request(connection: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"\r\n\r\nbody"):
        more = connection.recv(65536)
        if not more:
            return got
        got += more
    return got


def answers(text: bytes) -> Behaviour:
    def behave(connection: socket.socket, stop: threading.Event) -> None:
        read_request(connection)
        connection.sendall(text)

    return behave


def resets(connection: socket.socket, stop: threading.Event) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def says_nothing(connection: socket.socket, stop: threading.Event) -> None:
    read_request(connection)
    stop.wait(2)


def drips(before: bytes) -> Behaviour:
    """Sends `before` at once and then one byte every 50 ms, for ever."""

    def behave(connection: socket.socket, stop: threading.Event) -> None:
        read_request(connection)
        connection.sendall(before)
        while not stop.wait(0.05):
            connection.sendall(b"x")

    return behave


def test_an_answer(send: Send, serve: Callable[[Behaviour], str]) -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket, stop: threading.Event) -> None:
        seen.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nTrace_Id: t1\r\nContent-Length: 5\r\n\r\nhello")

    reply = send(post(serve(behave)))
    assert (reply.status, reply.headers["trace_id"], reply.body) == (200, "t1", b"hello")
    assert seen[0].startswith(b"POST /gateway.do?a=1 HTTP/1.1\r\n")
    assert b"\r\ncontent-length: 4\r\n" in seen[0].lower()


def test_a_redirect_is_an_answer(send: Send, serve: Callable[[Behaviour], str]) -> None:
    url = serve(answers(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"))
    assert send(post(url)).status == 302


def test_the_environments_proxy_is_not_used(
    send: Send, serve: Callable[[Behaviour], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    url = serve(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
    assert send(post(url)).status == 200


# --- certainly not sent ------------------------------------------------------------------------------------------


def test_refused(send: Send) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ChannelUnavailable, match="nothing was sent"):
        send(post(f"http://127.0.0.1:{port}/"))


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/", "ftp://127.0.0.1/", "http://[::1/", "http:///"])
def test_no_such_address(send: Send, url: str) -> None:
    with pytest.raises(ChannelUnavailable):
        send(post(url))


def test_nobody_takes_the_connection(send: Send) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        started = time.monotonic()
        with pytest.raises(ChannelUnavailable):
            send(post(f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        assert time.monotonic() - started < 0.6
        for one in waiting:
            one.close()


# --- perhaps executed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(resets, id="reset after send"),
        pytest.param(answers(b""), id="closed without an answer"),
        pytest.param(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhalf"), id="body cut off"),
        pytest.param(answers(b"HTTP/1.1 200 OK\r\nContent-"), id="headers cut off"),
        pytest.param(answers(b"\x00\x01\x02 rubbish\r\n\r\n"), id="not HTTP"),
        pytest.param(
            answers(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000), id="larger than the limit"
        ),
    ],
)
def test_after_the_request_was_sent(send: Send, serve: Callable[[Behaviour], str], behaviour: Behaviour) -> None:
    with pytest.raises(OutcomeUnknown, match="may have been executed"):
        send(post(serve(behaviour)))


@pytest.mark.parametrize(
    ("behaviour", "limit"),
    [
        pytest.param(says_nothing, 0.4, id="no answer"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nX: "), 0.4, id="headers byte by byte"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n"), 0.6, id="body byte by byte"),
    ],
)
def test_time_is_bounded(send: Send, serve: Callable[[Behaviour], str], behaviour: Behaviour, limit: float) -> None:
    url = serve(behaviour)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        send(post(url))
    assert limit - 0.25 <= time.monotonic() - started < limit + 0.5


# --- connections -------------------------------------------------------------------------------------------------


def keeps_open(connections: list[int]) -> Behaviour:
    def behave(connection: socket.socket, stop: threading.Event) -> None:
        connections.append(1)
        while read_request(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return behave


def test_the_blocking_transport_reuses_its_connection(serve: Callable[[Behaviour], str]) -> None:
    connections: list[int] = []
    url = serve(keeps_open(connections))
    with HttpcoreTransport() as transport:
        assert [transport.send(post(url)).body for _ in range(3)] == [b"ok"] * 3
    assert len(connections) == 1


async def test_the_asynchronous_transport_reuses_its_connection(serve: Callable[[Behaviour], str]) -> None:
    connections: list[int] = []
    url = serve(keeps_open(connections))
    async with AiohttpTransport() as transport:
        assert [(await transport.send(post(url))).body for _ in range(3)] == [b"ok"] * 3
    assert len(connections) == 1


async def test_an_unknown_host_in_process() -> None:
    with pytest.raises(ChannelUnavailable):
        await AsgiTransport({}).send(post("http://nobody.test/"))


def test_secrets_in_an_address_are_not_repeated(send: Send) -> None:
    with pytest.raises(ChannelUnavailable) as refused:
        send(post("http://user:hunter2@no-such-host.invalid/?sign=s3cret"))
    assert "hunter2" not in refused.value.message
    assert "s3cret" not in refused.value.message
