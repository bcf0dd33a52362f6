"""The vault: secrets at rest. Envelope encryption, AES-256-GCM throughout.

Each value has a data key of its own; the data key is wrapped by the key-encryption key (KEK), whose id stands beside
it, so that a KEK can be changed by re-wrapping. `context` (`table|row|column`) is authenticated: a sealed value moved
to another row does not open.

Layout: version (1) | KEK id (8) | nonce (12) + wrapped data key (32 + 16) | nonce (12) + cipher text (n + 16).
"""

from collections.abc import Mapping
from hashlib import sha256

from tongbao.crypto import aes_gcm_decrypt, aes_gcm_encrypt
from tongbao.domain.errors import Misconfigured
from tongbao.ports import Ids

VERSION = b"\x01"
KEY_BYTES = 32


def key_id(kek: bytes) -> bytes:
    """Eight bytes that name a KEK without telling it."""
    return sha256(b"tongbao kek id" + kek).digest()[:8]


class Vault:
    """Seals with the first KEK, opens with any."""

    def __init__(self, keks: list[bytes], ids: Ids) -> None:
        if not keks or any(len(kek) != KEY_BYTES for kek in keks):
            raise Misconfigured("a key-encryption key is 32 bytes, base64; make one with: tongbao keys generate kek")
        self._current = keks[0]
        self._keks: Mapping[bytes, bytes] = {key_id(kek): kek for kek in keks}
        self._ids = ids

    def seal(self, plain: bytes, context: str) -> bytes:
        """The sealed value; different each time."""
        data_key, nonce, wrap_nonce = (self._ids.random_bytes(n) for n in (KEY_BYTES, 12, 12))
        named = key_id(self._current)
        wrapped = aes_gcm_encrypt(self._current, wrap_nonce, data_key, context.encode() + named)
        cipher = aes_gcm_encrypt(data_key, nonce, plain, context.encode())
        return VERSION + named + wrap_nonce + wrapped + nonce + cipher

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raises Misconfigured when the KEK is not configured, or the value was changed or moved."""
        named, wrap_nonce, wrapped = sealed[1:9], sealed[9:21], sealed[21:69]
        nonce, cipher = sealed[69:81], sealed[81:]
        kek = self._keks.get(named)
        if sealed[:1] != VERSION or kek is None:
            raise Misconfigured("a stored secret was sealed with a key-encryption key that is not configured here")
        try:
            data_key = aes_gcm_decrypt(kek, wrap_nonce, wrapped, context.encode() + named)
            return aes_gcm_decrypt(data_key, nonce, cipher, context.encode())
        except ValueError:
            raise Misconfigured(f"the stored secret {context} was changed or moved; restore it") from None
