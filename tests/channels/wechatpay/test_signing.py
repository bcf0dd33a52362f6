"""WeChat Pay's signatures: foreign vectors, the openssl command line as judge, and one flipped byte refused."""

import base64
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.channels.wechatpay.conftest import Keys
from tongbao.channels.wechatpay.signing import (
    Scheme,
    Unreadable,
    authorization,
    decrypt_field,
    decrypt_resource,
    encrypt_field,
    pay_text,
    reply_text,
    request_text,
    sign,
    verify,
)
from tongbao.crypto import RsaPrivateKey, aes_gcm_encrypt, der_from, sm3, sm4_gcm_decrypt, sm4_gcm_encrypt

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "wechatpay"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="the shared vectors lie beside the project, not in it")

TIMESTAMP, NONCE = "1554208460", "593BEC0C930BF1AFEB40B4A08C8FB242"
KEY = "0123456789abcdef0123456789ABCDEF"
PLAIN = b'{"mchid":"1900000109","trade_state":"SUCCESS"}'


def vectors(kind: str) -> list[Any]:
    if not VECTORS.is_dir():
        return []
    listed = json.loads((VECTORS / "vectors.json").read_text())
    return [pytest.param(one, id=one["id"]) for one in listed if one["kind"] == kind]


def private_key_of(vector: dict[str, Any]) -> RsaPrivateKey:
    """A vector may refer to another one's key."""
    if "private_key_pem" in vector:
        return RsaPrivateKey.load(vector["private_key_pem"])
    listed = json.loads((VECTORS / "vectors.json").read_text())
    name = vector["private_key"].removeprefix("same as ")
    return RsaPrivateKey.load(next(one["private_key_pem"] for one in listed if one["id"] == name))


# --- foreign vectors ---------------------------------------------------------------------------------------------


@needs_vectors
@pytest.mark.parametrize("vector", vectors("sign"))
def test_vectors_sign(vector: dict[str, Any]) -> None:
    key = private_key_of(vector)
    assert sign(vector["message"].encode(), key) == vector["expected_sign"]
    assert verify(vector["message"].encode(), vector["expected_sign"], key.public())


@needs_vectors
@pytest.mark.parametrize("vector", vectors("aead-decrypt"))
def test_vectors_decrypt(vector: dict[str, Any]) -> None:
    found = decrypt_resource(
        vector["key"].encode(),
        "AEAD_AES_256_GCM",
        vector["nonce"],
        vector["ciphertext_b64"],
        vector["associated_data"],
    )
    assert found.decode() == vector["plaintext"]


@needs_vectors
@pytest.mark.parametrize("vector", vectors("rsa-oaep-sha1-decrypt"))
def test_vectors_fields(vector: dict[str, Any]) -> None:
    assert decrypt_field(vector["ciphertext_b64"], private_key_of(vector)) == vector["plaintext"]


@pytest.mark.parametrize(
    ("text", "length", "digest"),
    [
        (
            request_text("GET", "/v3/certificates", TIMESTAMP, NONCE, b""),
            66,
            "fab5c8a222049f386cb01453c7dc712c7997e756271557b0ef6e2e5060575373",
        ),
        (
            request_text(
                "POST",
                "/v3/pay/transactions/out-trade-no/SIM%7C0001/close",
                TIMESTAMP,
                NONCE,
                b'{"mchid":"1900000109"}',
            ),
            123,
            "44cb259684a8100cbcb7289ff09bf9ca6dfe360a0713956753b637d165098767",
        ),
        (
            request_text("GET", "/v3/pay/transactions/out-trade-no/SIM0001?mchid=1900000109", TIMESTAMP, NONCE, b""),
            108,
            "97223f390e780bad89bd7a063a8886da14f1b513117b1fd53972e84ae1626888",
        ),
        (
            reply_text(TIMESTAMP, NONCE, b""),
            45,
            "daf021c5077b13414fc597564d935f2c6e5b1bf9c61e0dc2df4cd62a9aeb909e",
        ),
        (
            pay_text("wx2421b1c4370ec43b", TIMESTAMP, NONCE, "prepay_id=wx201410272009395522657a690389285100"),
            110,
            "bf5c0eab11b7710ea376aaa5038ad079fb8175af60d6cbf676fa3bcc4d218bcb",
        ),
        (
            pay_text("wx2421b1c4370ec43b", TIMESTAMP, NONCE, "wx201410272009395522657a690389285100"),
            100,
            "24bea8d9042023a0a50bdf8580f0e52570033d68244bd66ec63df7cc25a9073c",
        ),
    ],
    ids=["list", "close", "query", "204", "jsapi", "app"],
)
def test_texts_computed_apart_from_this_code(text: bytes, length: int, digest: str) -> None:
    assert (len(text), hashlib.sha256(text).hexdigest()) == (length, digest)


