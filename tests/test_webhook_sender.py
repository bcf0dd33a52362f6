"""The webhook sender against real local servers, and against addresses that it must never connect to.

The judge of the second kind is Python's own audit event `socket.connect`: it sees every connect of the process, by
whatever library. Everything that is not loopback is stopped there, so that a failing test touches no network either.
"""

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from typing import ClassVar

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tongbao.domain.address_guard import REFUSED_NETWORKS, is_refused, networks_from, vet_url
from tongbao.domain.errors import InvalidInput
from tongbao.domain.webhook import Verdict, WebhookError, WebhookResult, decide
from tongbao.webhook_sender import BODY_BYTES_MAX, Lookups, Resolver, WebhookSender, read_retry_after

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PUBLIC = "93.184.215.14"
PUBLIC_6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
LOOPBACK = ["127.0.0.0/8"]

# --- the hook ----------------------------------------------------------------------------------------------------


class Wire:
    """Every connect of the process while `watching`; those that leave the machine are recorded and stopped."""

    watching = False
    connects: ClassVar[list[str]] = []


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not Wire.watching or event != "socket.connect" or not isinstance(args[1], tuple):
        return
    address = str(args[1][0])
    Wire.connects.append(address)
    if not ip_address(address).is_loopback:
        raise ConnectionRefusedError(f"the test stops the connect to {address}")


sys.addaudithook(_hook)


@pytest.fixture
def connects() -> Iterator[list[str]]:
    """The addresses that were connected to."""
    Wire.connects, Wire.watching = [], True
    yield Wire.connects
    Wire.watching = False


