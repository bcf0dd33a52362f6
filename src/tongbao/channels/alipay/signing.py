"""Alipay's signatures: canonical text, sign, verify, the signed part of an answer, content encryption. Pure.

Rule: what is verified is the text as it was received, never a re-serialisation; and what is parsed is exactly the span
that was verified. An answer is walked by the JSON decoder itself (`raw_decode` gives a value and where it ends), so
braces, quotes and escaped slashes inside strings cannot move the borders, and a name that occurs twice is refused.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from tongbao.crypto import Digest, RsaPrivateKey, RsaPublicKey, aes_cbc_decrypt, aes_cbc_encrypt, decode_base64

__all__ = [
    "Answer",
    "SignType",
    "Unreadable",
    "canonical_text",
    "decrypt_content",
    "encrypt_content",
    "open_answer",
    "sign",
    "signed_texts",
    "verify",
    "verify_answer",
]

ZERO_IV = bytes(16)
_NOT_SIGNED = frozenset({"sign"})
_ANSWER = json.JSONDecoder(parse_float=str, strict=False)
"""Amounts keep the spelling they arrived with, also where the gateway sends a JSON number."""


class SignType(StrEnum):
    """RSA2 is SHA-256 with RSA, the only one for new apps; RSA is SHA-1 with RSA, legacy."""

    RSA2 = "RSA2"
    RSA = "RSA"

    @property
    def digest(self) -> Digest:
        return _DIGESTS[self]


_DIGESTS = {SignType.RSA2: Digest.SHA256, SignType.RSA: Digest.SHA1}


class Unreadable(ValueError):
    """The body is not an answer of the gateway: no JSON object, or one without the expected node."""


# --- parameters --------------------------------------------------------------------------------------------------


def canonical_text(
    params: Mapping[str, str], *, without: frozenset[str] = _NOT_SIGNED, keep_empty: bool = False
) -> str:
    """`name=value` joined by `&`, sorted by name, raw values: what is signed of a set of parameters."""
    return "&".join(
        [
            f"{name}={value}"
            for name, value in sorted(params.items())
            if name not in without and name and (value or keep_empty)
        ]
    )


def sign(text: str, key: RsaPrivateKey, sign_type: SignType, charset: str) -> str:
    """Base64 of the RSASSA-PKCS1-v1_5 signature over `text` in `charset`."""
    return base64.b64encode(key.sign(text.encode(charset), sign_type.digest)).decode()


def verify(text: str, signature: str, key: RsaPublicKey, sign_type: SignType, charset: str) -> bool:
    """True when `signature` (base64) is the key's over `text` in `charset`; never raises for a bad one."""
    raw = decode_base64(signature)
    try:
        return raw is not None and key.verify(raw, text.encode(charset), sign_type.digest)
    except UnicodeEncodeError:
        return False


_V1 = frozenset({"sign", "sign_type"})
_V1_CERTIFICATE = _V1 | {"alipay_cert_sn"}
_V2 = frozenset({"sign"})


def signed_texts(params: Mapping[str, str]) -> Iterator[str]:
    """The texts that a notification's or return URL's signature may cover, the usual one first.

    Trade notifications leave out `sign` and `sign_type` ("V1"); events of the app gateway may keep `sign_type` ("V2").
    Sources disagree on empty values, and one leaves out `alipay_cert_sn`; every text here contains every value that
    is not one of these, so accepting any of them lets nothing through that Alipay did not sign.
    """
    has_empty = "" in params.values()
    for without in (_V1, _V2, _V1_CERTIFICATE) if "alipay_cert_sn" in params else (_V1, _V2):
        yield canonical_text(params, without=without, keep_empty=True)
        if has_empty:
            yield canonical_text(params, without=without)


# --- answers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's node, parsed, with the exact text that its signature covers."""

    name: str
    node: dict[str, Any] | str
    """An object; the cipher text when the content is encrypted."""
    signed_text: str
    signature: str | None
    certificate_serial: str | None


def open_answer(text: str, method: str) -> Answer:
    """Splits `{"<method>_response": node, "alipay_cert_sn": ..., "sign": ...}`, in any order; raises Unreadable.

    `error_response` stands for the node where the gateway failed before it knew the method.
    """
    spans = _members(text)
    for name in (method.replace(".", "_") + "_response", "error_response"):
        if name in spans:
            break
    else:
        raise Unreadable(f"neither an answer to {method} nor an error_response")
    node, start, end = spans[name]
    if not isinstance(node, dict | str):
        raise Unreadable("the answer's node is neither an object nor encrypted text")
    signature, serial = (spans[key][0] if key in spans else None for key in ("sign", "alipay_cert_sn"))
    return Answer(
        name=name,
        node=node,
        signed_text=text[start:end],
        signature=signature if isinstance(signature, str) and signature else None,
        certificate_serial=serial if isinstance(serial, str) and serial else None,
    )


def verify_answer(answer: Answer, key: RsaPublicKey, sign_type: SignType, charset: str) -> Answer | None:
    r"""The answer when its signature covers its node, else None.

    The gateway may escape slashes (`\/`) and have signed the other spelling. Then the node is read anew from the
    spelling that was verified.
    """
    if answer.signature is None:
        return None
    text = answer.signed_text
    if verify(text, answer.signature, key, sign_type, charset):
        return answer
    if "/" not in text:
        return None
    respelled = text.replace("\\/", "/") if "\\/" in text else text.replace("/", "\\/")
    if not verify(respelled, answer.signature, key, sign_type, charset):
        return None
    return replace(answer, signed_text=respelled, node=_value(respelled, 0)[0])


def _members(text: str) -> dict[str, tuple[Any, int, int]]:
    """The outer object's members as name -> (value, start, end); a name that occurs twice is refused."""
    found: dict[str, tuple[Any, int, int]] = {}
    at = _expect(text, _skip(text, 0), "{")
    while True:
        name, at = _value(text, at)
        if not isinstance(name, str) or name in found:
            raise Unreadable("a name occurs twice, or is no text")
        start = _skip(text, _expect(text, at, ":"))
        value, end = _value(text, start)
        found[name] = (value, start, end)
        at = _skip(text, end)
        if text[at : at + 1] == "}":
            break
        at = _skip(text, _expect(text, at, ","))
    if _skip(text, at + 1) != len(text):
        raise Unreadable("text after the end of the answer")
    return found


def _value(text: str, at: int) -> tuple[Any, int]:
    try:
        value, end = _ANSWER.raw_decode(text, _skip(text, at))
    except (ValueError, RecursionError):
        raise Unreadable("not a JSON object") from None
    return value, end


def _expect(text: str, at: int, mark: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != mark:
        raise Unreadable("not a JSON object")
    return at + 1


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


# --- content encryption ------------------------------------------------------------------------------------------


def encrypt_content(text: str, key: bytes, charset: str) -> str:
    """AES-CBC with PKCS#7 padding and 16 zero bytes as IV, base64: what replaces `biz_content`."""
    return base64.b64encode(aes_cbc_encrypt(key, text.encode(charset), ZERO_IV)).decode()


def decrypt_content(cipher_text: str, key: bytes, charset: str) -> dict[str, Any]:
    """The node that an encrypted answer holds. Verify first. Raises Unreadable for a text of another key."""
    raw = decode_base64(cipher_text)
    try:
        node = _ANSWER.decode(aes_cbc_decrypt(key, raw or b"", ZERO_IV).decode(charset))
    except (ValueError, RecursionError):
        raise Unreadable("the encrypted content does not belong to this AES key") from None
    if not isinstance(node, dict):
        raise Unreadable("the encrypted content is no JSON object")
    return node
