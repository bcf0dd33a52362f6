"""Certificate mode, encrypted content, OpenAPI v3, and acting for another merchant."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.simulators.merchant import HOST, NOTIFY_URL, World
from tongbao.crypto import RsaPrivateKey, aes_cbc_decrypt, aes_cbc_encrypt
from tongbao.transport import Reply, Request

QUERY = "alipay.trade.query"
BIZ = {"out_trade_no": "T1"}


def serial(pem: str) -> str:
    """MD5 over RFC 2253 issuer and decimal serial, as the fact sheet says."""
    found = x509.load_pem_x509_certificate(pem.encode())
    return hashlib.md5((found.issuer.rfc4514_string() + str(found.serial_number)).encode()).hexdigest()


@pytest.fixture
def certified(world: World) -> World:
    """The world, calling as the certificate-mode application."""
    world.account = {**world.account, **world.account["cert"]}
    world.key = RsaPrivateKey.load(world.account["app_private_key_pkcs1_pem"])
    return world


def serials(world: World) -> dict[str, str]:
    return {name: world.account[name] for name in ("app_cert_sn", "alipay_root_cert_sn")}


async def test_serials_are_those_of_the_certificates(certified: World) -> None:
    account = certified.account
    assert account["app_cert_sn"] == serial(account["app_cert_pem"])
    assert account["alipay_cert_sn"] == serial(account["alipay_cert_pem"])
    roots = account["alipay_root_cert_pem"].split("\n\n")
    assert len(roots) == 3
    assert account["alipay_root_cert_sn"] == f"{serial(roots[0])}_{serial(roots[2])}", "the ECDSA root is left out"
    issuer = x509.load_pem_x509_certificate(account["app_cert_pem"].encode()).issuer.rfc4514_string()
    assert issuer.startswith("CN=")
    assert issuer.endswith(",C=CN")


def test_openssl_accepts_the_chain(certified: World, tmp_path: Path) -> None:
    roots, leaf, middle = tmp_path / "roots.crt", tmp_path / "leaf.crt", tmp_path / "middle.crt"
    roots.write_text(certified.account["alipay_root_cert_pem"])
    leaf_pem, mark, rest = certified.account["alipay_cert_pem"].partition("-----END CERTIFICATE-----\n")
    leaf.write_text(leaf_pem + mark)
    middle.write_text(rest)
    at = str(int(certified.clock.now().timestamp()))
    command = ["openssl", "verify", "-attime", at, "-CAfile", str(roots), "-untrusted", str(middle), str(leaf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_certificate_mode(certified: World) -> None:
    reply = await certified.send(certified.signed(certified.params(QUERY, BIZ, **serials(certified))))
    outer = json.loads(reply.body)
    assert list(outer) == ["alipay_trade_query_response", "alipay_cert_sn", "sign"]
    assert outer["alipay_cert_sn"] == certified.account["alipay_cert_sn"]
    text = reply.body[len('{"alipay_trade_query_response":') : reply.body.index(b',"alipay_cert_sn"')]
    assert certified.alipay_key.verify(base64.b64decode(outer["sign"]), text)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"app_cert_sn": ""}, ("40001", "isv.missing-app-cert-sn")),
        ({"alipay_root_cert_sn": ""}, ("40001", "isv.missing-alipay-root-cert-sn")),
        ({"app_cert_sn": "0" * 32}, ("40002", "isv.app-cert-not-exist")),
        ({"alipay_root_cert_sn": "0" * 32}, ("40002", "isv.invalid-alipay-root-cert-sn")),
    ],
)
async def test_wrong_serials(certified: World, changes: dict[str, str], expected: tuple[str, str]) -> None:
    params = certified.params(QUERY, BIZ, **{**serials(certified), **changes})
    node = json.loads((await certified.send(certified.signed(params))).body)["alipay_trade_query_response"]
    assert (node["code"], node["sub_code"]) == expected


async def test_the_certificate_expires(certified: World) -> None:
    certified.clock.advance(days=3650)
    params = certified.params(QUERY, BIZ, **serials(certified))
    node = json.loads((await certified.send(certified.signed(params))).body)["alipay_trade_query_response"]
    assert node["sub_code"] == "isv.app-cert-expired"


async def test_rotation_and_download(certified: World) -> None:
    params = certified.signed(certified.params(QUERY, BIZ, **serials(certified)))
    reply = await certified.send(params, {"x-sandbox-fault": "reply_key_rotated"})
    outer = json.loads(reply.body)
    assert outer["alipay_cert_sn"] != certified.account["alipay_cert_sn"]
    method = "alipay.open.app.alipaycert.download"
    biz = {"alipay_cert_sn": outer["alipay_cert_sn"]}
    got = json.loads((await certified.send(certified.signed(certified.params(method, biz, **serials(certified))))).body)
    assert list(got) == ["alipay_open_app_alipaycert_download_response"], "this answer is not signed"
    pem = base64.b64decode(got["alipay_open_app_alipaycert_download_response"]["alipay_cert_content"]).decode()
    assert serial(pem) == outer["alipay_cert_sn"]
    fresh = x509.load_pem_x509_certificate(pem.encode()).public_key()
    from tongbao.crypto import RsaPublicKey

    text = reply.body[len('{"alipay_trade_query_response":') : reply.body.index(b',"alipay_cert_sn"')]
    assert RsaPublicKey(fresh).verify(base64.b64decode(outer["sign"]), text)  # type: ignore[arg-type]  # it is RSA


async def told_with_the_next_certificate(world: World, **more: str) -> dict[str, str]:
    order = {"out_trade_no": "N1", "total_amount": "1.00", "subject": "tea"}
    params = world.signed(world.params("alipay.trade.precreate", order, notify_url=NOTIFY_URL, **more))
    reply = await world.send(params, {"x-sandbox-fault": "notification_key_rotated"})
    token = world.token(json.loads(reply.body)["alipay_trade_precreate_response"]["qr_code"])
    world.sandbox.alipay.pay(token, world.sandbox.buyer())
    await world.sandbox.deliver_due()
    return world.shop.received[-1]


async def test_a_notification_names_the_next_certificate_and_is_signed_with_it(certified: World) -> None:
    told = await told_with_the_next_certificate(certified, **serials(certified))
    assert told["alipay_cert_sn"] == certified.sandbox.alipay.authority.next_sn != certified.account["alipay_cert_sn"]
    assert not certified.genuine(told)


async def test_in_key_mode_there_is_no_certificate_to_renew(world: World) -> None:
    told = await told_with_the_next_certificate(world)
    assert "alipay_cert_sn" not in told
    assert world.genuine(told)


async def test_encrypted_content(world: World) -> None:
    key = base64.b64decode(world.account["aes_key"])
    cipher = base64.b64encode(aes_cbc_encrypt(key, json.dumps(BIZ).encode(), bytes(16))).decode()
    reply = await world.send(world.signed(world.params(QUERY, cipher, encrypt_type="AES")))
    outer = json.loads(reply.body)
    inner = outer["alipay_trade_query_response"]
    assert isinstance(inner, str)
    assert world.alipay_key.verify(base64.b64decode(outer["sign"]), f'"{inner}"'.encode()), "quotes are signed too"
    assert json.loads(aes_cbc_decrypt(key, base64.b64decode(inner), bytes(16)))["sub_code"] == "ACQ.TRADE_NOT_EXIST"


@pytest.mark.parametrize(
    ("content", "kind", "sub_code"),
    [
        ("bm90IGEgY2lwaGVyIHRleHQ=", "AES", "isv.decryption-error-unknown"),
        ("{}", "AES", "isv.decryption-error-unknown"),
        ("bm90IGEgY2lwaGVyIHRleHQ=", "DES", "isv.invalid-encrypt-type"),
        ("bm90IGEgY2lwaGVyIHRleHQ=", "", "isv.illegal-json"),
    ],
)
async def test_bad_encryption(world: World, content: str, kind: str, sub_code: str) -> None:
    reply = await world.send(world.signed(world.params(QUERY, content, encrypt_type=kind)))
    assert json.loads(reply.body)["alipay_trade_query_response"]["sub_code"] == sub_code


async def test_acting_for_another_merchant(world: World) -> None:
    other = world.account["cert"]
    biz = {"grant_type": "authorization_code", "code": other["app_auth_code"]}
    token = await world.call("alipay.open.auth.token.app", biz)
    assert (token["auth_app_id"], token["user_id"]) == (other["app_id"], other["seller_id"])
    order = {"out_trade_no": "I1", "total_amount": "1.00", "subject": "tea"}
    mine = {"app_auth_token": token["app_auth_token"], "notify_url": NOTIFY_URL}
    made = await world.call("alipay.trade.precreate", order, **mine)
    world.sandbox.alipay.pay(world.token(made["qr_code"]), world.sandbox.buyer())
    await world.sandbox.deliver_due()
    told = world.shop.received[0]
    assert (told["app_id"], told["auth_app_id"]) == (world.account["app_id"], other["app_id"])
    assert told["seller_id"] == other["seller_id"]
    assert (await world.query("I1"))["sub_code"] == "ACQ.TRADE_NOT_EXIST", "it is not the caller's own"
    reply = await world.send(world.signed(world.params(QUERY, BIZ, app_auth_token="stolen")))
    node = json.loads(reply.body)["alipay_trade_query_response"]
    assert (node["code"], node["sub_code"]) == ("20001", "aop.invalid-app-auth-token")
    renewed = await world.call(
        "alipay.open.auth.token.app", {"grant_type": "refresh_token", "refresh_token": token["app_refresh_token"]}
    )
    assert renewed["app_auth_token"] != token["app_auth_token"]


async def test_a_buyers_token(world: World) -> None:
    method = "alipay.system.oauth.token"
    buyer = world.account["buyers"][0]
    node = await world.call(method, "", grant_type="authorization_code", code=buyer["oauth_code"])
    assert node["user_id"] == buyer["user_id"]
    renewed = await world.call(method, "", grant_type="refresh_token", refresh_token=node["refresh_token"])
    assert renewed["access_token"] != node["access_token"]
    reply = await world.send(world.signed(world.params(method, "", grant_type="authorization_code", code="no")))
    outer = json.loads(reply.body)
    assert list(outer) == ["error_response", "sign"]
    assert outer["error_response"]["sub_code"] == "isv.code-invalid"


# --- OpenAPI v3


class V3:
    """A v3 caller."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stamp = str(int(world.clock.now().timestamp() * 1000))
        self.more = ""
        self.headers: dict[str, str] = {}

    async def call(self, method: str, path: str, body: str = "", *, signed: bool = True) -> Reply:
        auth = f"app_id={self.world.account['app_id']},{self.more}nonce=n1,timestamp={self.stamp}"
        text = f"{auth}\n{method}\n{path}\n{body}\n"
        if token := self.headers.get("alipay-app-auth-token"):
            text += f"{token}\n"
        sign = base64.b64encode(self.world.key.sign(text.encode())).decode()
        headers = {"authorization": f"ALIPAY-SHA256withRSA {auth},sign={sign}"} if signed else {}
        headers |= {"content-type": "application/json", **self.headers}
        return await self.world.net.send(Request(method, f"http://{HOST}{path}", headers, body.encode()))

    def genuine(self, reply: Reply) -> bool:
        head = reply.headers
        text = f"{head['alipay-timestamp']}\n{head['alipay-nonce']}\n".encode() + reply.body + b"\n"
        return self.world.alipay_key.verify(base64.b64decode(head["alipay-signature"]), text)


