"""Uploads: /v3/merchant/media/upload and its siblings.

Rule: multipart/form-data with the part `meta` (JSON; exactly these bytes are signed) and the part `file`, whose SHA-256
is the one in `meta`. 2 MB for images (newer pages say 5), jpg, bmp or png. A boundary that the header does not name is
taken from the body's first line, because a client in use sends it so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tongbao.crypto import same, sha256_hex
from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import Text, check
from tongbao.simulators.wechatpay.model import Media
from tongbao.simulators.wechatpay.request import Call
from tongbao.transport import RawRequest

IMAGE_BYTES_MAX, VIDEO_BYTES_MAX = 2 << 20, 5 << 20
BODY_BYTES_MAX = VIDEO_BYTES_MAX + (1 << 16)
FIELDS = {
    "filename": Text("文件名称", 128),
    "sha256": Text("文件摘要", 64, 64, pattern="^[0-9a-fA-F]{64}$"),
}
_IMAGES = (".jpg", ".jpeg", ".bmp", ".png")
_VIDEOS = (".avi", ".wmv", ".mpeg", ".mp4", ".mov", ".mkv", ".flv", ".f4v", ".m4v", ".rmvb")
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_NAME, _FILE = re.compile(rb'[; ]name="([^"]*)"'), re.compile(rb'filename="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Upload:
    """The parts."""

    meta: bytes
    content: bytes
    file_name: str


def read_upload(raw: RawRequest) -> Upload:
    """Empty parts when the body is not of this form."""
    named = _BOUNDARY.search(raw.headers.get("content-type", ""))
    mark = b"--" + named[1].encode("latin-1") if named else raw.body.partition(b"\r\n")[0]
    found: dict[bytes, tuple[bytes, bytes]] = {}
    for part in raw.body.split(mark)[1:] if mark.startswith(b"--") else ():
        head, _, content = part.partition(b"\r\n\r\n")
        name, file_name = _NAME.search(head), _FILE.search(head)
        if name:
            found[name[1]] = (content.removesuffix(b"\r\n"), file_name[1] if file_name else b"")
    content, file_name_ = found.get(b"file", (b"", b""))
    return Upload(found.get(b"meta", (b"", b""))[0], content, file_name_.decode("utf-8", "replace"))


def image(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/merchant/media/upload."""
    return {"media_id": _kept(book, call, _IMAGES, IMAGE_BYTES_MAX).media_id}


def video(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/merchant/media/video_upload."""
    return {"media_id": _kept(book, call, _VIDEOS, VIDEO_BYTES_MAX).media_id}


def marketing_image(book: Book, call: Call) -> Mapping[str, Any]:
    """POST /v3/marketing/favor/media/image-upload."""
    made = _kept(book, call, _IMAGES, IMAGE_BYTES_MAX)
    return {"media_url": f"https://wx.qlogo.example/mmpay/{made.media_id}/0"}


def _kept(book: Book, call: Call, endings: tuple[str, ...], size_max: int) -> Media:
    check(call.body, FIELDS)
    name, digest = call.body["filename"], sha256_hex([call.document])
    if not name.lower().endswith(endings) or not call.document or not call.file_name:
        raise Refusal("upload_format")
    if len(call.document) > size_max:
        raise Refusal("upload_size")
    if not same(digest, call.body["sha256"].lower()):
        raise Refusal("upload_digest")
    media_id = f"{book.bank.token(64)}-{book.bank.token(8)}"
    return book.media.put(media_id, Media(media_id, call.merchant.mchid, name, digest, len(call.document)))
