"""Alipay's API for direct use: `AlipayClient` (blocking) and `AsyncAlipayClient`, two thin shells over one pure core.

Rule: a method is written once, as an exchange (see `calls.py`), and bound here by name; a shell only moves requests
and replies. Parameters and results are documented at the exchange, which `help()` and the editor show.
"""

from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, get_args, get_origin

from tongbao.channels.alipay import agreements, bills, calls, funds, notifications, openapi_v3, settlements, trades
from tongbao.channels.alipay.account import PRODUCTION_URL, Account, open_account
from tongbao.channels.alipay.calls import Exchange
from tongbao.crypto import KeySource
from tongbao.domain.errors import ChannelError
from tongbao.ports import Clock, Ids, Reply, Request, SyncTransport, Timeouts, Transport
from tongbao.transport import AiohttpTransport, HttpcoreTransport

P = ParamSpec("P")
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


def _advance(exchange: Exchange[T], arrived: Reply | ChannelError | None) -> Request:
    """One step of an exchange: raises StopIteration with its result at the end."""
    if isinstance(arrived, ChannelError):
        return exchange.throw(arrived)
    return next(exchange) if arrived is None else exchange.send(arrived)


def drive(exchange: Exchange[T], transport: SyncTransport) -> T:
    """Moves an exchange's requests and replies over `transport`, to its result; a failure of the transport is thrown
    into the exchange."""
    arrived: Reply | ChannelError | None = None
    while True:
        try:
            request = _advance(exchange, arrived)
        except StopIteration as end:
            return cast(T, end.value)
        try:
            arrived = transport.send(request)
        except ChannelError as error:
            arrived = error


async def drive_awaiting(exchange: Exchange[T], transport: Transport) -> T:
    """The same over an asynchronous transport."""
    arrived: Reply | ChannelError | None = None
    while True:
        try:
            request = _advance(exchange, arrived)
        except StopIteration as end:
            return cast(T, end.value)
        try:
            arrived = await transport.send(request)
        except ChannelError as error:
            arrived = error


def _shown(function: Callable[..., object]) -> Signature:
    """What `help()` shows: `self` for the account, and an exchange's result instead of the exchange."""
    shape = signature(function)
    first = shape.parameters["account"].replace(name="self", annotation=Parameter.empty)
    rest = [parameter for name, parameter in shape.parameters.items() if name != "account"]
    result = shape.return_annotation
    if get_origin(result) is Generator:
        result = get_args(result)[2]
    return shape.replace(parameters=[first, *rest], return_annotation=result)


def _offline(function: Callable[Concatenate[Account, P], T]) -> Callable[Concatenate[_Shell[Any, Any], P], T]:
    """A method that sends nothing, the same in both clients."""

    @wraps(function)
    def method(self: _Shell[Any, Any], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(self.account, *args, **kwargs)

    method.__signature__ = _shown(function)  # type: ignore[attr-defined]  # what help() shows
    return method


def _blocking(
    exchange: Callable[Concatenate[Account, P], Exchange[T]],
) -> Callable[Concatenate["AlipayClient", P], T]:
    """The exchange as a method of the blocking client."""

    @wraps(exchange)
    def method(self: "AlipayClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(exchange(self.account, *args, **kwargs))

    method.__signature__ = _shown(exchange)  # type: ignore[attr-defined]
    return method


def _awaitable(
    exchange: Callable[Concatenate[Account, P], Exchange[T]],
) -> Callable[Concatenate["AsyncAlipayClient", P], Coroutine[Any, Any, T]]:
    """The exchange as a method of the asynchronous client."""

    @wraps(exchange)
    async def method(self: "AsyncAlipayClient", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.run(exchange(self.account, *args, **kwargs))

    method.__signature__ = _shown(exchange)  # type: ignore[attr-defined]
    return method


class AlipayClient(_Shell[SyncTransport, HttpcoreTransport]):
    """Alipay, blocking. Share one between threads; leave it with `disconnect()` or a `with`."""

    page_pay = _offline(trades.page_pay)
    wap_pay = _offline(trades.wap_pay)
    app_pay = _offline(trades.app_pay)
    agreement_page_sign = _offline(agreements.agreement_page_sign)
    verify_notification = _offline(notifications.verify_notification)
    verify_return = _offline(notifications.verify_return)

    call = _blocking(calls.call)
    call_v3 = _blocking(openapi_v3.call_v3)
    load_certificate = _blocking(calls.load_certificate)
    precreate = _blocking(trades.precreate)
    pay = _blocking(trades.pay)
    create = _blocking(trades.create)
    query = _blocking(trades.query)
    cancel = _blocking(trades.cancel)
    close = _blocking(trades.close)
    refund = _blocking(trades.refund)
    refund_query = _blocking(trades.refund_query)
    order_settle = _blocking(settlements.order_settle)
    order_settle_query = _blocking(settlements.order_settle_query)
    royalty_bind = _blocking(settlements.royalty_bind)
    royalty_unbind = _blocking(settlements.royalty_unbind)
    royalty_query = _blocking(settlements.royalty_query)
    transfer = _blocking(funds.transfer)
    transfer_query = _blocking(funds.transfer_query)
    auth_freeze = _blocking(funds.auth_freeze)
    auth_unfreeze = _blocking(funds.auth_unfreeze)
    auth_query = _blocking(funds.auth_query)
    agreement_query = _blocking(agreements.agreement_query)
    agreement_unsign = _blocking(agreements.agreement_unsign)
    oauth_token = _blocking(agreements.oauth_token)
    bill_url = _blocking(bills.bill_url)
    download_bill = _blocking(bills.download_bill)

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

    page_pay = _offline(trades.page_pay)
    wap_pay = _offline(trades.wap_pay)
    app_pay = _offline(trades.app_pay)
    agreement_page_sign = _offline(agreements.agreement_page_sign)
    verify_notification = _offline(notifications.verify_notification)
    verify_return = _offline(notifications.verify_return)

    call = _awaitable(calls.call)
    call_v3 = _awaitable(openapi_v3.call_v3)
    load_certificate = _awaitable(calls.load_certificate)
    precreate = _awaitable(trades.precreate)
    pay = _awaitable(trades.pay)
    create = _awaitable(trades.create)
    query = _awaitable(trades.query)
    cancel = _awaitable(trades.cancel)
    close = _awaitable(trades.close)
    refund = _awaitable(trades.refund)
    refund_query = _awaitable(trades.refund_query)
    order_settle = _awaitable(settlements.order_settle)
    order_settle_query = _awaitable(settlements.order_settle_query)
    royalty_bind = _awaitable(settlements.royalty_bind)
    royalty_unbind = _awaitable(settlements.royalty_unbind)
    royalty_query = _awaitable(settlements.royalty_query)
    transfer = _awaitable(funds.transfer)
    transfer_query = _awaitable(funds.transfer_query)
    auth_freeze = _awaitable(funds.auth_freeze)
    auth_unfreeze = _awaitable(funds.auth_unfreeze)
    auth_query = _awaitable(funds.auth_query)
    agreement_query = _awaitable(agreements.agreement_query)
    agreement_unsign = _awaitable(agreements.agreement_unsign)
    oauth_token = _awaitable(agreements.oauth_token)
    bill_url = _awaitable(bills.bill_url)
    download_bill = _awaitable(bills.download_bill)

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
