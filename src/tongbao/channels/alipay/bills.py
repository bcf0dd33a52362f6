"""Statement files: where they lie, and fetching one. Pure exchanges; `statement.py` reads what was fetched.

Source: bill download of the protocol. The address dies after 30 seconds and is fetched with a plain GET.
"""

from typing import cast

from tongbao.channels.alipay.account import Account
from tongbao.channels.alipay.answers import BillLocated
from tongbao.channels.alipay.calls import call
from tongbao.channels.exchange import Exchange
from tongbao.domain.errors import ChannelUnavailable
from tongbao.ports import Request


def bill_url(
    account: Account,
    *,
    bill_date: str,
    bill_type: str = "trade",
    smid: str | None = None,
    app_auth_token: str | None = None,
) -> Exchange[BillLocated]:
    """`alipay.data.dataservice.bill.downloadurl.query`.

    Args:
        bill_date: `2026-01-02` (ready about 09:00 China time on the next day) or `2026-01`.
        bill_type: `trade` (payments and refunds), `signcustomer` (movements of the balance), ...
        smid: the sub-merchant, for zft bills.
    """
    business = {"bill_type": bill_type, "bill_date": bill_date, "smid": smid}
    method = "alipay.data.dataservice.bill.downloadurl.query"
    return cast(BillLocated, (yield from call(account, method, business, app_auth_token=app_auth_token)))


def download_bill(
    account: Account,
    *,
    bill_date: str,
    bill_type: str = "trade",
    smid: str | None = None,
    app_auth_token: str | None = None,
) -> Exchange[bytes]:
    """Asks for the address and fetches the file: the bytes of a ZIP with two CSV files in GBK. Parameters as in
    `bill_url`. Raises ChannelUnavailable when the file does not come; ask again."""
    located = yield from bill_url(
        account, bill_date=bill_date, bill_type=bill_type, smid=smid, app_auth_token=app_auth_token
    )
    reply = yield Request("GET", located["bill_download_url"], timeouts=account.timeouts)
    if reply.status != 200:
        raise ChannelUnavailable(
            f"The bill's address answered HTTP {reply.status}; it lives for 30 seconds, ask again."
        )
    return reply.body
