"""WeChat Pay's signatures: the three texts that are signed, sign, verify, decrypt, the fields that are encrypted. Pure.

Rule: what is signed is what is sent, byte for byte, and what is verified are the bytes as they came, before anything
reads them. Keys are handed in; which key is believed is decided in `certificates.py`. Source: request signing, response
verification and AES-256-GCM of the protocol.
"""

import base64
from enum import StrEnum
from typing import Protocol

from tongbao.crypto import RsaPrivateKey, RsaPublicKey, aes_gcm_decrypt, decode_base64, sm4_gcm_decrypt

__all__ = [
    "Scheme",
    "SigningKey",
    "Unreadable",
    "VerifyingKey",
    "authorization",
    "decrypt_field",
    "decrypt_resource",
    "encrypt_field",
    "pay_text",
    "reply_text",
    "request_text",
    "sign",
    "verify",
]

PROBE_START = "WECHATPAY/SIGNTEST/"
"""WeChat now and then sends a signature that is false on purpose and begins so, to see that it is refused."""
OAEP_BYTES_MAX = 214


class Scheme(StrEnum):
    """The kind of signature, as it stands in `Authorization` and `Wechatpay-Signature-Type`."""

    RSA = "WECHATPAY2-SHA256-RSA2048"
    SM2 = "WECHATPAY2-SM2-WITH-SM3"


class SigningKey(Protocol):
    """RsaPrivateKey or Sm2PrivateKey."""

    def sign(self, data: bytes) -> bytes: ...


class VerifyingKey(Protocol):
    """RsaPublicKey or Sm2PublicKey."""

    def verify(self, signature: bytes, data: bytes) -> bool: ...


class Unreadable(ValueError):
    """An encrypted text does not belong to the key, or is none."""


def request_text(method: str, target: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """What is signed of a request; `target` is the path with its query exactly as sent."""
    return f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def reply_text(timestamp: str, nonce: str, body: bytes) -> bytes:
    """What is signed of a reply or of a notification."""
    return f"{timestamp}\n{nonce}\n".encode() + body + b"\n"


def pay_text(appid: str, timestamp: str, nonce: str, package: str) -> bytes:
    """What is signed for the buyer's app: `prepay_id=...` for JSAPI, the bare id for an app."""
    return f"{appid}\n{timestamp}\n{nonce}\n{package}\n".encode()


def sign(text: bytes, key: SigningKey) -> str:
    """Base64 of the key's signature."""
    return base64.b64encode(key.sign(text)).decode()


def verify(text: bytes, signature: str, key: VerifyingKey) -> bool:
    """True when `signature` (base64) is the key's over `text`; never raises for a bad one."""
    raw = decode_base64(signature)
    return raw is not None and key.verify(raw, text)


def authorization(
    key: SigningKey,
    scheme: Scheme,
    mchid: str,
    serial: str,
    method: str,
    target: str,
    timestamp: str,
    nonce: str,
    body: bytes,
) -> str:
    """The value of the `Authorization` header."""
    signature = sign(request_text(method, target, timestamp, nonce, body), key)
    return (
        f'{scheme.value} mchid="{mchid}",nonce_str="{nonce}",timestamp="{timestamp}",'
        f'serial_no="{serial}",signature="{signature}"'
    )


# --- encryption --------------------------------------------------------------------------------------------------

_DECRYPT = {
    "AEAD_AES_256_GCM": aes_gcm_decrypt,
    "AEAD_SM4_GCM": sm4_gcm_decrypt,
}


def decrypt_resource(key: bytes, algorithm: str, nonce: str, ciphertext: str, associated_data: str) -> bytes:
    """The plain text of a notification's resource or of a certificate; raises Unreadable.

    `key` is what the algorithm takes: the APIv3 key's 32 bytes, or the 16 that SM4 derives from them.
    """
    decrypt = _DECRYPT.get(algorithm)
    raw = decode_base64(ciphertext)
    if decrypt is None or raw is None:
        raise Unreadable(f"encrypted with {algorithm[:32]!r}" if decrypt is None else "the cipher text is not base64")
    try:
        return decrypt(key, nonce.encode(), raw, associated_data.encode())
    except ValueError:
        raise Unreadable("the cipher text does not belong to this APIv3 key") from None


def encrypt_field(text: str, key: VerifyingKey) -> str:
    """A sensitive field as WeChat takes it: RSAES-OAEP (SHA-1), base64; raises ValueError for more than 214 bytes."""
    if not isinstance(key, RsaPublicKey):
        raise ValueError("sensitive fields are encrypted in RSA mode only")
    data = text.encode()
    if len(data) > OAEP_BYTES_MAX:
        raise ValueError(f"a sensitive field has at most {OAEP_BYTES_MAX} bytes")
    return base64.b64encode(key.encrypt_oaep(data)).decode()


def decrypt_field(ciphertext: str, key: SigningKey) -> str:
    """A sensitive field that WeChat encrypted for the merchant; raises Unreadable."""
    raw = decode_base64(ciphertext)
    if raw is None or not isinstance(key, RsaPrivateKey):
        raise Unreadable("the field is not base64, or the account is not in RSA mode")
    try:
        return key.decrypt_oaep(raw).decode()
    except ValueError:
        raise Unreadable("the field was not encrypted for this merchant key") from None
