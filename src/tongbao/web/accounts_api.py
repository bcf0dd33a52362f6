"""Handlers for channel accounts, methods and the ledger."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from tongbao.domain.account import ChannelAccount
from tongbao.ports.reading import Page
from tongbao.web import schemas
from tongbao.web.door import Answer, Call, answer_json
from tongbao.web.payments_api import answer_list, page_of
from tongbao.web.schemas import decode, decoder

_create = decoder(schemas.CreateChannelAccount)
_update = decoder(schemas.UpdateChannelAccount)
_empty = decoder(schemas.Empty)


class ChannelAccountView(msgspec.Struct, frozen=True):
    """A channel account; `credentials` shows the public ones, a secret is never shown."""

    id: str
    object: Literal["channel_account"]
    channel: str
    name: str
    enabled: bool
    account: str
    seller: str | None
    credentials: Mapping[str, str]
    notify_url: str
    created_at: datetime
    livemode: bool
    metadata: Mapping[str, str]


class MethodView(msgspec.Struct, frozen=True):
    """A method that this app can take now; `created_at` is that of the account that takes it, `required_options` are
    the method options without which it cannot be used."""

    id: str
    object: Literal["method"]
    channel: str
    channel_account: str
    currencies: list[str]
    amount_min: int
    amount_max: int
    surfaces: list[str]
    options: list[str]
    required_options: list[str]
    created_at: datetime
    livemode: bool
    metadata: Mapping[str, str]


class FindingView(msgspec.Struct, frozen=True):
    """One thing that a check found; `level` is ok, warning or error."""

    level: str
    code: str
    message: str
    advice: str


class BalanceView(msgspec.Struct, frozen=True):
    """What came into an account of the ledger less what went out, minor units, as of `created_at`."""

    id: str
    object: Literal["balance"]
    account: str
    channel_account: str
    currency: str
    amount: int
    created_at: datetime
    livemode: bool
    metadata: Mapping[str, str]


class TransferView(msgspec.Struct, frozen=True):
    """One positive amount from one account of the ledger to another, never changed."""

    id: str
    object: Literal["transfer"]
    posting: str
    fact: str
    source: str
    target: str
    channel_account: str
    amount: int
    currency: str
    created_at: datetime
    livemode: bool
    metadata: Mapping[str, str]


def account_view(call: Call, account: ChannelAccount) -> ChannelAccountView:
    return ChannelAccountView(
        id=account.id,
        object="channel_account",
        channel=account.channel,
        name=account.name,
        enabled=account.enabled,
        account=account.identity.account,
        seller=account.identity.seller,
        credentials=account.credentials,
        notify_url=call.services.views.notify_url(account.id),
        created_at=account.created_at,
        livemode=account.livemode,
        metadata=account.metadata,
    )


async def create_account(call: Call) -> Answer:
    given = decode(call.body, _create)
    account = await call.services.accounts.create_account(
        call.app, given.channel, given.name, given.credentials, given.metadata
    )
    return answer_json(201, account_view(call, account))


async def list_accounts(call: Call) -> Answer:
    found, more = cut(await call.services.accounts.list_accounts(call.app.id), page_of(call, "ca"))
    return answer_list([account_view(call, account) for account in found], more)


def cut(accounts: Sequence[ChannelAccount], page: Page) -> tuple[list[ChannelAccount], bool]:
    """One page, newest first; an app has few accounts, so they are read whole."""
    after, before = page.starting_after, page.ending_before
    left = [a for a in accounts if (after is None or a.id < after) and (before is None or a.id > before)]
    kept = left[: page.limit] if before is not None else left[-page.limit :]
    return kept[::-1], len(left) > page.limit


async def read_account(call: Call) -> Answer:
    account = await call.services.accounts.read_account(call.app.id, call.params["account_id"])
    return answer_json(200, account_view(call, account))


async def update_account(call: Call) -> Answer:
    """Disabling stops new attempts; money under way is followed up all the same."""
    given = decode(call.body, _update)
    account = await call.services.accounts.update_account(
        call.app,
        call.params["account_id"],
        name=given.name,
        enabled=given.enabled,
        credentials=given.credentials,
        metadata=given.metadata,
    )
    return answer_json(200, account_view(call, account))


async def check_account(call: Call) -> Answer:
    decode(call.body, _empty)
    findings = await call.services.accounts.check(call.app.id, call.params["account_id"])
    return answer_list([FindingView(f.level, f.code, f.message, f.advice) for f in findings], more=False)


async def list_methods(call: Call) -> Answer:
    views: list[msgspec.Struct] = [
        MethodView(
            id=offer.method,
            object="method",
            channel=offer.channel,
            channel_account=offer.channel_account_id,
            currencies=sorted(offer.capability.currencies),
            amount_min=offer.capability.amount_min,
            amount_max=offer.capability.amount_max,
            surfaces=sorted(offer.capability.surfaces),
            options=sorted(offer.capability.options),
            required_options=sorted(offer.capability.required),
            created_at=offer.created_at,
            livemode=call.app.livemode,
            metadata={},
        )
        for offer in await call.services.accounts.offers(call.app.id)
    ]
    return answer_list(views, more=False)


async def list_balances(call: Call) -> Answer:
    balances = await call.services.reading.balances(call.app.id)
    views: list[msgspec.Struct] = [
        BalanceView(
            id=f"{b.kind}/{b.channel_account_id}/{b.currency}",
            object="balance",
            account=b.kind,
            channel_account=b.channel_account_id,
            currency=b.currency,
            amount=b.minor,
            created_at=call.services.clock.now(),
            livemode=call.app.livemode,
            metadata={},
        )
        for b in balances
    ]
    return answer_list(views, more=False)


async def list_transfers(call: Call) -> Answer:
    found, more = await call.services.reading.list_transfers(call.app.id, page_of(call, "tr"))
    views: list[msgspec.Struct] = [
        TransferView(
            id=transfer.id,
            object="transfer",
            posting=transfer.posting,
            fact=transfer.fact_id,
            source=transfer.source,
            target=transfer.target,
            channel_account=transfer.channel_account_id,
            amount=transfer.amount.minor,
            currency=transfer.amount.currency.code,
            created_at=transfer.created_at,
            livemode=call.app.livemode,
            metadata={},
        )
        for transfer in found
    ]
    return answer_list(views, more)
