"""Images for WeChat: what other calls refer to by `media_id`. Pure exchanges. Source: uploads of the protocol."""

from typing import cast

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.answers import Uploaded
from tongbao.channels.wechatpay.calls import Exchange, read_reply
from tongbao.channels.wechatpay.requests import upload_request

IMAGES = "/v3/merchant/media/upload"


def upload_image(account: Account, filename: str, content: bytes, *, path: str = IMAGES) -> Exchange[Uploaded]:
    """Uploads an image (jpg, bmp, png; at most 2 MB) and returns its `media_id`.

    Args:
        account: set by the client.
        filename: ends in the image's kind; at most 128 characters.
        content: the file's bytes.
        path: of a sibling, e.g. `/v3/marketing/favor/media/image-upload` (answers `media_url`).
    """
    reply = yield upload_request(account, path, filename, content)
    return cast(Uploaded, (yield from read_reply(account, "POST", path, reply)))