async def test_v3(world: World) -> None:
    v3 = V3(world)
    missing = await v3.call("POST", "/v3/alipay/trade/query", json.dumps(BIZ))
    assert (missing.status, json.loads(missing.body)["code"]) == (400, "ACQ.TRADE_NOT_EXIST")
    assert v3.genuine(missing)
    order = {"out_trade_no": "T1", "total_amount": "1.00", "subject": "茶", "notify_url": NOTIFY_URL}
    made = await v3.call("POST", "/v3/alipay/trade/precreate", json.dumps(order))
    assert made.status == 200
    assert made.headers["content-type"].startswith("application/json")
    world.sandbox.alipay.pay(world.token(json.loads(made.body)["qr_code"]), world.sandbox.buyer())
    paid = await v3.call("POST", "/v3/alipay/trade/query", json.dumps(BIZ))
    assert json.loads(paid.body)["trade_status"] == "TRADE_SUCCESS"
    assert "code" not in json.loads(paid.body)
    assert v3.genuine(paid)
    await world.sandbox.deliver_due()
    assert world.genuine(world.shop.received[0])
    waiting = {"out_trade_no": "B1", "total_amount": "1.00", "subject": "a", "scene": "bar_code"}
    reply = await v3.call("POST", "/v3/alipay/trade/pay", json.dumps({**waiting, "auth_code": "280350000000000015"}))
    assert reply.status == 202