def resolver_of(*answers: list[str]) -> Resolver:
    """Answers each question with the next list; the last one stays."""
    left = list(answers)

    async def resolver(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolver


async def send(sender: WebhookSender, url: str, *, livemode: bool = False) -> WebhookResult:
    return await sender.send(url, {"webhook-id": "evt_1"}, b'{"type":"x"}', livemode=livemode, now=NOW)


# --- the corpus, T-33 --------------------------------------------------------------------------------------------


def words(*lines: str) -> list[str]:
    return [word for line in lines for word in line.split(" ") if word]


INSIDE_V4 = words(
    "0.0.0.0 0.255.255.255 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.1.2.3",
    "127.255.255.254 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192",
    "192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.9 224.0.0.1",
    "239.255.255.250 240.0.0.1 255.255.255.255",
)
INSIDE_V6 = words(
    ":: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:a9fe:a9fe ::ffff:8.8.8.8 ::ffff:0:0 64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1:: 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 3fff::1",
    "5f00::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 ::127.0.0.1 0:0:0:0:0:0:0:1",
    "0:0:0:0:0:ffff:127.0.0.1",
)
DISGUISED = words(
    "2130706433 017700000001 0x7f000001 0x7f.1 127.1 127.0.1 0177.0.0.1 0x7f.0.0.1 0177.0x0.0.1 127.0.0.01",
    "127.000.000.001 0 1 00000 0x0 3232235521 0xC0A80001 030052000001 2852039166 0xA9FEA9FE 0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376 169.254.43518 169.16689662 10.1 012.1 0xa.1 1.1.1.0x7f 8.8.8.0010 127.0.0.1. 127.1. 0x7f.1.",
    "4294967295 4294967296 99999999999 256.256.256.256 127.0.0.1.0 1.2.3.4.5 1.2.3.256 0x 1.0x",
)
UNICODE = words(
    "１２７.０.０.１ １２７。０。０。１ 127．0．0．1 127｡0｡0｡1 ①②⑦.⓪.⓪.① 𝟏𝟐𝟕.𝟎.𝟎.𝟏 𝟙𝟚𝟟.𝟘.𝟘.𝟙",
    "⑩.①.①.① １０.0.0.1 ０ｘ７ｆ.1",
    "169。254。169。254 １６９.２５４.１６９.２５４ ¹²⁷.0.0.1 ₁₂₇.0.0.1 127\u200b.0.0.1 127.0.0.1\u200d",
    "ⅷ.⑧.⑧.⑧ faß.de σς.gr",
)
INSIDE_NAMES = words(
    "localhost LOCALHOST localhost. localhost.localdomain ip6-localhost metadata metadata.google.internal",
    "instance-data postgres redis.default.svc.cluster.local 127.0.0.1.nip.example spoofed.burp.example ⓛocalhost",
    "ｌｏｃａｌｈｏｓｔ lоcalhost.example",
)
WHOLE = [
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1@example.com/",
    "https://user:pass@example.com/",
    "https://@example.com/",
    "https://:@127.0.0.1/",
    "https://example.com:443@127.0.0.1:443/",
    "https://example.com%40127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https:\\\\127.0.0.1\\",
    "https://127.0.0.1\\.example.com/",
    "https://127.0.0.1\t/",
    "https://127.0.0.1\n.example.com/",
    "https://exam\rple.com/",
    " https://127.0.0.1/",
    "https://127.0.0.1 .example.com/",
    "https://example.com\x00.evil/",
    "https://127%2e0%2e0%2e1/",
    "https://%31%32%37.0.0.1/",
    "https://%6cocalhost/",
    "https://[::1",
    "https://::1]/",
    "https://[127.0.0.1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[::1].example.com/",
    "https://[v1.fe80::1]/",
    "https://[::ffff:0x7f.1]/",
    "https://[0:0:0:0:0:0:0:0:1]/",
    "https://[]/",
    "https:///127.0.0.1/",
    "https:127.0.0.1/",
    "//127.0.0.1/",
    "127.0.0.1",
    "",
    "https://",
    "https://.",
    "https://../",
    "https://a..b/",
    "https://-a.example/",
    "https://a_b-.example/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:99999999/",
    "https://example.com:-1/",
    "https://example.com:4４3/",
    "https://example.com:0x50/",
    "https://example.com:80:443/",
    "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 127 + "example/",
    "https://example.com/" + "a" * 2048,
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:11211/stat",
    "unix:///var/run/docker.sock",
    "data:text/plain,x",
    "javascript:alert(1)",
    "ws://127.0.0.1/",
    "https+unix://x/",
    "HTTPS://127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1?@example.com/",
    "https://127.0.0.1;example.com/",
    "https://127.0.0.1,example.com/",
    "https://1.1.1.1&@127.0.0.1/",
    "https://example.com℀127.0.0.1/",
    "https://℡.127.0.0.1/",
]
CORPUS = [
    *WHOLE,
    *(f"https://{host}/hook" for host in INSIDE_V4),
    *(f"https://{host}:8443/" for host in INSIDE_V4),
    *(f"https://[{host}]/hook" for host in INSIDE_V6),
    *(f"https://{host}/hook" for host in DISGUISED),
    *(f"https://{host}/" for host in UNICODE),
    *(f"https://{host}/" for host in INSIDE_NAMES),
]


@pytest.mark.parametrize("livemode", [True, False])
async def test_no_url_of_the_corpus_leads_to_a_connect(connects: list[str], livemode: bool) -> None:
    assert len(CORPUS) >= 150
    async with WebhookSender(resolver=resolver_of(["127.0.0.1"])) as sender:
        results = {url: await send(sender, url, livemode=livemode) for url in CORPUS}
    assert connects == []
    assert {url for url, result in results.items() if result.error is None or result.status is not None} == set()
    errors = {result.error for result in results.values()}
    assert errors <= {WebhookError.INVALID_URL, WebhookError.REFUSED_ADDRESS, WebhookError.REFUSED_SCHEME}


@pytest.mark.parametrize("answer", [*INSIDE_V4, *INSIDE_V6, "fe80::1%eth0", "localhost", "", "127.1", "0x7f.1"])
async def test_one_inside_answer_refuses_the_host(connects: list[str], answer: str) -> None:
    for answers in ([answer], [PUBLIC, answer], [answer, PUBLIC, PUBLIC_6]):
        async with WebhookSender(resolver=resolver_of(answers)) as sender:
            result = await send(sender, "https://shop.example/hook", livemode=True)
        assert (result.status, result.error) == (None, WebhookError.REFUSED_ADDRESS)
    assert connects == []


async def test_rebinding_finds_no_second_question(connects: list[str]) -> None:
    """Public on the first answer, private on the second: the one answer that was judged is the one connected to."""
    questions: list[tuple[str, int]] = []
    answers = [["127.0.0.1"], [PUBLIC]]

    async def rebinding(host: str, port: int) -> list[str]:
        questions.append((host, port))
        return answers.pop()

    async with WebhookSender(resolver=rebinding) as sender:
        first = await send(sender, "https://rebind.example/hook", livemode=True)
        assert (first.error, connects) == (WebhookError.CONNECT_FAILED, [PUBLIC])
        second = await send(sender, "https://rebind.example/hook", livemode=True)
    assert second.error is WebhookError.REFUSED_ADDRESS
    assert connects == [PUBLIC]
    assert questions == [("rebind.example", 443)] * 2


async def test_the_socket_itself_refuses_what_the_other_two_judges_never_saw(connects: list[str]) -> None:
    async with WebhookSender() as sender:
        for host in ("127.0.0.1", "[::1]", "169.254.169.254"):
            with pytest.raises(aiohttp.ClientConnectorError):
                await sender._open().post(f"http://{host}:80/")
    assert connects == []


async def test_a_public_address_is_connected_to(connects: list[str]) -> None:
    """The counterpart: the guard does not refuse everything."""
    async with WebhookSender(resolver=resolver_of([PUBLIC, PUBLIC_6])) as sender:
        for url in (
            "https://shop.example/",
            f"https://{PUBLIC}/",
            f"https://[{PUBLIC_6}]:8443/",
            "https://例え.jp/ü?ä=1",
        ):
            assert (await send(sender, url, livemode=True)).error is WebhookError.CONNECT_FAILED
    assert PUBLIC in connects
    assert set(connects) <= {PUBLIC, PUBLIC_6}


async def test_live_mode_wants_https_and_one_of_two_ports(connects: list[str]) -> None:
    async with WebhookSender(resolver=resolver_of([PUBLIC])) as sender:
        assert (await send(sender, "http://shop.example/", livemode=True)).error is WebhookError.REFUSED_SCHEME
        assert (await send(sender, "https://shop.example:22/", livemode=True)).error is WebhookError.REFUSED_PORT
        assert connects == []
        assert (await send(sender, "http://shop.example:8080/")).error is WebhookError.CONNECT_FAILED
        assert connects == [PUBLIC]


@given(st.ip_addresses())
def test_what_is_refused_covers_what_python_calls_not_global(address: object) -> None:
    judged = ip_address(str(address))
    assert is_refused(judged) or judged.is_global
    assert not is_refused(judged, networks_from([str(judged)]))


@given(st.text(max_size=60))
def test_reading_a_url_ends_in_a_target_or_a_refusal(text: str) -> None:
    for url in (text, f"https://{text}/", f"https://{text}.example/", f"https://shop.example/{text}"):
        with suppress(InvalidInput):
            target = vet_url(url, livemode=False)
            assert target.url.isascii()
            again = vet_url(target.url, livemode=False)
            assert (again.host, again.port, again.path) == (target.host, target.port, target.path)


def test_the_listed_ranges_are_all_there() -> None:
    listed = (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 ::/128 ::1/128 "
        "::ffff:0:0/96 64:ff9b::/96 fc00::/7 fe80::/10 2001:db8::/32"
    )
    for network in networks_from(listed.split()):
        assert any(network.version == ours.version and network.subnet_of(ours) for ours in REFUSED_NETWORKS)  # type: ignore[arg-type]  # one version each


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="CIDR"):
        networks_from(["10.0.0.1/8"])