@pytest.mark.parametrize(
    ("associated", "cipher_text"),
    [
        ("transaction", "YOZ26hoXGnLU57eeOvoknSkvfO7jzCYxApGhSy1sgqq8SYS+HnDh1ggVYN2xnnHMRU5reonP4V/06z8svv8="),
        ("", "YOZ26hoXGnLU57eeOvoknSkvfO7jzCYxApGhSy1sgqq8SYS+HnDh1ggVYN2xnvse4awFqZNunRctgeOU6ds="),
    ],
)
def test_content_computed_apart_from_this_code(associated: str, cipher_text: str) -> None:
    assert decrypt_resource(KEY.encode(), "AEAD_AES_256_GCM", "abcdefghijkl", cipher_text, associated) == PLAIN


def test_the_sm4_key_computed_apart_from_this_code() -> None:
    assert sm3(KEY.encode())[:16].hex() == "96b40229f9bb664e89e4e5834c5c2b07"


# --- the openssl command line --------------------------------------------------------------------------------------


def openssl(folder: Path, *words: str) -> str:
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=True)
    return done.stdout.decode("latin-1")


def test_openssl_judges_our_authorization(keys: Keys, tmp_path: Path) -> None:
    key = RsaPrivateKey(keys.merchant)
    target, body = "/v3/pay/transactions/native?x=%7C", '{"description":"茶"}'.encode()
    value = authorization(key, Scheme.RSA, "1900000109", "5157F0", "POST", target, TIMESTAMP, NONCE, body)
    scheme, _, fields = value.partition(" ")
    found = dict(part.split("=", 1) for part in fields.split(","))
    assert scheme == "WECHATPAY2-SHA256-RSA2048"
    assert found["mchid"] == '"1900000109"'
    assert (found["serial_no"], found["timestamp"], found["nonce_str"]) == (
        '"5157F0"',
        f'"{TIMESTAMP}"',
        f'"{NONCE}"',
    )
    (tmp_path / "pub.pem").write_text(key.public().pem())
    (tmp_path / "sig").write_bytes(base64.b64decode(found["signature"].strip('"')))
    (tmp_path / "text").write_bytes(f"POST\n{target}\n{TIMESTAMP}\n{NONCE}\n".encode() + body + b"\n")
    assert "Verified OK" in openssl(tmp_path, "dgst", "-sha256", "-verify", "pub.pem", "-signature", "sig", "text")


def test_we_believe_what_openssl_signs(keys: Keys, tmp_path: Path) -> None:
    key = RsaPrivateKey(keys.old.key)
    (tmp_path / "key.pem").write_text(key.pem_pkcs1())
    (tmp_path / "text").write_bytes(reply_text(TIMESTAMP, NONCE, b"{}"))
    openssl(tmp_path, "dgst", "-sha256", "-sign", "key.pem", "-out", "sig", "text")
    signature = base64.b64encode((tmp_path / "sig").read_bytes()).decode()
    assert verify(reply_text(TIMESTAMP, NONCE, b"{}"), signature, key.public())


def test_openssl_reads_our_fields_and_we_read_its(keys: Keys, tmp_path: Path) -> None:
    key = RsaPrivateKey(keys.old.key)
    (tmp_path / "key.pem").write_text(key.pem_pkcs8())
    (tmp_path / "pub.pem").write_text(key.public().pem())
    padding = ["-pkeyopt", "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha1"]
    (tmp_path / "ours").write_bytes(base64.b64decode(encrypt_field("张三", key.public())))
    read = openssl(tmp_path, "pkeyutl", "-decrypt", "-inkey", "key.pem", *padding, "-in", "ours")
    assert read.encode("latin-1").decode() == "张三"
    (tmp_path / "plain").write_bytes("李四".encode())
    openssl(tmp_path, "pkeyutl", "-encrypt", "-pubin", "-inkey", "pub.pem", *padding, "-in", "plain", "-out", "theirs")
    assert decrypt_field(base64.b64encode((tmp_path / "theirs").read_bytes()).decode(), key) == "李四"


# --- round trips and flipped bytes -----------------------------------------------------------------------------------

SIGNER = RsaPrivateKey.generate()
OTHER = RsaPrivateKey.generate()


@given(body=st.binary(max_size=80), place=st.integers(0), bit=st.integers(0, 7))
def test_what_was_signed_verifies_and_nothing_else(body: bytes, place: int, bit: int) -> None:
    text = reply_text(TIMESTAMP, NONCE, body)
    signature = sign(text, SIGNER)
    assert verify(text, signature, SIGNER.public())
    assert not verify(text, signature, OTHER.public())
    flipped = bytearray(text)
    flipped[place % len(flipped)] ^= 1 << bit
    assert not verify(bytes(flipped), signature, SIGNER.public())
    broken = bytearray(base64.b64decode(signature))
    broken[place % len(broken)] ^= 1 << bit
    assert not verify(text, base64.b64encode(broken).decode(), SIGNER.public())


