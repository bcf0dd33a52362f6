"""SM2, SM3 and SM4 in place of RSA and AES: the same client, with keys that the openssl command line made."""

import base64
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.channels.wechatpay.conftest import APIV3_KEY, APPID, GATEWAY_URL, MCHID, NOTIFY_URL, text_of
from tongbao.channels.wechatpay import WechatPayClient
from tongbao.channels.wechatpay.signing import Scheme
from tongbao.crypto import sm3, sm4_gcm_encrypt
from tongbao.domain.errors import InvalidInput, MessageNotTrusted
from tongbao.ports import Reply, Request

pytest.importorskip("tongsuopy", reason="SM2 is the extra `gm`")

IDENTITY = ["-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678"]
SCHEME = "WECHATPAY2-SM2-WITH-SM3"
NONCE = "abcdefghijkl"


class SmWechat:
    """Answers with a certificate list and then with one order; every signature is openssl's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("merchant", "platform"):
            self.openssl("ecparam", "-genkey", "-name", "SM2", "-noout", "-out", f"{name}.ec")
            self.openssl("pkcs8", "-topk8", "-nocrypt", "-in", f"{name}.ec", "-out", f"{name}.key")
            self.openssl("pkey", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pub")
        subject = ["-new", "-x509", "-key", "platform.key", "-sm3", "-sigopt", "distid:1234567812345678"]
        self.openssl("req", *subject, "-subj", "/CN=SM", "-days", "7300", "-set_serial", "0x1A2B", "-out", "crt")
        self.listed = 0

    def openssl(self, *words: str) -> str:
        done = subprocess.run(["openssl", *words], cwd=self.folder, capture_output=True, check=True)
        return done.stdout.decode()

    def sign(self, text: bytes) -> str:
        (self.folder / "text").write_bytes(text)
        self.openssl("pkeyutl", "-sign", "-inkey", "platform.key", *IDENTITY, "-in", "text", "-out", "sig")
        return base64.b64encode((self.folder / "sig").read_bytes()).decode()

    def judge(self, request: Request) -> None:
        found = re.fullmatch(
            r'(\S+) mchid="\d+",nonce_str="(\w+)",timestamp="(\d+)",serial_no="7E",signature="(.*)"',
            request.headers["authorization"],
        )
        assert found
        assert found[1] == SCHEME
        target = request.url.removeprefix(GATEWAY_URL)
        text = f"{request.method}\n{target}\n{found[3]}\n{found[2]}\n".encode() + request.body + b"\n"
        (self.folder / "text").write_bytes(text)
        (self.folder / "sig").write_bytes(base64.b64decode(found[4]))
        check = ["-verify", "-pubin", "-inkey", "merchant.pub", *IDENTITY, "-in", "text", "-sigfile", "sig"]
        assert "Verified Successfully" in self.openssl("pkeyutl", *check)

    def sealed(self, plain: bytes, associated: str) -> dict[str, str]:
        cipher = sm4_gcm_encrypt(sm3(APIV3_KEY.encode())[:16], NONCE.encode(), plain, associated.encode())
        text = base64.b64encode(cipher).decode()
        return {"algorithm": "AEAD_SM4_GCM", "nonce": NONCE, "associated_data": associated, "ciphertext": text}

    def headers(self, body: bytes) -> dict[str, str]:
        timestamp = str(int(time.time()))
        return {
            "wechatpay-timestamp": timestamp,
            "wechatpay-nonce": "n",
            "wechatpay-serial": "1A2B",
            "wechatpay-signature": self.sign(f"{timestamp}\nn\n".encode() + body + b"\n"),
            "wechatpay-signature-type": SCHEME,
        }

    def send(self, request: Request) -> Reply:
        self.judge(request)
        if "/v3/certificates" in request.url:
            assert request.url.endswith("?algorithm_type=SM2")
            self.listed += 1
            pem = (self.folder / "crt").read_bytes()
            body = text_of({"data": [{"serial_no": "1A2B", "encrypt_certificate": self.sealed(pem, "certificate")}]})
        else:
            body = text_of({"code_url": "weixin://sm"})
        return Reply(200, self.headers(body), body)


@pytest.fixture
def wechat(tmp_path: Path) -> SmWechat:
    return SmWechat(tmp_path)


@pytest.fixture
def client(wechat: SmWechat) -> WechatPayClient:
    """On the machine's clock: openssl's certificate begins now."""
    return WechatPayClient(
        mchid=MCHID,
        appid=APPID,
        merchant_private_key=wechat.folder / "merchant.key",
        merchant_serial="7E",
        apiv3_key=APIV3_KEY,
        gateway_url=GATEWAY_URL,
        transport=wechat,
        sm_mode=True,
    )


def test_an_order_and_a_notification(client: WechatPayClient, wechat: SmWechat) -> None:
    assert client.account.scheme is Scheme.SM2
    order: dict[str, Any] = {"amount": 1, "description": "茶", "notify_url": NOTIFY_URL}
    assert client.native_pay(out_trade_no="ORDER1", **order) == {"code_url": "weixin://sm"}
    assert wechat.listed == 1
    content = {"trade_state": "SUCCESS"}
    resource = {"original_type": "transaction", **wechat.sealed(text_of(content), "transaction")}
    body = text_of({"id": "1", "event_type": "TRANSACTION.SUCCESS", "resource": resource})
    headers = wechat.headers(body)
    assert client.verify_notification(headers, body).resource == content
    for changed, raw in (
        (headers, body + b" "),
        ({**headers, "wechatpay-signature-type": "WECHATPAY2-SHA256-RSA2048"}, body),
        ({**headers, "wechatpay-signature": "AAAA"}, body),
    ):
        with pytest.raises(MessageNotTrusted):
            client.verify_notification(changed, raw)


def test_a_public_key_and_what_this_mode_lacks(client: WechatPayClient, wechat: SmWechat) -> None:
    modern = WechatPayClient(
        mchid=MCHID,
        merchant_private_key=wechat.folder / "merchant.key",
        merchant_serial="7E",
        apiv3_key=APIV3_KEY,
        public_key_id="PUB_KEY_ID_1",
        public_key=wechat.folder / "platform.pub",
        sm_mode=True,
    )
    body = b"{}"
    with pytest.raises(InvalidInput, match="not a notification"):
        modern.verify_notification({**wechat.headers(body), "wechatpay-serial": "PUB_KEY_ID_1"}, body)
    with pytest.raises(InvalidInput, match="RSA mode"):
        modern.encrypted("张三")


def test_keys_of_the_other_kind(wechat: SmWechat) -> None:
    rsa_key = wechat.folder / "rsa.key"
    wechat.openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "rsa.key")
    common: dict[str, Any] = {"mchid": MCHID, "merchant_serial": "7E", "apiv3_key": APIV3_KEY}
    with pytest.raises(InvalidInput):
        WechatPayClient(**common, merchant_private_key=wechat.folder / "merchant.key")
    with pytest.raises(InvalidInput):
        WechatPayClient(**common, merchant_private_key="nonsense", sm_mode=True)
    with pytest.raises(InvalidInput):
        WechatPayClient(
            **common,
            merchant_private_key=rsa_key,
            public_key_id="PUB_KEY_ID_1",
            public_key=wechat.folder / "platform.pub",
        )
    WechatPayClient(**common, merchant_private_key=rsa_key)
