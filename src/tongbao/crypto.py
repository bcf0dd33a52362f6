"""Cryptographic building blocks on top of `cryptography`: RSA keys, AES, HMAC, digests, certificates. Knows no channel.

Keys are loaded once and reused (a checked load costs a hundred times a signature). A private key may come as PEM
(PKCS#1 or PKCS#8), as one line of base64 without armour, with CRLF, as text, bytes or a path. SM2 needs the extra
`tongbao[gm]`, which is imported when the first SM2 key is read.
"""

import base64
import binascii
import hashlib
import hmac
import warnings
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KeySource = str | bytes | Path


class KeyUnreadable(ValueError):
    """A key or certificate could not be read; the message says what was expected, never what was given."""


class Digest(Enum):
    """Hash for an RSA signature."""

    SHA1 = "sha1"
    SHA256 = "sha256"


_HASHES: dict[Digest, hashes.HashAlgorithm] = {Digest.SHA1: hashes.SHA1(), Digest.SHA256: hashes.SHA256()}  # noqa: S303
_PKCS1V15 = rsa_padding.PKCS1v15()
_OAEP_SHA1 = rsa_padding.OAEP(rsa_padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303


def read_source(source: KeySource) -> bytes:
    """The bytes of a key given as text, bytes or path; a text that names an existing file is read as that file."""
    if isinstance(source, Path):
        return source.read_bytes()
    if isinstance(source, bytes):
        return source
    if "-----BEGIN" not in source and len(source) < 1024 and "\n" not in source and _is_file(source):
        return Path(source).read_bytes()
    return source.encode()


def _is_file(text: str) -> bool:
    """A bare base64 key may be too long for a file's name, which the system answers with an error of its own."""
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def der_from(source: KeySource) -> bytes:
    """DER bytes of a PEM block, of bare base64, or of DER itself."""
    raw = read_source(source)
    if raw[:1] == b"\x30" and b"-----" not in raw[:64]:
        return raw  # whose last byte may be a white space's
    lines = [line.strip() for line in raw.strip().replace(b"\r", b"\n").split(b"\n")]
    body = b"".join(line for line in lines if line and not line.startswith(b"-----") and b":" not in line)
    try:
        return base64.b64decode(body.replace(b" ", b""), validate=True)
    except binascii.Error:
        raise KeyUnreadable("neither PEM nor base64 DER; is the text cut off or wrapped in quotes?") from None


class RsaPublicKey:
    """An RSA public key that verifies and encrypts."""

    def __init__(self, key: rsa.RSAPublicKey) -> None:
        self.key = key

    @classmethod
    def load(cls, source: KeySource) -> "RsaPublicKey":
        """From SubjectPublicKeyInfo or PKCS#1, PEM or bare base64, or from a certificate's PEM."""
        if b"BEGIN CERTIFICATE" in read_source(source):
            key: object = load_certificates(source)[0].public_key()
        else:
            try:
                key = serialization.load_der_public_key(der_from(source))
            except (ValueError, TypeError, UnsupportedAlgorithm) as error:
                if isinstance(error, KeyUnreadable):
                    raise
                raise KeyUnreadable("not an RSA public key (expected SubjectPublicKeyInfo or PKCS#1)") from None
        if not isinstance(key, rsa.RSAPublicKey):
            raise KeyUnreadable("a public key, but not an RSA one")
        return cls(key)

    @property
    def bits(self) -> int:
        return self.key.key_size

    def verify(self, signature: bytes, data: bytes, digest: Digest = Digest.SHA256) -> bool:
        """True when `signature` is this key's over `data`; never raises for a bad one."""
        try:
            self.key.verify(signature, data, _PKCS1V15, _HASHES[digest])
        except InvalidSignature:
            return False
        return True

    def encrypt_oaep(self, data: bytes) -> bytes:
        """RSAES-OAEP with SHA-1 and MGF1-SHA-1."""
        return self.key.encrypt(data, _OAEP_SHA1)

    def pem(self) -> str:
        """SubjectPublicKeyInfo, PEM."""
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_bytes(serialization.Encoding.PEM, spki).decode()

    def bare(self) -> str:
        """SubjectPublicKeyInfo as one line of base64, the form that Alipay's console shows."""
        spki = serialization.PublicFormat.SubjectPublicKeyInfo
        return base64.b64encode(self.key.public_bytes(serialization.Encoding.DER, spki)).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RsaPublicKey) and self.key.public_numbers() == other.key.public_numbers()

    def __hash__(self) -> int:
        return hash(self.key.public_numbers())


