"""Alipay's API for direct use: `AlipayClient` (blocking) and `AsyncAlipayClient`, two thin shells over one pure core.

Rule: a method is written once, as an exchange (see `calls.py`), and bound here by name; a shell only moves requests
and replies. Parameters and results are documented at the exchange, which `help()` and the editor show.
"""

from typing import Generic, Self, TypeVar

from tongbao.channels.alipay import agreements, bills, calls, funds, notifications, openapi_v3, settlements, trades
from tongbao.channels.alipay.account import PRODUCTION_URL, Account, open_account
from tongbao.channels.exchange import Exchange, awaitable, blocking, drive, drive_awaiting, offline
from tongbao.crypto import KeySource
from tongbao.ports import Clock, Ids, SyncTransport, Timeouts, Transport
from tongbao.transport import AiohttpTransport, HttpcoreTransport

T = TypeVar("T")
AnyTransport = TypeVar("AnyTransport")
OwnTransport = TypeVar("OwnTransport")


class _Shell(Generic[AnyTransport, OwnTransport]):
    """What both clients are: an opened account and a way out.

    Args:
        app_id: the application's id.
        private_key: the application's, PKCS#1 or PKCS#8: PEM, one line of base64, bytes, or a path.
        alipay_public_key: Alipay's (not your own), as the console shows it, in any of the same forms.
        app_cert, alipay_cert, alipay_root_cert: certificate mode, in place of alipay_public_key: the files
            appCertPublicKey_<app id>.crt, alipayCertPublicKey_RSA2.crt and alipayRootCert.crt (PEM, bytes or path).
        gateway_url: `account.PRODUCTION_URL` or `account.SANDBOX_URL`, or a simulator's.
        sign_type: RSA2, or RSA for an app from before 2018. RSA2 refuses answers and notifications signed with RSA.
        charset: utf-8 or GBK, for requests, answers and signatures alike.
        aes_key: base64, from the console, to encrypt the business parameters.
        app_auth_token: acting for a merchant (ISV); every method takes another one.
        clock: tells the time for `timestamp`; the machine's where absent.
        ids: draws the nonces of v3; the machine's where absent.
        timeouts: to connect 5 s, until the answer's headers 10 s, in total 30 s.
        transport: how requests leave; the real one, made at the first call, where absent.

    Many methods take `notify_url` (where Alipay reports what follows), `app_auth_token` (acting for a merchant, in
    place of the client's own) and `more` (further business fields, under Alipay's names).

    Raises:
        InvalidInput: a key or setting cannot be right; `param` names it.
    """

    def __init__(
        self,
        *,
        app_id: str,
        private_key: KeySource,
        alipay_public_key: KeySource | None = None,
        app_cert: KeySource | None = None,
        alipay_cert: KeySource | None = None,
        alipay_root_cert: KeySource | None = None,
        gateway_url: str = PRODUCTION_URL,
        sign_type: str = "RSA2",
        charset: str = "utf-8",
        aes_key: str | None = None,
        app_auth_token: str | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        timeouts: Timeouts | None = None,
        transport: AnyTransport | None = None,
    ) -> None:
        self.account: Account = open_account(
            app_id=app_id,
            private_key=private_key,
            alipay_public_key=alipay_public_key,
            app_cert=app_cert,
            alipay_cert=alipay_cert,
            alipay_root_cert=alipay_root_cert,
            gateway_url=gateway_url,
            sign_type=sign_type,
            charset=charset,
            aes_key=aes_key,
            app_auth_token=app_auth_token,
            clock=clock,
            ids=ids,
            timeouts=timeouts,
        )
        self._transport = transport
        self._own: OwnTransport | None = None

    @classmethod
    def opened(cls, account: Account, transport: AnyTransport) -> Self:
        """A client for an account that is open already."""
        client = cls.__new__(cls)
        client.account, client._transport, client._own = account, transport, None
        return client

    def __repr__(self) -> str:
        return f"{type(self).__name__}(app_id={self.account.app_id!r}, gateway_url={self.account.gateway_url!r})"


