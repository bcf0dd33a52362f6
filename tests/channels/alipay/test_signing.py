"""Alipay's signatures: foreign vectors, the openssl command line as judge, and one flipped byte refused."""

import base64
import json
import string
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.channels.alipay.conftest import Keys, signed_with
from tongbao.channels.alipay.certificates import root_serial_of, serial_of
from tongbao.channels.alipay.signing import (
    SignType,
    Unreadable,
    canonical_text,
    decrypt_content,
    encrypt_content,
    open_answer,
    sign,
    signed_texts,
    verify,
    verify_answer,
)
from tongbao.crypto import RsaPrivateKey, RsaPublicKey, load_certificates

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "alipay"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="the shared vectors lie beside the project, not in it")


def vectors(kind: str) -> list[Any]:
    if not VECTORS.is_dir():
        return []
    found = json.loads((VECTORS / "vectors.json").read_text())
    listed = found if isinstance(found, list) else found["vectors"]
    return [pytest.param(one, id=one["id"]) for one in listed if one["kind"] == kind]


def key_of(vector: dict[str, Any]) -> RsaPublicKey:
    if "public_key_spki_b64" in vector:
        return RsaPublicKey.load(vector["public_key_spki_b64"])
    return RsaPublicKey.load(VECTORS.parent / vector["verify_cert_file"])


# --- foreign vectors ---------------------------------------------------------------------------------------------


@needs_vectors
@pytest.mark.parametrize("vector", vectors("sign"))
def test_vectors_sign(vector: dict[str, Any]) -> None:
    text = canonical_text(vector["params"])
    assert text == vector["canonical"]
    key = RsaPrivateKey.load(vector["key_pkcs1_b64_der"])
    assert sign(text, key, SignType.RSA2, "utf-8") == vector["expected_sign"]


@needs_vectors
@pytest.mark.parametrize("vector", vectors("verify"))
def test_vectors_notifications(vector: dict[str, Any]) -> None:
    texts = list(signed_texts(vector["params"]))
    assert texts[0] == vector["canonical"]
    assert verify(texts[0], vector["signature"], key_of(vector), SignType.RSA2, "utf-8") is vector["valid"]


@needs_vectors
@pytest.mark.parametrize("vector", vectors("verify-response"))
def test_vectors_answers(vector: dict[str, Any]) -> None:
    name = vector.get("response_key", "alipay_fund_trans_uni_transfer_response")
    raw = vector.get("raw") or f'{{"{name}":{vector["content"]},"sign":"{vector["signature"]}"}}'
    answer = open_answer(raw, name.removesuffix("_response").replace("_", "."))
    assert answer.signed_text == vector["content"]
    assert (verify_answer(answer, key_of(vector), SignType.RSA2, "utf-8") is not None) is vector["valid"]


@needs_vectors
@pytest.mark.parametrize("vector", vectors("cert-sn"))
def test_vectors_certificate_serial(vector: dict[str, Any]) -> None:
    assert serial_of(load_certificates(VECTORS.parent / vector["file"])[0]) == vector["expected"]


@needs_vectors
@pytest.mark.parametrize("vector", vectors("root-cert-sn"))
def test_vectors_root_serial(vector: dict[str, Any]) -> None:
    """The bundle holds a certificate that `cryptography` refuses to parse."""
    assert root_serial_of(load_certificates(VECTORS.parent / vector["file"])) == vector["expected"]


def test_vector_content_encryption() -> None:
    """Computed apart from this code, for the protocol's fact sheet."""
    key = base64.b64decode("AAECAwQFBgcICQoLDA0ODw==")
    plain = '{"out_trade_no":"T1","total_amount":"0.01"}'
    cipher_text = "G7PYcjyAquhKW/Z/PmtCC1fSHY3Pe4buqfcvIGwq+uU1MXgzlIReOyXrKYrTStV0"
    assert encrypt_content(plain, key, "utf-8") == cipher_text
    assert decrypt_content(cipher_text, key, "utf-8") == json.loads(plain)


@pytest.mark.parametrize("cipher_text", ["", "AAAA", "not base64!", "A" * 24 + "==="])
def test_content_of_another_key(cipher_text: str) -> None:
    with pytest.raises(Unreadable):
        decrypt_content(cipher_text, bytes(16), "utf-8")