class RsaPrivateKey:
    """An RSA private key that signs and decrypts. Prints as ***."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.key = key

    @classmethod
    def load(cls, source: KeySource) -> "RsaPrivateKey":
        """From PKCS#1 or PKCS#8, PEM or bare base64; raises KeyUnreadable."""
        try:
            key = serialization.load_der_private_key(der_from(source), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            if isinstance(error, KeyUnreadable):
                raise
            raise KeyUnreadable("not an unencrypted RSA private key (expected PKCS#1 or PKCS#8)") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise KeyUnreadable("a private key, but not an RSA one")
        return cls(key)

    @classmethod
    def generate(cls, bits: int = 2048) -> "RsaPrivateKey":
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=bits))

    @property
    def bits(self) -> int:
        return self.key.key_size

    def sign(self, data: bytes, digest: Digest = Digest.SHA256) -> bytes:
        """RSASSA-PKCS1-v1_5."""
        return self.key.sign(data, _PKCS1V15, _HASHES[digest])

    def decrypt_oaep(self, data: bytes) -> bytes:
        """RSAES-OAEP with SHA-1 and MGF1-SHA-1; raises ValueError."""
        return self.key.decrypt(data, _OAEP_SHA1)

    def public(self) -> RsaPublicKey:
        return RsaPublicKey(self.key.public_key())

    def pem_pkcs8(self) -> str:
        return self._bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8).decode()

    def pem_pkcs1(self) -> str:
        return self._bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL).decode()

    def bare_pkcs8(self) -> str:
        """PKCS#8 as one line of base64."""
        return base64.b64encode(self._bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8)).decode()

    def _bytes(self, encoding: serialization.Encoding, form: serialization.PrivateFormat) -> bytes:
        return self.key.private_bytes(encoding, form, serialization.NoEncryption())

    def __repr__(self) -> str:
        return "RsaPrivateKey(***)"


def load_certificates(source: KeySource) -> list[x509.Certificate]:
    """Every certificate of a PEM bundle that can be parsed, in file order; raises KeyUnreadable when none can.

    Bundles in the wild hold certificates that `cryptography` refuses (an ECDSA one whose AlgorithmIdentifier carries
    a NULL, SM2 ones), so each block is parsed by itself.
    """
    found = []
    for block in pem_blocks(source):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found.append(x509.load_der_x509_certificate(block))
        except ValueError:
            continue
    if not found:
        raise KeyUnreadable("no certificate that can be read")
    return found


def pem_blocks(source: KeySource) -> list[bytes]:
    """The DER bytes of each CERTIFICATE block in a PEM text."""
    text = read_source(source).replace(b"\r\n", b"\n").decode("ascii", "ignore")
    blocks = []
    for part in text.split("-----BEGIN CERTIFICATE-----")[1:]:
        body, mark, _ = part.partition("-----END CERTIFICATE-----")
        if not mark:
            raise KeyUnreadable("the certificate file is cut off: a BEGIN without its END")
        blocks.append(base64.b64decode("".join(body.split())))
    return blocks


def certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def aes_cbc_encrypt(key: bytes, plain: bytes, iv: bytes) -> bytes:
    """AES-CBC with PKCS#7 padding."""
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()


def aes_cbc_decrypt(key: bytes, cipher: bytes, iv: bytes) -> bytes:
    """The reverse; raises ValueError when the text is not of this key."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = padding.PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(cipher) + decryptor.finalize()) + unpadder.finalize()


def aes_gcm_encrypt(key: bytes, nonce: bytes, plain: bytes, associated: bytes = b"") -> bytes:
    """Cipher text with its 16-byte tag behind it."""
    return AESGCM(key).encrypt(nonce, plain, associated)


def aes_gcm_decrypt(key: bytes, nonce: bytes, cipher: bytes, associated: bytes = b"") -> bytes:
    """Raises ValueError when key, nonce, associated data or text do not belong together."""
    try:
        return AESGCM(key).decrypt(nonce, cipher, associated)
    except InvalidTag:
        raise ValueError("authentication tag mismatch") from None


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def same(left: str | bytes, right: str | bytes) -> bool:
    """Constant-time comparison."""
    first = left.encode() if isinstance(left, str) else left
    second = right.encode() if isinstance(right, str) else right
    return hmac.compare_digest(first, second)


def decode_base64(text: str | bytes) -> bytes | None:
    """Strict base64, None when it is not."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def sha256_hex(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