REFUSALS: dict[str, tuple[Callable[[V3], object], str]] = {
    "old": (lambda v3: setattr(v3, "stamp", str(int(v3.stamp) - 601_000)), "invalid-timestamp"),
    "no number": (lambda v3: setattr(v3, "stamp", "yesterday"), "invalid-timestamp"),
    "other key": (lambda v3: setattr(v3.world, "key", RsaPrivateKey.generate()), "invalid-signature"),
    "other app": (lambda v3: v3.world.account.update(app_id="2021"), "invalid-app-id"),
    "bad token": (lambda v3: v3.headers.update({"alipay-app-auth-token": "x"}), "invalid-app-auth-token"),
}


@pytest.mark.parametrize("name", sorted(REFUSALS))
async def test_v3_refusals(world: World, name: str) -> None:
    v3 = V3(world)
    spoil, code = REFUSALS[name]
    spoil(v3)
    reply = await v3.call("POST", "/v3/alipay/trade/query", json.dumps(BIZ))
    assert (reply.status, json.loads(reply.body)["code"]) == (400, code)
    assert "alipay-signature" not in reply.headers


async def test_v3_requests_that_are_none(world: World) -> None:
    v3 = V3(world)
    for method, path, body, code in (
        ("GET", "/v3/alipay/trade/query", "", "invalid-method"),
        ("POST", "/v3/alipay/trade/nothing", "{}", "invalid-method"),
        ("POST", "/v3/alipay/trade/page/pay", "{}", "invalid-method"),
        ("POST", "/v3/alipay/trade/query", "[", "illegal-json"),
    ):
        reply = await v3.call(method, path, body)
        assert (reply.status, json.loads(reply.body)["code"]) == (400, code), path
    bare = await v3.call("POST", "/v3/alipay/trade/query", "{}", signed=False)
    assert json.loads(bare.body)["code"] == "missing-timestamp"