@given(plain=st.binary(max_size=80), associated=st.text(max_size=16), place=st.integers(0), bit=st.integers(0, 7))
def test_content_round_trips_and_a_flipped_byte_is_refused(plain: bytes, associated: str, place: int, bit: int) -> None:
    nonce = "abcdefghijkl"
    cipher = aes_gcm_encrypt(KEY.encode(), nonce.encode(), plain, associated.encode())
    text = base64.b64encode(cipher).decode()
    assert decrypt_resource(KEY.encode(), "AEAD_AES_256_GCM", nonce, text, associated) == plain
    broken = bytearray(cipher)
    broken[place % len(broken)] ^= 1 << bit
    for wrong in (
        (KEY.encode(), nonce, base64.b64encode(broken).decode(), associated),
        (KEY[::-1].encode(), nonce, text, associated),
        (KEY.encode(), nonce[::-1], text, associated),
        (KEY.encode(), nonce, text, associated + "x"),
    ):
        with pytest.raises(Unreadable):
            decrypt_resource(wrong[0], "AEAD_AES_256_GCM", *wrong[1:])


@given(text=st.text(st.characters(codec="utf-8"), max_size=50))
def test_fields_round_trip(text: str) -> None:
    assert decrypt_field(encrypt_field(text, SIGNER.public()), SIGNER) == text


def test_fields_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="214 bytes"):
        encrypt_field("茶" * 72, SIGNER.public())
    for cipher_text in ("", "!!", "AAAA", encrypt_field("x", OTHER.public())):
        with pytest.raises(Unreadable):
            decrypt_field(cipher_text, SIGNER)


@pytest.mark.parametrize("signature", ["", "!!", "AAAA", "茶", "WECHATPAY/SIGNTEST/AAAA"])
def test_what_is_no_signature(signature: str) -> None:
    assert not verify(b"text", signature, SIGNER.public())


@pytest.mark.parametrize(
    ("algorithm", "cipher_text"),
    [("AEAD_AES_256_GCM", "!!"), ("AEAD_AES_256_GCM", ""), ("AEAD_AES_256_GCM", "AAAA"), ("ROT13", "AAAA")],
)
def test_content_that_cannot_be(algorithm: str, cipher_text: str) -> None:
    with pytest.raises(Unreadable):
        decrypt_resource(KEY.encode(), algorithm, "abcdefghijkl", cipher_text, "")


# --- SM2, SM3, SM4 ---------------------------------------------------------------------------------------------------


@given(plain=st.binary(max_size=80), place=st.integers(0), bit=st.integers(0, 7))
def test_sm4_round_trips(plain: bytes, place: int, bit: int) -> None:
    key, nonce = sm3(b"k")[:16], b"abcdefghijkl"
    cipher = sm4_gcm_encrypt(key, nonce, plain, b"a")
    assert sm4_gcm_decrypt(key, nonce, cipher, b"a") == plain
    text = base64.b64encode(cipher).decode()
    assert decrypt_resource(key, "AEAD_SM4_GCM", "abcdefghijkl", text, "a") == plain
    broken = bytearray(cipher)
    broken[place % len(broken)] ^= 1 << bit
    with pytest.raises(ValueError, match="tag"):
        sm4_gcm_decrypt(key, nonce, bytes(broken), b"a")


@pytest.mark.parametrize("last", [b" ", b"\n", b"\r", b"\t", b"\x00"])
def test_binary_keys_are_taken_whole(last: bytes) -> None:
    """One binary key in forty ends in a byte that looks like white space."""
    assert der_from(b"\x30\x03\x02\x01" + last) == b"\x30\x03\x02\x01" + last


def test_openssl_judges_sm2_both_ways(tmp_path: Path) -> None:
    pytest.importorskip("tongsuopy", reason="SM2 is the extra `gm`")
    from tongbao.crypto import Sm2PrivateKey, Sm2PublicKey

    openssl(tmp_path, "ecparam", "-genkey", "-name", "SM2", "-noout", "-out", "ec.pem")
    openssl(tmp_path, "pkcs8", "-topk8", "-nocrypt", "-in", "ec.pem", "-out", "key.pem")
    openssl(tmp_path, "pkey", "-in", "key.pem", "-pubout", "-out", "pub.pem")
    identity = ["-rawin", "-digest", "sm3", "-pkeyopt", "distid:1234567812345678"]
    own = Sm2PrivateKey.load(tmp_path / "key.pem")
    theirs = Sm2PublicKey.load(tmp_path / "pub.pem")
    (tmp_path / "text").write_bytes(reply_text(TIMESTAMP, NONCE, b"{}"))
    (tmp_path / "sig").write_bytes(own.sign(reply_text(TIMESTAMP, NONCE, b"{}")))
    judged = openssl(
        tmp_path, "pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", *identity, "-in", "text", "-sigfile", "sig"
    )
    assert "Verified Successfully" in judged
    openssl(tmp_path, "pkeyutl", "-sign", "-inkey", "key.pem", *identity, "-in", "text", "-out", "sig2")
    signature = (tmp_path / "sig2").read_bytes()
    assert theirs.verify(signature, reply_text(TIMESTAMP, NONCE, b"{}"))
    assert not theirs.verify(signature, reply_text(TIMESTAMP, NONCE, b"{ }"))
    assert not theirs.verify(b"", b"")
    assert "***" in repr(own)
    with pytest.raises(Unreadable):
        decrypt_field("AAAA", own)
    with pytest.raises(ValueError, match="RSA mode"):
        encrypt_field("x", theirs)