# --- SM2, SM3, SM4 -----------------------------------------------------------------------------------------------

_TAG_LENGTH = 16


def sm3(data: bytes) -> bytes:
    """The SM3 digest, 32 bytes."""
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


def sm4_gcm_encrypt(key: bytes, nonce: bytes, plain: bytes, associated: bytes = b"") -> bytes:
    """Cipher text with its 16-byte tag behind it."""
    encryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(associated)
    return encryptor.update(plain) + encryptor.finalize() + encryptor.tag


def sm4_gcm_decrypt(key: bytes, nonce: bytes, cipher: bytes, associated: bytes = b"") -> bytes:
    """Raises ValueError when key, nonce, associated data or text do not belong together."""
    text, tag = cipher[:-_TAG_LENGTH], cipher[-_TAG_LENGTH:]
    decryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce, tag)).decryptor()
    decryptor.authenticate_additional_data(associated)
    try:
        return decryptor.update(text) + decryptor.finalize()
    except InvalidTag:
        raise ValueError("authentication tag mismatch") from None


def _tongsuo() -> Any:
    """The extra's modules, or KeyUnreadable that says how to get them."""
    try:
        from tongsuopy.crypto import hashes as sm_hashes  # noqa: PLC0415 - an extra, paid for by who uses SM2
        from tongsuopy.crypto import serialization as sm_serialization  # noqa: PLC0415
        from tongsuopy.crypto.asymciphers import ec  # noqa: PLC0415
    except ImportError:
        raise KeyUnreadable("SM2 keys need the extra: pip install 'tongbao[gm]'") from None
    return sm_serialization, ec.ECDSA(sm_hashes.SM3())


class Sm2PublicKey:
    """An SM2 public key that verifies SM2-with-SM3 signatures (DER, under the standard's default identity)."""

    def __init__(self, key: Any) -> None:
        self._key = key
        self._algorithm = _tongsuo()[1]

    @classmethod
    def load(cls, source: KeySource) -> "Sm2PublicKey":
        """From SubjectPublicKeyInfo, PEM or bare base64; raises KeyUnreadable."""
        serialization_, _ = _tongsuo()
        try:
            return cls(serialization_.load_der_public_key(der_from(source)))
        except (ValueError, TypeError) as error:
            raise KeyUnreadable("not an SM2 public key") from error

    @classmethod
    def from_certificate(cls, der: bytes) -> "Sm2PublicKey":
        """The key of a certificate that `cryptography` reads but whose curve it does not know."""
        return cls.load(_public_key_der(der))

    def verify(self, signature: bytes, data: bytes) -> bool:
        """True when `signature` is this key's over `data`; never raises for a bad one."""
        try:
            self._key.verify(signature, data, self._algorithm)
        except Exception:  # its InvalidSignature and its parser's errors have no ancestor in common but this
            return False
        return True


class Sm2PrivateKey:
    """An SM2 private key that signs. Prints as ***."""

    def __init__(self, key: Any) -> None:
        self._key = key
        self._algorithm = _tongsuo()[1]

    @classmethod
    def load(cls, source: KeySource) -> "Sm2PrivateKey":
        """From PKCS#8, PEM or bare base64; raises KeyUnreadable."""
        serialization_, _ = _tongsuo()
        try:
            return cls(serialization_.load_der_private_key(der_from(source), None))
        except (ValueError, TypeError) as error:
            raise KeyUnreadable("not an unencrypted SM2 private key (expected PKCS#8)") from error

    def sign(self, data: bytes) -> bytes:
        """SM2 with SM3, DER."""
        signature: bytes = self._key.sign(data, self._algorithm)
        return signature

    def public(self) -> Sm2PublicKey:
        return Sm2PublicKey(self._key.public_key())

    def __repr__(self) -> str:
        return "Sm2PrivateKey(***)"


def _public_key_der(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate: the seventh member of its first member (the sixth without version)."""
    _, start, _ = _der_element(certificate, 0)
    _, at, _ = _der_element(certificate, start)
    skip = 6 if certificate[at] == 0xA0 else 5
    for _ in range(skip):
        at = _der_element(certificate, at)[2]
    return certificate[at : _der_element(certificate, at)[2]]


def _der_element(data: bytes, at: int) -> tuple[int, int, int]:
    """(tag, where its content begins, where it ends) of the DER element at `at`."""
    length, start = data[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(data[start : start + size], "big"), start + size
    return data[at], start, start + length