class AlipayClient(_Shell[SyncTransport, HttpcoreTransport]):
    """Alipay, blocking. Share one between threads; leave it with `disconnect()` or a `with`."""

    page_pay = offline(trades.page_pay)
    wap_pay = offline(trades.wap_pay)
    app_pay = offline(trades.app_pay)
    agreement_page_sign = offline(agreements.agreement_page_sign)
    verify_notification = offline(notifications.verify_notification)
    verify_return = offline(notifications.verify_return)

    call = blocking(calls.call)
    call_v3 = blocking(openapi_v3.call_v3)
    load_certificate = blocking(calls.load_certificate)
    precreate = blocking(trades.precreate)
    pay = blocking(trades.pay)
    create = blocking(trades.create)
    query = blocking(trades.query)
    cancel = blocking(trades.cancel)
    close = blocking(trades.close)
    refund = blocking(trades.refund)
    refund_query = blocking(trades.refund_query)
    order_settle = blocking(settlements.order_settle)
    order_settle_query = blocking(settlements.order_settle_query)
    royalty_bind = blocking(settlements.royalty_bind)
    royalty_unbind = blocking(settlements.royalty_unbind)
    royalty_query = blocking(settlements.royalty_query)
    transfer = blocking(funds.transfer)
    transfer_query = blocking(funds.transfer_query)
    auth_freeze = blocking(funds.auth_freeze)
    auth_unfreeze = blocking(funds.auth_unfreeze)
    auth_query = blocking(funds.auth_query)
    agreement_query = blocking(agreements.agreement_query)
    agreement_unsign = blocking(agreements.agreement_unsign)
    oauth_token = blocking(agreements.oauth_token)
    bill_url = blocking(bills.bill_url)
    download_bill = blocking(bills.download_bill)

    def run(self, exchange: Exchange[T]) -> T:
        """Drives any exchange to its result."""
        if self._transport is None:
            self._transport = self._own = HttpcoreTransport()
        return drive(exchange, self._transport)

    def disconnect(self) -> None:
        """Closes the connections of the client's own transport; one that was handed in is its maker's."""
        if self._own is not None:
            self._own.close()
            self._transport = self._own = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()


class AsyncAlipayClient(_Shell[Transport, AiohttpTransport]):
    """Alipay, asynchronous. Use it within one event loop; leave it with `disconnect()` or an `async with`."""

    page_pay = offline(trades.page_pay)
    wap_pay = offline(trades.wap_pay)
    app_pay = offline(trades.app_pay)
    agreement_page_sign = offline(agreements.agreement_page_sign)
    verify_notification = offline(notifications.verify_notification)
    verify_return = offline(notifications.verify_return)

    call = awaitable(calls.call)
    call_v3 = awaitable(openapi_v3.call_v3)
    load_certificate = awaitable(calls.load_certificate)
    precreate = awaitable(trades.precreate)
    pay = awaitable(trades.pay)
    create = awaitable(trades.create)
    query = awaitable(trades.query)
    cancel = awaitable(trades.cancel)
    close = awaitable(trades.close)
    refund = awaitable(trades.refund)
    refund_query = awaitable(trades.refund_query)
    order_settle = awaitable(settlements.order_settle)
    order_settle_query = awaitable(settlements.order_settle_query)
    royalty_bind = awaitable(settlements.royalty_bind)
    royalty_unbind = awaitable(settlements.royalty_unbind)
    royalty_query = awaitable(settlements.royalty_query)
    transfer = awaitable(funds.transfer)
    transfer_query = awaitable(funds.transfer_query)
    auth_freeze = awaitable(funds.auth_freeze)
    auth_unfreeze = awaitable(funds.auth_unfreeze)
    auth_query = awaitable(funds.auth_query)
    agreement_query = awaitable(agreements.agreement_query)
    agreement_unsign = awaitable(agreements.agreement_unsign)
    oauth_token = awaitable(agreements.oauth_token)
    bill_url = awaitable(bills.bill_url)
    download_bill = awaitable(bills.download_bill)

    async def run(self, exchange: Exchange[T]) -> T:
        """Drives any exchange to its result."""
        if self._transport is None:
            self._transport = self._own = AiohttpTransport()
        return await drive_awaiting(exchange, self._transport)

    async def disconnect(self) -> None:
        """Closes the connections of the client's own transport; one that was handed in is its maker's."""
        if self._own is not None:
            await self._own.close()
            self._transport = self._own = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.disconnect()