# --- real servers ------------------------------------------------------------------------------------------------

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Receiver:
    """A server on 127.0.0.1 that keeps what it got and answers with given bytes; `hold` keeps the connection open."""

    def __init__(self, answer: bytes, *, hold: bool = False, drip: bytes = b"") -> None:
        self.answer, self.hold, self.drip = answer, hold, drip
        self.requests: list[bytes] = []
        self.connections = 0
        self.port = 0
        self._over = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                while self.drip and not self._over.is_set():
                    writer.write(self.drip)
                    await asyncio.sleep(0.01)
                if self.hold:
                    await self._over.wait()
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        server = await asyncio.start_server(self, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"{'https' if tls else 'http'}://hook.example:{self.port}/in?a=1"
        finally:
            self._over.set()
            server.close()
            await server.wait_closed()


def local_sender(timeout_seconds: float = 5.0, tls: ssl.SSLContext | None = None) -> WebhookSender:
    resolver = resolver_of(["127.0.0.1"])
    return WebhookSender(allowed_networks=LOOPBACK, resolver=resolver, tls=tls, timeout_seconds=timeout_seconds)


def http(status: str, body: bytes = b"ok", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_what_arrives_and_that_the_connection_is_reused() -> None:
    receiver = Receiver(http("200 OK", b"x" * 1000, "Set-Cookie: a=b"))
    async with receiver.running() as url, local_sender() as sender:
        results = [await send(sender, url) for _ in range(3)]
    assert [(result.status, result.error) for result in results] == [(200, None)] * 3
    assert receiver.connections == 1
    head, _, body = receiver.requests[-1].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /in?a=1 HTTP/1.1"
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert headers["host"] == f"hook.example:{receiver.port}"
    assert headers["webhook-id"] == "evt_1"
    assert headers["content-type"] == "application/json"
    assert "cookie" not in headers
    assert body == b'{"type":"x"}'


async def test_the_environment_s_proxy_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    receiver = Receiver(http("204 No Content", b""))
    async with receiver.running() as url, local_sender() as sender:
        assert (await send(sender, url)).status == 204


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_never_followed(connects: list[str], status: str) -> None:
    trap = Receiver(http("200 OK"))
    async with trap.running():
        location = f"Location: http://127.0.0.1:{trap.port}/latest/meta-data"
        receiver = Receiver(http(status, b"", location, "Retry-After: 3"))
        async with receiver.running() as url, local_sender() as sender:
            result = await send(sender, url)
    assert (result.status, result.error) == (int(status[:3]), WebhookError.REDIRECT)
    assert trap.requests == []
    assert len(connects) == 1
    assert decide(result, tries=1, jitter_permille=0).verdict is Verdict.RETRY


async def test_410_disables() -> None:
    async with Receiver(http("410 Gone")).running() as url, local_sender() as sender:
        result = await send(sender, url)
    assert decide(result, tries=1, jitter_permille=0).verdict is Verdict.DISABLED


@pytest.mark.parametrize("value", ["120", format_datetime(NOW + timedelta(seconds=120), usegmt=True)])
async def test_429_with_retry_after(value: str) -> None:
    receiver = Receiver(http("429 Too Many Requests", b"{}", f"Retry-After: {value}"))
    async with receiver.running() as url, local_sender() as sender:
        result = await send(sender, url)
    assert result == WebhookResult(429, None, 120, result.duration_ms)
    assert decide(result, tries=1, jitter_permille=0).wait == timedelta(seconds=120)


@pytest.mark.parametrize(
    "receiver",
    [
        Receiver(b"", hold=True),
        Receiver(b"HTTP/1.1 200 OK\r\n", hold=True),
        Receiver(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", drip=b"x"),
        Receiver(b"HTTP/1.1 200 OK\r\n", drip=b"X-Drip: 1\r\n"),
    ],
    ids=["silence", "half a head", "dripping body", "dripping head"],
)
async def test_a_slow_receiver_costs_the_timeout_and_no_more(receiver: Receiver) -> None:
    async with receiver.running() as url, local_sender(timeout_seconds=0.15) as sender:
        result = await send(sender, url)
    assert result.error is WebhookError.TIMEOUT
    assert 100 <= result.duration_ms < 1000
    assert decide(result, tries=1, jitter_permille=0).verdict is Verdict.RETRY


async def test_an_endless_body_is_cut_off() -> None:
    receiver = Receiver(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", drip=b"x" * 16384)
    async with receiver.running() as url, local_sender() as sender:
        result = await send(sender, url)
        assert (result.status, result.error) == (200, WebhookError.TOO_LARGE)
        assert (await send(sender, url)).status == 200
    assert receiver.connections == 2, "the cut connection is not used again"


async def test_a_body_of_exactly_the_limit_is_fine() -> None:
    async with Receiver(http("200 OK", b"x" * BODY_BYTES_MAX)).running() as url, local_sender() as sender:
        assert (await send(sender, url)).error is None


@pytest.mark.parametrize(
    "answer", [b"\x16\x03\x01\x00\x00", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nA"]
)
async def test_what_is_not_http_is_a_bad_answer(answer: bytes) -> None:
    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    listener = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with local_sender() as sender:
        assert (await send(sender, f"http://127.0.0.1:{port}/")).error is WebhookError.BAD_ANSWER
    listener.close()
    await listener.wait_closed()


async def test_nobody_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        async with local_sender() as sender:
            result = await send(sender, f"http://127.0.0.1:{reserved.getsockname()[1]}/")
    assert (result.status, result.error) == (None, WebhookError.CONNECT_FAILED)


async def test_a_name_without_an_address() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for resolver in (unknown, resolver_of([])):
        async with WebhookSender(resolver=resolver) as sender:
            assert (await send(sender, "https://nowhere.example/")).error is WebhookError.RESOLVE_FAILED


# --- TLS: pinned address, original name --------------------------------------------------------------------------


def certificate_for(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime.now(UTC) - timedelta(days=1))
    builder = builder.not_valid_after(datetime.now(UTC) + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return pem, key.private_bytes(encoding, form, serialization.NoEncryption())


async def test_tls_keeps_the_name_and_checks_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tls")
    pem, key = certificate_for("hook.example")
    (folder / "both.pem").write_bytes(pem + key)
    names: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "both.pem")
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    client = ssl.create_default_context(cadata=pem.decode())

    receiver = Receiver(http("200 OK"))
    async with receiver.running(server) as url:
        async with local_sender(tls=client) as sender:
            assert (await send(sender, url)).status == 200
            assert (await send(sender, url.replace("hook.", "other."))).error is WebhookError.TLS_FAILED
            assert (await send(sender, url.replace("https:", "http:"))).error is WebhookError.BAD_ANSWER
        async with local_sender() as sender:
            assert (await send(sender, url)).error is WebhookError.TLS_FAILED, "an unknown authority is not trusted"
    assert names == ["hook.example", "other.example", "hook.example"]
    assert f"Host: hook.example:{receiver.port}".encode() in receiver.requests[0]
    assert len(receiver.requests) == 1


async def test_https_to_a_server_without_tls() -> None:
    async with Receiver(b"no tls here").running() as url, local_sender(timeout_seconds=0.5) as sender:
        result = await send(sender, url.replace("http:", "https:"))
    assert result.error in {WebhookError.TLS_FAILED, WebhookError.TIMEOUT, WebhookError.CONNECT_FAILED}


# --- Retry-After -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 7 ", 7),
        ("Fri, 01 May 2026 12:01:00 GMT", 60),
        ("Fri, 01 May 2026 20:01:00 +0800", 60),
        ("Fri, 01 May 2026 12:01:00 -0000", 60),
        ("Fri, 01 May 2026 11:00:00 GMT", 0),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("１２", None),
        ("99999999999999999999", None),
        ("soon", None),
        ("Fri, 99 May 2026 12:01:00 GMT", None),
        ("Fri, 01 May 2026 12:01:00 +9999", None),
    ],
)
def test_retry_after(value: str | None, seconds: int | None) -> None:
    assert read_retry_after(value, NOW) == seconds


@given(st.text(max_size=40))
def test_retry_after_never_raises(value: str) -> None:
    assert (read_retry_after(value, NOW) or 0) >= 0


# --- lookups -----------------------------------------------------------------------------------------------------


class NameServer:
    """Answers when the test lets it; `dead.*` never does before that, `none.*` has no such name."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)

    def __call__(self, host: str, port: int, *, type: socket.SocketKind) -> list[object]:
        self.asked.append(host)
        self.begun.release()
        if host.startswith("none"):
            raise socket.gaierror("Name or service not known")
        if host.startswith("dead"):
            assert self.open.wait(30)
        return [(socket.AF_INET, type, 6, "", (PUBLIC, port))]


async def test_names_that_nobody_answers_for_hold_up_no_other_connect() -> None:
    """The event loop itself resolves in four threads that every connect goes through, also one to a bare address."""
    server = NameServer()
    look_up = Lookups(server)
    waiting = [asyncio.create_task(look_up(f"dead{number}.example", 443)) for number in range(16)]
    async with asyncio.timeout(5):
        assert await look_up("alive.example", 443) == [PUBLIC]
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 1)
    server.open.set()
    assert await asyncio.gather(*waiting) == [[PUBLIC]] * 16


async def test_who_asks_for_the_same_name_at_once_shares_the_answer() -> None:
    server = NameServer()
    look_up = Lookups(server)
    waiting = [asyncio.create_task(look_up("dead.example", 443)) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    server.open.set()
    assert await asyncio.gather(*waiting[1:]) == [[PUBLIC]] * 9
    assert server.asked == ["dead.example"]
    await look_up("dead.example", 443)
    assert len(server.asked) == 2, "an answer is not kept: every try is judged by what holds then"


async def test_only_so_many_lookups_are_under_way() -> None:
    server = NameServer()
    look_up = Lookups(server, at_once_max=2)
    waiting = [asyncio.create_task(look_up(f"dead{number}.example", 443)) for number in range(5)]
    for _ in range(2):
        assert await asyncio.to_thread(server.begun.acquire, timeout=5)
    assert not await asyncio.to_thread(server.begun.acquire, timeout=0.05)
    server.open.set()
    await asyncio.gather(*waiting)
    assert len(server.asked) == 5


async def test_a_name_that_does_not_exist_is_an_error_of_the_endpoint() -> None:
    with pytest.raises(OSError, match=r"none\.example cannot be looked up"):
        await Lookups(NameServer())("none.example", 443)
    with pytest.raises(OSError, match="cannot be looked up"):
        await Lookups()("x" * 70 + ".example", 443)
