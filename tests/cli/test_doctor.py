"""`tongbao doctor alipay` on planted cases, against a sandbox in a process of its own: each cause has its name."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner, Result

from tests.simulators.served import served
from tongbao.cli.entry import app

NOWHERE = "http://127.0.0.1:1"
END = "-----END CERTIFICATE-----\n"
Credentials = dict[str, str]


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with served(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox.accounts()["alipay"]


@pytest.fixture
def keyed(accounts: Any) -> Credentials:
    names = ("gateway_url", "app_id", "alipay_public_key", "seller_id")
    return {name: accounts[name] for name in names} | {"private_key": accounts["app_private_key_pkcs8_pem"]}


@pytest.fixture
def certified(accounts: Any) -> Credentials:
    one = accounts["cert"]
    files = {name: one[f"{name}_pem"] for name in ("app_cert", "alipay_cert", "alipay_root_cert")}
    return {name: one[name] for name in ("gateway_url", "app_id")} | files | {"private_key": private_key(accounts, 2)}


def private_key(accounts: Any, number: int) -> str:
    key: str = (accounts if number == 1 else accounts["cert"])["app_private_key_pkcs8_pem"]
    return key


@pytest.fixture
def doctor(tmp_path: Path) -> Callable[..., Result]:
    def examined(credentials: object, *more: str) -> Result:
        path = tmp_path / "credentials.json"
        path.write_text(json.dumps(credentials))
        return CliRunner().invoke(app, ["doctor", "alipay", "--credentials", str(path), *more])

    return examined


def codes(done: Result) -> dict[str, str]:
    """Code -> level; every finding but a good one says what to do."""
    found = json.loads(done.stdout)
    assert all(one["level"] == "ok" or one["advice"] for one in found), found
    levels = {one["code"]: one["level"] for one in found}
    assert done.exit_code == (1 if "error" in levels.values() else 0)
    return levels


def test_healthy_accounts(doctor: Callable[..., Result], keyed: Credentials, certified: Credentials) -> None:
    assert codes(doctor(keyed, "--format", "json")) == {"keys_right": "ok"}
    assert codes(doctor(certified, "--format", "json")) == {"keys_right": "ok"}


KEY_CASES: dict[str, tuple[Callable[[Credentials, Any], Credentials], dict[str, str]]] = {
    "the own public key": (
        lambda good, told: {**good, "alipay_public_key": told["app_public_key"]},
        {"alipay_public_key_wrong": "error"},
    ),
    "a stranger's public key": (
        lambda good, told: {**good, "alipay_public_key": told["cert"]["app_public_key"]},
        {"alipay_public_key_wrong": "error"},
    ),
    "a private key of another pair": (
        lambda good, told: {**good, "private_key": private_key(told, 2)},
        {"isv.invalid-signature": "error"},
    ),
    "PKCS#8 where PKCS#1 is said": (
        lambda good, told: {**good, "private_key": good["private_key"].replace(" PRIVATE", " RSA PRIVATE")},
        {"private_key_mislabelled": "warning", "keys_right": "ok"},
    ),
    "PKCS#1 where PKCS#8 is said": (
        lambda good, told: {**good, "private_key": told["app_private_key_pkcs1_pem"].replace(" RSA", "")},
        {"private_key_mislabelled": "warning", "keys_right": "ok"},
    ),
    "an encrypted private key": (
        lambda good, told: {**good, "private_key": good["private_key"].replace(" PRIVATE", " ENCRYPTED PRIVATE")[:-99]},
        {"private_key_unreadable": "error"},
    ),
    "no such charset": (lambda good, told: {**good, "charset": "utf-16"}, {"charset_wrong": "error"}),
    "GBK": (lambda good, told: {**good, "charset": "GBK"}, {"keys_right": "ok"}),
    "no gateway there": (
        lambda good, told: {**good, "gateway_url": f"{NOWHERE}/gateway.do"},
        {"gateway_unreachable": "error"},
    ),
    "something else there": (
        lambda good, told: {**good, "gateway_url": good["gateway_url"].replace("gateway.do", "cashier")},
        {"gateway_no_answer": "error"},
    ),
    "another app's id": (
        lambda good, told: {**good, "app_id": "9021000199999999"},
        {"isv.invalid-app-id": "error"},
    ),
    "key mode where certificates are due": (
        lambda good, told: {**good, "app_id": told["cert"]["app_id"], "private_key": private_key(told, 2)},
        {"isv.missing-app-cert-sn": "error"},
    ),
}


@pytest.mark.parametrize("case", KEY_CASES)
def test_keys(doctor: Callable[..., Result], keyed: Credentials, accounts: Any, case: str) -> None:
    plant, expected = KEY_CASES[case]
    assert codes(doctor(plant(keyed, accounts), "--format", "json")) == expected


CERTIFICATE_CASES: dict[str, tuple[Callable[[Credentials, Any], Credentials], dict[str, str]]] = {
    "the certificate of another app": (
        lambda good, told: {**good, "app_id": told["app_id"]},
        {"app_cert_wrong": "error"},
    ),
    "the certificate of another key": (
        lambda good, told: {**good, "private_key": private_key(told, 1)},
        {"app_cert_wrong": "error"},
    ),
    "a root bundle cut within a certificate": (
        lambda good, told: {**good, "alipay_root_cert": good["alipay_root_cert"][:-200]},
        {"root_bundle_cut": "error"},
    ),
    "a root bundle cut behind a certificate": (
        lambda good, told: {**good, "alipay_root_cert": good["alipay_root_cert"].partition(END)[0] + END},
        {"isv.invalid-alipay-root-cert-sn": "error"},
    ),
    "a root bundle without its beginning": (
        lambda good, told: {**good, "alipay_root_cert": good["alipay_root_cert"].rpartition(END + "\n")[2]},
        {"root_bundle_cut": "warning", "isv.invalid-alipay-root-cert-sn": "error"},
    ),
}


@pytest.mark.parametrize("case", CERTIFICATE_CASES)
def test_certificates(doctor: Callable[..., Result], certified: Credentials, accounts: Any, case: str) -> None:
    plant, expected = CERTIFICATE_CASES[case]
    assert codes(doctor(plant(certified, accounts), "--format", "json")) == expected


def test_a_clock_that_is_off(doctor: Callable[..., Result], keyed: Credentials) -> None:
    """The sandbox behind a relay whose clock is two hours ahead of ours."""
    with relay(keyed["gateway_url"], timedelta(hours=2)) as url:
        done = doctor({**keyed, "gateway_url": url}, "--format", "json")
    assert codes(done) == {"clock_off": "error", "keys_right": "ok"}
    assert any(f"{time} behind" in done.stdout for time in ("2:00:00", "1:59:59"))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        (f"{NOWHERE}/notify/ca_1", "notify_url_unreachable"),
        ("{sandbox}/no-such-path", "notify_url_unreachable"),
        ("shop.example/notify", "notify_url_wrong"),
        ("{sandbox}/alipay/gateway.do", "notify_url_answers"),
    ],
)
def test_the_notification_address(doctor: Callable[..., Result], keyed: Credentials, url: str, code: str) -> None:
    address = url.format(sandbox=keyed["gateway_url"].partition("/alipay")[0])
    assert code in codes(doctor(keyed, "--notify-url", address, "--format", "json"))


@pytest.mark.parametrize("content", [[], "text", {"app_id": 9021000100000001}])
def test_a_file_that_holds_no_credentials(doctor: Callable[..., Result], content: object) -> None:
    done = doctor(content)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "credentials.json" in done.stderr


def test_what_is_null_is_absent(doctor: Callable[..., Result], keyed: Credentials) -> None:
    assert codes(doctor({**keyed, "seller_id": None}, "--format", "json")) == {"keys_right": "ok"}


def test_people_read_one_thing_a_line(doctor: Callable[..., Result], keyed: Credentials, accounts: Any) -> None:
    done = doctor({**keyed, "alipay_public_key": accounts["app_public_key"]})
    first, message, advice = done.stdout.splitlines()
    assert first.split() == ["error", "alipay_public_key_wrong"]
    assert message.strip().startswith("This is the public key of your own private key")
    assert advice.strip().startswith("→ Copy")


@contextmanager
def relay(target: str, ahead: timedelta) -> Iterator[str]:
    """A reverse proxy that answers with a Date of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            connection = HTTPConnection(urlsplit(target).netloc)
            connection.request("POST", self.path, body, {"content-type": self.headers["content-type"]})
            answer = connection.getresponse().read()
            connection.close()
            self.send_response_only(200)
            self.send_header("date", format_datetime(datetime.now(UTC) + ahead, usegmt=True))
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{urlsplit(target).path}"
    finally:
        server.shutdown()
        server.server_close()
