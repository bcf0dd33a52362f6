"""A call as WeChat Pay wants it sent: address, signed headers, body, multipart. Pure.

Rule: what is signed is what is sent, byte for byte: the path is percent-encoded first and the body serialised once. The
path that is signed is WeChat's own; a prefix of `gateway_url` (a proxy in front of it) is not part of it. Source:
transport, request signing and uploads of the protocol.
"""

import hashlib
from collections.abc import Mapping
from urllib.parse import quote, urlencode, urlsplit

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.signing import authorization
from tongbao.channels.wechatpay.values import body_bytes
from tongbao.domain.errors import InvalidInput
from tongbao.ports import Request

USER_AGENT = "tongbao-wechatpay/1"
NONCE_BYTES = 16
IMAGE_BYTES_MAX = 2 * 1024 * 1024
IMAGE_TYPES = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "bmp": "image/bmp", "png": "image/png"}


def segment(text: str, param: str) -> str:
    """A value as one part of a path: `|` becomes `%7C`, a slash cannot break out."""
    if not isinstance(text, str) or not text or text in (".", ".."):
        raise InvalidInput(f"{param} is missing", param=param)
    return quote(text, safe="")


def target_of(path: str, query: Mapping[str, object] | None) -> str:
    """The path with its query, as it is signed and sent. None values are left out."""
    if not path.startswith("/") or any(mark in path for mark in "?# \r\n"):
        raise InvalidInput("a path begins with / and holds no query: give that as `query`", param="path")
    pairs = [(name, str(value)) for name, value in (query or {}).items() if value is not None]
    return f"{path}?{urlencode(pairs, quote_via=quote)}" if pairs else path


def signed_request(
    account: Account,
    method: str,
    target: str,
    body: Mapping[str, object] | None = None,
    serial: str | None = None,
) -> Request:
    """Any call with a JSON body (None: no body). `serial` names the WeChat key that encrypted fields of the body, in
    place of the key by which the reply is to be signed."""
    raw = b"" if body is None else body_bytes(body)
    headers = _headers(account, method, target, raw, serial)
    if body is not None:
        headers["content-type"] = "application/json"
    return Request(method, account.gateway_url + target, headers, raw, account.timeouts)


def file_request(account: Account, url: str) -> Request:
    """Fetching a file from an address that WeChat told; its path and query are signed as they were told."""
    prefix = urlsplit(account.gateway_url).path
    parts = urlsplit(url)
    path = parts.path.removeprefix(prefix) if url.startswith(account.gateway_url + "/") else parts.path
    target = f"{path}?{parts.query}" if parts.query else path
    return Request("GET", url, _headers(account, "GET", target, b"", None), b"", account.timeouts)


def upload_request(account: Account, path: str, filename: str, content: bytes) -> Request:
    """A multipart upload; what is signed is the text of its `meta` part."""
    kind = IMAGE_TYPES.get(filename.rpartition(".")[2].lower())
    if kind is None or len(filename) > 128 or any(mark in filename for mark in '"\\\r\n/'):
        raise InvalidInput("an image's name ends in jpg, bmp or png and has no quotes or slashes", param="filename")
    if not content or len(content) > IMAGE_BYTES_MAX:
        raise InvalidInput("an image has 1 byte to 2 MB", param="content")
    meta = body_bytes({"filename": filename, "sha256": hashlib.sha256(content).hexdigest()})
    boundary = account.ids.random_bytes(NONCE_BYTES).hex()
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="meta"\r\nContent-Type: application/json\r\n\r\n'
    part = (
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    body = head.encode() + meta + part.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    headers = _headers(account, "POST", path, meta, None)
    headers["content-type"] = f"multipart/form-data; boundary={boundary}"
    return Request("POST", account.gateway_url + path, headers, body, account.timeouts)


def timestamp_and_nonce(account: Account) -> tuple[str, str]:
    """Seconds of the account's clock, and 32 hexadecimal digits of chance."""
    return str(int(account.clock.now().timestamp())), account.ids.random_bytes(NONCE_BYTES).hex().upper()


def _headers(account: Account, method: str, target: str, signed: bytes, serial: str | None) -> dict[str, str]:
    timestamp, nonce = timestamp_and_nonce(account)
    headers = {
        "authorization": authorization(
            account.private_key,
            account.scheme,
            account.mchid,
            account.serial,
            method,
            target,
            timestamp,
            nonce,
            signed,
        ),
        "accept": "application/json",
        "user-agent": USER_AGENT,
    }
    if serial is None:
        newest = account.keys.newest(account.clock.now())
        serial = newest.serial if newest is not None else None
    if serial is not None:
        headers["wechatpay-serial"] = serial
    return headers
