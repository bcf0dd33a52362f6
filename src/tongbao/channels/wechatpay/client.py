"""WeChat Pay's API for direct use: `WechatPayClient` (blocking) and `AsyncWechatPayClient`, two shells over one core.

Rule: a method is written once, as an exchange (see `calls.py`), and bound here by name; a shell only moves requests
and replies. Parameters and results are documented at the exchange, which `help()` and the editor show.
"""

from abc import ABC, abstractmethod
from typing import Generic, Self, TypeVar

from tongbao.channels.exchange import (
    Exchange,
    OneFlight,
    OneFlightAwaited,
    awaitable,
    blocking,
    drive,
    drive_awaiting,
    offline,
)
from tongbao.channels.wechatpay import (
    bills,
    calls,
    combined,
    funds,
    notifications,
    refunds,
    settlements,
    trades,
    uploads,
)
from tongbao.channels.wechatpay.account import PRODUCTION_URL, Account, open_account
from tongbao.crypto import KeySource
from tongbao.ports import Clock, Ids, SyncTransport, Timeouts, Transport
from tongbao.transport import AiohttpTransport, HttpcoreTransport

T = TypeVar("T")
AnyTransport = TypeVar("AnyTransport")


class _Shell(ABC, Generic[AnyTransport]):
    """What both clients are: an opened account and a way out.

    Args:
        mchid: the merchant number.
        merchant_private_key: apiclient_key.pem: PEM (PKCS#1 or PKCS#8), one line of base64, bytes, or a path.
        merchant_serial: the serial of apiclient_cert.pem, 40 hexadecimal digits; or
        merchant_cert: that file itself.
        apiv3_key: 32 characters, from the merchant console.
        appid: the app that orders are made for; methods take another one.
        public_key_id, public_key: public-key mode: `PUB_KEY_ID_...` and pub_key.pem. Without them, and during the
            switch beside them, platform certificates are fetched by themselves.
        platform_certs: certificates of WeChat's to begin with (PEM), where they are kept.
        platform_root: the root that platform certificates must lead to; not checked where absent.
        sub_mchid, sub_appid: acting for a merchant (partner mode); methods take others.
        gateway_url: `account.PRODUCTION_URL` or `account.BACKUP_URL`, or a simulator's.
        sm_mode: SM2, SM3 and SM4 in place of RSA and AES; needs `tongbao[gm]` and WeChat's invitation.
        clock: tells the time; the machine's where absent.
        ids: draws nonces; the machine's where absent.
        timeouts: to connect 5 s, until the answer's headers 10 s, in total 30 s.
        transport: how requests leave; the real one where absent.

    Many methods take `appid`, `sub_mchid` and `sub_appid` (in place of the client's own) and `more` (further fields,
    under WeChat's names).

    Raises:
        InvalidInput: a key or setting cannot be right; `param` names it.
    """

    def __init__(
        self,
        *,
        mchid: str,
        merchant_private_key: KeySource,
        apiv3_key: str,
        merchant_serial: str | None = None,
        merchant_cert: KeySource | None = None,
        appid: str | None = None,
        public_key_id: str | None = None,
        public_key: KeySource | None = None,
        platform_certs: KeySource | None = None,
        platform_root: KeySource | None = None,
        sub_mchid: str | None = None,
        sub_appid: str | None = None,
        gateway_url: str = PRODUCTION_URL,
        sm_mode: bool = False,
        clock: Clock | None = None,
        ids: Ids | None = None,
        timeouts: Timeouts | None = None,
        transport: AnyTransport | None = None,
    ) -> None:
        account = open_account(
            mchid=mchid,
            merchant_private_key=merchant_private_key,
            apiv3_key=apiv3_key,
            merchant_serial=merchant_serial,
            merchant_cert=merchant_cert,
            appid=appid,
            public_key_id=public_key_id,
            public_key=public_key,
            platform_certs=platform_certs,
            platform_root=platform_root,
            sub_mchid=sub_mchid,
            sub_appid=sub_appid,
            gateway_url=gateway_url,
            sm_mode=sm_mode,
            clock=clock,
            ids=ids,
            timeouts=timeouts,
        )
        self._set_up(account, transport)

    @classmethod
    def opened(cls, account: Account, transport: AnyTransport) -> Self:
        """A client for an account that is open already."""
        client = cls.__new__(cls)
        client._set_up(account, transport)
        return client

    def _set_up(self, account: Account, transport: AnyTransport | None) -> None:
        self.account = account
        self._list_url = account.gateway_url + calls.certificates_target(account)
        self._find_way(transport)

    @abstractmethod
    def _find_way(self, transport: AnyTransport | None) -> None:
        """How requests leave; the list of certificates is asked for by one at a time."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mchid={self.account.mchid!r}, gateway_url={self.account.gateway_url!r})"


class WechatPayClient(_Shell[SyncTransport]):
    """WeChat Pay, blocking. Share one between threads; leave it with `disconnect()` or a `with`."""

    _own: HttpcoreTransport | None = None

    jsapi_params = offline(trades.jsapi_params)
    app_params = offline(trades.app_params)
    h5_address = offline(trades.h5_address)
    verify_notification = offline(notifications.verify_notification)
    decrypt_field = offline(notifications.decrypt_field)

    call = blocking(calls.call)
    encrypted = blocking(calls.encrypted)
    load_certificates = blocking(calls.load_certificates)
    receive_notification = blocking(notifications.receive_notification)
    native_pay = blocking(trades.native_pay)
    jsapi_pay = blocking(trades.jsapi_pay)
    app_pay = blocking(trades.app_pay)
    h5_pay = blocking(trades.h5_pay)
    code_pay = blocking(trades.code_pay)
    query = blocking(trades.query)
    close = blocking(trades.close)
    reverse = blocking(trades.reverse)
    combined_pay = blocking(combined.combined_pay)
    combined_query = blocking(combined.combined_query)
    combined_close = blocking(combined.combined_close)
    refund = blocking(refunds.refund)
    refund_query = blocking(refunds.refund_query)
    abnormal_refund = blocking(refunds.abnormal_refund)
    bill_url = blocking(bills.bill_url)
    fund_flow_url = blocking(bills.fund_flow_url)
    profit_bill_url = blocking(bills.profit_bill_url)
    download_bill = blocking(bills.download_bill)
    download_fund_flow = blocking(bills.download_fund_flow)
    download_file = blocking(bills.download_file)
    transfer = blocking(funds.transfer)
    transfer_query = blocking(funds.transfer_query)
    transfer_cancel = blocking(funds.transfer_cancel)
    batch_transfer = blocking(funds.batch_transfer)
    batch_query = blocking(funds.batch_query)
    batch_detail_query = blocking(funds.batch_detail_query)
    profit_share = blocking(settlements.profit_share)
    profit_share_query = blocking(settlements.profit_share_query)
    profit_unfreeze = blocking(settlements.profit_unfreeze)
    profit_return = blocking(settlements.profit_return)
    profit_return_query = blocking(settlements.profit_return_query)
    profit_unsplit = blocking(settlements.profit_unsplit)
    profit_ratio = blocking(settlements.profit_ratio)
    receiver_add = blocking(settlements.receiver_add)
    receiver_delete = blocking(settlements.receiver_delete)
    upload_image = blocking(uploads.upload_image)

    def _find_way(self, transport: SyncTransport | None) -> None:
        if transport is None:
            transport = self._own = HttpcoreTransport()
        self._way = OneFlight(transport, self._list_url)

    def run(self, exchange: Exchange[T]) -> T:
        """Drives any exchange to its result."""
        return drive(exchange, self._way)

    def disconnect(self) -> None:
        """Closes the connections of the client's own transport; one that was handed in is its maker's."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()


