"""Bill files: where they lie, and fetching one. Pure exchanges; `statement.py` reads what was fetched.

Rule: the file itself is not signed; its SHA-1, told in a signed answer, is what makes it WeChat's. Source: bills of the
protocol. The address dies within 30 seconds to 5 minutes and is used at once.
"""

import hashlib
import zlib
from typing import cast

from tongbao.channels.wechatpay.account import Account
from tongbao.channels.wechatpay.answers import BillLocated
from tongbao.channels.wechatpay.calls import Exchange, call
from tongbao.channels.wechatpay.requests import file_request
from tongbao.crypto import same
from tongbao.domain.errors import ChannelUnavailable, MessageNotTrusted

GZIP_START = b"\x1f\x8b"
FILE_BYTES_MAX = 1024 * 1024 * 1024


def bill_url(
    account: Account,
    *,
    bill_date: str,
    bill_type: str | None = None,
    gzipped: bool = False,
    sub_mchid: str | None = None,
) -> Exchange[BillLocated]:
    """`/v3/bill/tradebill`: payments and refunds of a day.

    Args:
        account: set by the client.
        bill_date: `2026-01-02`, ready about 10:00 China time on the next day, for 3 months.
        bill_type: ALL (default), SUCCESS or REFUND.
        gzipped: fetched compressed.
        sub_mchid: of one merchant (partner).
    """
    query = {
        "bill_date": bill_date,
        "sub_mchid": sub_mchid or account.sub_mchid,
        "bill_type": bill_type,
        "tar_type": "GZIP" if gzipped else None,
    }
    return cast(BillLocated, (yield from call(account, "GET", "/v3/bill/tradebill", query=query)))


def fund_flow_url(
    account: Account, *, bill_date: str, account_type: str | None = None, gzipped: bool = False
) -> Exchange[BillLocated]:
    """`/v3/bill/fundflowbill`: every movement of the merchant's money on a day.

    Args:
        bill_date, gzipped: as in `bill_url`.
        account_type: BASIC (default), OPERATION or FEES.
    """
    query = {"bill_date": bill_date, "account_type": account_type, "tar_type": "GZIP" if gzipped else None}
    return cast(BillLocated, (yield from call(account, "GET", "/v3/bill/fundflowbill", query=query)))


def profit_bill_url(
    account: Account, *, bill_date: str, gzipped: bool = False, sub_mchid: str | None = None
) -> Exchange[BillLocated]:
    """`/v3/profitsharing/bills`: the shares of a day. Parameters as in `bill_url`."""
    query = {
        "bill_date": bill_date,
        "sub_mchid": sub_mchid or account.sub_mchid,
        "tar_type": "GZIP" if gzipped else None,
    }
    return cast(BillLocated, (yield from call(account, "GET", "/v3/profitsharing/bills", query=query)))


def download_bill(
    account: Account, *, bill_date: str, bill_type: str | None = None, sub_mchid: str | None = None
) -> Exchange[bytes]:
    """The trade bill of a day, fetched compressed, its hash checked: the bytes of a CSV in UTF-8 (see `statement.py`).
    Parameters as in `bill_url`. Raises ChannelUnavailable when the file does not come; ask again."""
    located = yield from bill_url(account, bill_date=bill_date, bill_type=bill_type, gzipped=True, sub_mchid=sub_mchid)
    return (yield from download_file(account, located))


def download_fund_flow(account: Account, *, bill_date: str, account_type: str | None = None) -> Exchange[bytes]:
    """The fund-flow bill of a day, as `download_bill`. Parameters as in `fund_flow_url`."""
    located = yield from fund_flow_url(account, bill_date=bill_date, account_type=account_type, gzipped=True)
    return (yield from download_file(account, located))


def download_file(account: Account, located: BillLocated) -> Exchange[bytes]:
    """Fetches what one of the `..._url` methods located, and checks its hash. Raises MessageNotTrusted for a file that
    is not the one that was told."""
    reply = yield file_request(account, located["download_url"])
    if reply.status != 200:
        raise ChannelUnavailable(
            f"The bill's address answered HTTP {reply.status}; it lives for a short time only, ask again.",
            channel_request_id=reply.headers.get("request-id"),
        )
    data = _unpacked(reply.body)
    told, kind = str(located.get("hash_value", "")), str(located.get("hash_type", ""))
    found = hashlib.new("sha1", data, usedforsecurity=False).hexdigest()
    if kind.upper() != "SHA1" or not same(found, told.strip().lower()):
        raise MessageNotTrusted("the bill's content is not the one whose hash was told; fetch it again")
    return data


def _unpacked(raw: bytes) -> bytes:
    """The hash is of the file before it was packed."""
    if not raw.startswith(GZIP_START):
        return raw
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        data = unpacker.decompress(raw, FILE_BYTES_MAX)
    except zlib.error as error:
        raise ChannelUnavailable(f"The bill arrived damaged ({error}); fetch it again.") from None
    if not unpacker.eof:
        raise ChannelUnavailable("The bill arrived cut off, or is too large; fetch it again.")
    return data