# --- the openssl command line --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sign_type", "digest"), [(SignType.RSA2, "-sha256"), (SignType.RSA, "-sha1")])
@pytest.mark.parametrize("charset", ["utf-8", "gbk"])
def test_openssl_judges_our_signatures(
    keys: Keys, tmp_path: Path, sign_type: SignType, digest: str, charset: str
) -> None:
    text = canonical_text({"subject": "茶 + 水", "app_id": "1", "empty": "", "sign": "x", "sign_type": sign_type.value})
    assert text == f"app_id=1&sign_type={sign_type.value}&subject=茶 + 水"
    key = RsaPrivateKey(keys.app)
    (tmp_path / "key.pem").write_text(key.pem_pkcs1())
    (tmp_path / "pub.pem").write_text(key.public().pem())
    (tmp_path / "text").write_bytes(text.encode(charset))
    ours = sign(text, key, sign_type, charset)
    (tmp_path / "sig").write_bytes(base64.b64decode(ours))
    judged = subprocess.run(
        ["openssl", "dgst", digest, "-verify", "pub.pem", "-signature", "sig", "text"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.stdout.strip() == "Verified OK"
    theirs = subprocess.run(
        ["openssl", "dgst", digest, "-sign", "key.pem", "text"], cwd=tmp_path, capture_output=True, check=True
    )
    assert verify(text, base64.b64encode(theirs.stdout).decode(), key.public(), sign_type, charset)


# --- parameters ----------------------------------------------------------------------------------------------------


def test_both_rules_for_sign_type_and_for_empty_values() -> None:
    params = {"b": "", "a": "1", "sign": "s", "sign_type": "RSA2", "alipay_cert_sn": "c"}
    assert list(signed_texts(params)) == [
        "a=1&alipay_cert_sn=c&b=",
        "a=1&alipay_cert_sn=c",
        "a=1&alipay_cert_sn=c&b=&sign_type=RSA2",
        "a=1&alipay_cert_sn=c&sign_type=RSA2",
        "a=1&b=",
        "a=1",
    ]
    assert list(signed_texts({"a": "1", "sign": "s"})) == ["a=1", "a=1"]


@pytest.mark.parametrize("signature", ["", "!!", "AAAA", "茶"])
def test_what_is_no_signature(keys: Keys, signature: str) -> None:
    assert not verify("a=1", signature, RsaPublicKey(keys.app.public_key()), SignType.RSA2, "utf-8")


def test_text_that_the_charset_lacks(keys: Keys) -> None:
    assert not verify("a=😀", "AAAA", RsaPublicKey(keys.app.public_key()), SignType.RSA2, "gbk")


# --- answers -------------------------------------------------------------------------------------------------------

METHOD = "alipay.trade.query"
NAME = "alipay_trade_query_response"


def answer_body(keys: Keys, node: str, *, signed: str | None = None, before: str = "", after: str = "") -> str:
    signature = signed_with(keys.alipay, (signed or node).encode())
    return f'{{{before}"{NAME}":{node}{after},"sign":"{signature}"}}'


TRICKY = [
    '{"code":"10000","subject":"}{\\"}\\\\"}',
    '{"code":"10000","subject":"a\\/b","sign":"inner","alipay_trade_query_response":{"x":"}"}}',
    '{ "code" : "10000" , "list" : [ { "a" : "]" } ] }',
    '{"code":"10000","subject":"茶😀\\u8336","amount":0.10}',
    '{"code":"10000","subject":"tab\there"}',
]


@pytest.mark.parametrize("node", TRICKY)
@pytest.mark.parametrize("serial", ["none", "before", "after"])
def test_the_signed_text_is_the_text_received(keys: Keys, node: str, serial: str) -> None:
    before = '"alipay_cert_sn":"abc",' if serial == "before" else ""
    after = ',"alipay_cert_sn":"abc"' if serial == "after" else ""
    answer = open_answer(answer_body(keys, node, before=before, after=after), METHOD)
    assert answer.signed_text == node
    assert answer.certificate_serial == (None if serial == "none" else "abc")
    assert verify_answer(answer, RsaPublicKey(keys.alipay.public_key()), SignType.RSA2, "utf-8") is answer
    assert isinstance(answer.node, dict)
    assert answer.node["code"] == "10000"


def test_amounts_keep_their_spelling(keys: Keys) -> None:
    answer = open_answer(answer_body(keys, '{"total_amount":0.10}'), METHOD)
    assert answer.node == {"total_amount": "0.10"}


@pytest.mark.parametrize(
    ("sent", "signed"),
    [
        ('{"url":"https:\\/\\/a"}', '{"url":"https://a"}'),
        ('{"url":"https://a"}', '{"url":"https:\\/\\/a"}'),
    ],
)
def test_escaped_slashes_in_either_spelling(keys: Keys, sent: str, signed: str) -> None:
    answer = open_answer(answer_body(keys, sent, signed=signed), METHOD)
    verified = verify_answer(answer, RsaPublicKey(keys.alipay.public_key()), SignType.RSA2, "utf-8")
    assert verified is not None
    assert verified.node == {"url": "https://a"}


def test_a_respelling_is_read_anew(keys: Keys) -> None:
    """`\\\\/` is a backslash and a slash; the text that was signed says only a slash."""
    answer = open_answer(answer_body(keys, '{"url":"a\\\\/b"}', signed='{"url":"a\\/b"}'), METHOD)
    verified = verify_answer(answer, RsaPublicKey(keys.alipay.public_key()), SignType.RSA2, "utf-8")
    assert verified is not None
    assert verified.node == {"url": "a/b"}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>502</html>",
        "[]",
        "{}",
        '{"other_response":{}}',
        f'{{"{NAME}":{{}}',
        f'{{"{NAME}":{{}}}} x',
        f'{{"{NAME}":{{}},"{NAME}":{{}}}}',
        f'{{"{NAME}":{{}},"sign":"a","sign":"b"}}',
        f'{{"{NAME}":[]}}',
        f'{{"{NAME}":1}}',
        f'{{1:{{}},"{NAME}":{{}}}}',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_what_is_no_answer(body: str) -> None:
    with pytest.raises(Unreadable):
        open_answer(body, METHOD)


def test_an_error_response_stands_for_the_node(keys: Keys) -> None:
    answer = open_answer('{"error_response":{"code":"40002"}}', METHOD)
    assert (answer.name, answer.node, answer.signature) == ("error_response", {"code": "40002"}, None)
    assert verify_answer(answer, RsaPublicKey(keys.alipay.public_key()), SignType.RSA2, "utf-8") is None


# --- one flipped byte ------------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=40)
params_sets = st.dictionaries(st.text(string.ascii_lowercase + "_", min_size=1, max_size=12), texts, max_size=8)
SIGNER = RsaPrivateKey.generate()
OTHER = RsaPrivateKey.generate()


@given(params=params_sets, place=st.integers(0), bit=st.integers(0, 7))
def test_what_was_signed_verifies_and_nothing_else(params: dict[str, str], place: int, bit: int) -> None:
    text = canonical_text({"app_id": "1", **params})
    signature = sign(text, SIGNER, SignType.RSA2, "utf-8")
    assert verify(text, signature, SIGNER.public(), SignType.RSA2, "utf-8")
    assert not verify(text, signature, SIGNER.public(), SignType.RSA, "utf-8")
    assert not verify(text, signature, OTHER.public(), SignType.RSA2, "utf-8")
    flipped = bytearray(text.encode())
    flipped[place % len(flipped)] ^= 1 << bit
    raw = base64.b64decode(signature)
    assert not SIGNER.public().verify(raw, bytes(flipped))
    broken = bytearray(raw)
    broken[place % len(broken)] ^= 1 << bit
    assert not verify(text, base64.b64encode(broken).decode(), SIGNER.public(), SignType.RSA2, "utf-8")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(
    node=st.dictionaries(texts, json_values, max_size=5),
    ascii_only=st.booleans(),
    serial_first=st.booleans(),
    place=st.integers(0),
    bit=st.integers(0, 6),
)
def test_any_answer_is_taken_apart_where_it_was_put_together(
    node: dict[str, Any], ascii_only: bool, serial_first: bool, place: int, bit: int
) -> None:
    text = json.dumps(node, ensure_ascii=ascii_only)
    signature = sign(text, SIGNER, SignType.RSA2, "utf-8")
    serial = '"alipay_cert_sn":"c"'
    members = [serial, f'"{NAME}":{text}'] if serial_first else [f'"{NAME}":{text}', serial]
    body = "{" + ",".join([*members, f'"sign":"{signature}"']) + "}"
    answer = open_answer(body, METHOD)
    assert (answer.signed_text, answer.node) == (text, node)
    assert verify_answer(answer, SIGNER.public(), SignType.RSA2, "utf-8") is answer

    broken = bytearray(body.encode())
    start = body.encode().index(NAME.encode()) + len(NAME) + 2
    broken[start + place % len(text.encode())] ^= 1 << bit
    try:
        forged = open_answer(broken.decode(), METHOD)
    except (Unreadable, UnicodeDecodeError):
        return
    verified = verify_answer(forged, SIGNER.public(), SignType.RSA2, "utf-8")
    assert verified is None or verified.node == node