class AsyncWechatPayClient(_Shell[Transport]):
    """WeChat Pay, asynchronous. Use it within one event loop; leave it with `disconnect()` or an `async with`."""

    _own: AiohttpTransport | None = None

    jsapi_params = offline(trades.jsapi_params)
    app_params = offline(trades.app_params)
    h5_address = offline(trades.h5_address)
    verify_notification = offline(notifications.verify_notification)
    decrypt_field = offline(notifications.decrypt_field)

    call = awaitable(calls.call)
    encrypted = awaitable(calls.encrypted)
    load_certificates = awaitable(calls.load_certificates)
    receive_notification = awaitable(notifications.receive_notification)
    native_pay = awaitable(trades.native_pay)
    jsapi_pay = awaitable(trades.jsapi_pay)
    app_pay = awaitable(trades.app_pay)
    h5_pay = awaitable(trades.h5_pay)
    code_pay = awaitable(trades.code_pay)
    query = awaitable(trades.query)
    close = awaitable(trades.close)
    reverse = awaitable(trades.reverse)
    combined_pay = awaitable(combined.combined_pay)
    combined_query = awaitable(combined.combined_query)
    combined_close = awaitable(combined.combined_close)
    refund = awaitable(refunds.refund)
    refund_query = awaitable(refunds.refund_query)
    abnormal_refund = awaitable(refunds.abnormal_refund)
    bill_url = awaitable(bills.bill_url)
    fund_flow_url = awaitable(bills.fund_flow_url)
    profit_bill_url = awaitable(bills.profit_bill_url)
    download_bill = awaitable(bills.download_bill)
    download_fund_flow = awaitable(bills.download_fund_flow)
    download_file = awaitable(bills.download_file)
    transfer = awaitable(funds.transfer)
    transfer_query = awaitable(funds.transfer_query)
    transfer_cancel = awaitable(funds.transfer_cancel)
    batch_transfer = awaitable(funds.batch_transfer)
    batch_query = awaitable(funds.batch_query)
    batch_detail_query = awaitable(funds.batch_detail_query)
    profit_share = awaitable(settlements.profit_share)
    profit_share_query = awaitable(settlements.profit_share_query)
    profit_unfreeze = awaitable(settlements.profit_unfreeze)
    profit_return = awaitable(settlements.profit_return)
    profit_return_query = awaitable(settlements.profit_return_query)
    profit_unsplit = awaitable(settlements.profit_unsplit)
    profit_ratio = awaitable(settlements.profit_ratio)
    receiver_add = awaitable(settlements.receiver_add)
    receiver_delete = awaitable(settlements.receiver_delete)
    upload_image = awaitable(uploads.upload_image)

    def _find_way(self, transport: Transport | None) -> None:
        if transport is None:
            transport = self._own = AiohttpTransport()
        self._way = OneFlightAwaited(transport, self._list_url)

    async def run(self, exchange: Exchange[T]) -> T:
        """Drives any exchange to its result."""
        return await drive_awaiting(exchange, self._way)

    async def disconnect(self) -> None:
        """Closes the connections of the client's own transport; one that was handed in is its maker's."""
        if self._own is not None:
            await self._own.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