async def test_v3_encrypted_and_with_certificates(world: World, certified: World) -> None:
    v3 = V3(certified)
    v3.more = f"app_cert_sn={certified.account['app_cert_sn']},"
    v3.headers = {"alipay-root-cert-sn": certified.account["alipay_root_cert_sn"], "alipay-encrypt-type": "AES"}
    key = base64.b64decode(certified.account["aes_key"])
    body = base64.b64encode(aes_cbc_encrypt(key, json.dumps(BIZ).encode(), bytes(16))).decode()
    reply = await v3.call("POST", "/v3/alipay/trade/query", body)
    assert reply.headers["alipay-sn"] == certified.account["alipay_cert_sn"]
    assert v3.genuine(reply)
    told: Any = json.loads(aes_cbc_decrypt(key, base64.b64decode(reply.body), bytes(16)))
    assert told["code"] == "ACQ.TRADE_NOT_EXIST"


async def test_v3_faults(world: World) -> None:
    v3 = V3(world)
    for fault, status in (
        ("call_limited", 429),
        ("unavailable", 500),
        ("reply_unavailable", 500),
        ("bad_gateway", 502),
    ):
        v3.headers = {"x-sandbox-fault": fault}
        assert (await v3.call("POST", "/v3/alipay/trade/query", json.dumps(BIZ))).status == status, fault
    v3.headers = {"x-sandbox-fault": "reply_bad_signature"}
    assert not v3.genuine(await v3.call("POST", "/v3/alipay/trade/query", json.dumps(BIZ)))
