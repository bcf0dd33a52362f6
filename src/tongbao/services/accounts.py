"""Apps, API keys and channel accounts: who may call, and as whom we call a channel.

Secrets go in and never come out: an API key is shown once and stored as a digest; credentials are checked by opening
the channel with them, then sealed. Opened channels are kept by (account, version).
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from tongbao.domain.account import ApiKey, App, ChannelAccount
from tongbao.domain.errors import InvalidInput, NotFound
from tongbao.domain.money import Money
from tongbao.ports import Channel, ChannelKind, Clock, Finding, Ids, MethodCapability, Transport
from tongbao.ports.accounts import AccountStore
from tongbao.ports.world import Vault

KEPT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """A channel account and the channel opened with it."""

    account: ChannelAccount
    channel: Channel


@dataclass(frozen=True, slots=True)
class Offer:
    """A method that an app can take now, by which account, within which bounds."""

    method: str
    channel: str
    channel_account_id: str
    capability: MethodCapability
    created_at: datetime


class Accounts:
    """Apps, keys and channel accounts. `kinds` is the registry of channels."""

    def __init__(
        self,
        store: AccountStore,
        vault: Vault,
        kinds: Mapping[str, ChannelKind],
        transport: Transport,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._store = store
        self._vault = vault
        self.kinds = kinds
        self._transport = transport
        self._clock = clock
        self._ids = ids
        self._opened: dict[tuple[str, int], Channel] = {}
        self._apps: dict[bytes, tuple[float, App]] = {}
        self._lists: dict[str, tuple[float, list[ChannelAccount]]] = {}

    # --- apps and keys

    async def create_app(self, name: str, *, livemode: bool) -> tuple[App, str]:
        """A new app and its first API key, in clear for the only time."""
        app = App(self._ids.make("app"), name, livemode, self._clock.now())
        await self._store.insert_app(app)
        _, secret = await self.create_key(app)
        return app, secret

    async def create_key(self, app: App, secret: str | None = None) -> tuple[ApiKey, str]:
        """A new API key; `secret` is given only by the demo, whose key stays the same."""
        token = secret or f"sk_{'live' if app.livemode else 'test'}_{self._ids.token(24)}"
        key = ApiKey(app.id, self._ids.make("key"), token[-4:], self._clock.now())
        await self._store.insert_key(key, sha256(token.encode()).digest())
        return key, token

    async def revoke_key(self, app_id: str, key_id: str) -> None:
        """Raises NotFound. Takes effect everywhere within 5 s."""
        if not await self._store.revoke_key(app_id, key_id, self._clock.now()):
            raise NotFound(f"no API key {key_id} for this app")

    async def list_apps(self) -> list[App]:
        return await self._store.list_apps()

    async def list_keys(self, app_id: str) -> list[ApiKey]:
        return await self._store.list_keys(app_id)

    async def read_app(self, app_id: str) -> App:
        for app in await self._store.list_apps():
            if app.id == app_id:
                return app
        raise NotFound(f"no app {app_id}")

    def app_kept(self, token: bytes) -> App | None:
        """The app of a key that was looked up in the last seconds: no I/O, for the hot doors."""
        kept = self._apps.get(token)
        return kept[1] if kept is not None and kept[0] > self._clock.now().timestamp() else None

    async def app_by_key(self, token: bytes) -> App | None:
        """The app whose unrevoked key this is. Only digests are compared."""
        app = self.app_kept(token)
        if app is not None:
            return app
        digest = sha256(token).digest()
        found = await self._store.app_by_digest(digest)
        if found is None or not hmac.compare_digest(found[1], digest):
            return None
        if len(self._apps) > 10_000:
            self._apps.clear()
        self._apps[token] = (self._clock.now().timestamp() + KEPT_SECONDS, found[0])
        return found[0]

    # --- channel accounts

    async def create_account(
        self, app: App, channel: str, name: str, credentials: Mapping[str, str], metadata: Mapping[str, str]
    ) -> ChannelAccount:
        """Raises InvalidInput with `param` for a missing, unknown or unreadable credential."""
        kind = self._kind(channel)
        opened = self._try(kind, app, credentials)
        account_id = self._ids.make("ca")
        account = ChannelAccount(
            app_id=app.id,
            id=account_id,
            channel=channel,
            name=name,
            identity=opened.identity,
            credentials=_public(kind, credentials),
            sealed=self._seal(kind, account_id, credentials),
            created_at=self._clock.now(),
            livemode=app.livemode,
            metadata=metadata,
        )
        await self._store.insert_account(account)
        self._lists.pop(app.id, None)
        return account

    async def update_account(
        self,
        app: App,
        account_id: str,
        *,
        name: str | None = None,
        enabled: bool | None = None,
        credentials: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ChannelAccount:
        """Replaces what is given; given credentials are merged over the stored ones."""
        account = await self.read_account(app.id, account_id)
        changed = replace(
            account,
            name=account.name if name is None else name,
            enabled=account.enabled if enabled is None else enabled,
            metadata=account.metadata if metadata is None else metadata,
            version=account.version + 1,
        )
        if credentials is not None:
            kind = self._kind(account.channel)
            merged = {**self._unseal(account), **credentials}
            changed = replace(
                changed,
                identity=self._try(kind, app, merged).identity,
                credentials=_public(kind, merged),
                sealed=self._seal(kind, account.id, merged),
            )
        if not await self._store.update_account(changed, account.version):
            raise InvalidInput("the account was changed at the same time; read it again", code="changed_meanwhile")
        self._lists.pop(app.id, None)
        return changed

    async def read_account(self, app_id: str, account_id: str) -> ChannelAccount:
        account = await self._store.read_account(app_id, account_id)
        if account is None:
            raise NotFound(f"no channel account {account_id}")
        return account

    async def list_accounts(self, app_id: str) -> list[ChannelAccount]:
        return await self._store.list_accounts(app_id)

    async def check(self, app_id: str, account_id: str) -> list[Finding]:
        """Asks the channel whether the credentials work, and tells what is wrong with them."""
        opened = self.open(await self.read_account(app_id, account_id))
        return await opened.channel.check()

    # --- opening

    async def opened(self, app_id: str, account_id: str) -> OpenAccount:
        """The account by id, whether enabled or not: money under way is followed up all the same."""
        return self.open(await self.read_account(app_id, account_id))

    async def notified(self, account_id: str) -> OpenAccount:
        """The account that a notification's path names. Raises NotFound."""
        account = await self._store.account_by_id(account_id)
        if account is None:
            raise NotFound(f"no channel account {account_id}")
        return self.open(account)

    def open(self, account: ChannelAccount) -> OpenAccount:
        key = (account.id, account.version)
        channel = self._opened.get(key)
        if channel is None:
            channel = self._kind(account.channel).open(self._unseal(account), self._transport, self._clock)
            self._opened[key] = channel
        return OpenAccount(account, channel)

    async def offers(self, app_id: str) -> list[Offer]:
        """What this app can take now: the first enabled account of each method."""
        found: dict[str, Offer] = {}
        for account in await self._enabled(app_id):
            for method, capability in self.kinds[account.channel].capabilities.methods.items():
                found.setdefault(method, Offer(method, account.channel, account.id, capability, account.created_at))
        return list(found.values())

    async def choose(self, app_id: str, method: str, amount: Money, account_id: str | None = None) -> OpenAccount:
        """The account to pay by; raises InvalidInput when the method is not available or out of its bounds."""
        for account in await self._enabled(app_id):
            capability = self.kinds[account.channel].capabilities.methods.get(method)
            if capability is None or account_id not in (None, account.id):
                continue
            refuse_out_of_bounds(method, capability, amount)
            return self.open(account)
        known = any(method in kind.capabilities.methods for kind in self.kinds.values())
        reason = "no enabled channel account offers it" if known else "no such method"
        raise InvalidInput(f"method {method!r}: {reason}; see GET /v1/methods", param="/method", code="unknown_method")

    async def _enabled(self, app_id: str) -> list[ChannelAccount]:
        now = self._clock.now().timestamp()
        kept = self._lists.get(app_id)
        if kept is None or kept[0] <= now:
            kept = (now + KEPT_SECONDS, await self._store.list_accounts(app_id))
            self._lists[app_id] = kept
        return [account for account in kept[1] if account.enabled and account.channel in self.kinds]

    # --- credentials

    def _kind(self, channel: str) -> ChannelKind:
        kind = self.kinds.get(channel)
        if kind is None:
            known = ", ".join(sorted(self.kinds))
            raise InvalidInput(f"unknown channel {channel!r}; known: {known}", param="/channel", code="unknown_channel")
        return kind

    def _try(self, kind: ChannelKind, app: App, credentials: Mapping[str, str]) -> Channel:
        names = {field.name for field in kind.credentials}
        for name in credentials:
            if name not in names:
                raise InvalidInput(f"{kind.name} has no credential {name!r}", param=f"/credentials/{name}")
        for field in kind.credentials:
            if field.required and not credentials.get(field.name):
                raise InvalidInput(
                    f"{kind.name} needs the credential {field.name!r}: {field.description}",
                    param=f"/credentials/{field.name}",
                )
        gateway = credentials.get("gateway_url")
        if app.livemode and gateway is not None and gateway not in kind.production_urls:
            addresses = ", ".join(sorted(kind.production_urls))
            raise InvalidInput(f"a live app calls {addresses} only", param="/credentials/gateway_url")
        return kind.open(credentials, self._transport, self._clock)

    def _seal(self, kind: ChannelKind, account_id: str, credentials: Mapping[str, str]) -> bytes:
        secret = {f.name: credentials[f.name] for f in kind.credentials if f.secret and f.name in credentials}
        return self._vault.seal(json.dumps(secret).encode(), _context(account_id))

    def _unseal(self, account: ChannelAccount) -> dict[str, str]:
        secret: dict[str, str] = json.loads(self._vault.open(account.sealed, _context(account.id)))
        return {**account.credentials, **secret}


def _context(account_id: str) -> str:
    return f"channel_accounts|{account_id}|sealed"


def _public(kind: ChannelKind, credentials: Mapping[str, str]) -> dict[str, str]:
    return {f.name: credentials[f.name] for f in kind.credentials if not f.secret and f.name in credentials}


def refuse_out_of_bounds(method: str, capability: MethodCapability, amount: Money) -> None:
    """Raises InvalidInput when the method does not take this currency or amount."""
    if amount.currency.code not in capability.currencies:
        raise InvalidInput(f"{method} does not take {amount.currency}", param="/currency", code="currency_not_taken")
    if not capability.amount_min <= amount.minor <= capability.amount_max:
        bounds = f"{capability.amount_min} to {capability.amount_max}"
        raise InvalidInput(f"{method} takes amounts from {bounds}", param="/amount", code="amount_out_of_bounds")


def refuse_wrong_options(capability: MethodCapability, options: Mapping[str, object]) -> None:
    """Raises InvalidInput for a method option that the method does not know, and for one that it needs."""
    for name in sorted(capability.required - options.keys()):
        raise InvalidInput(f"this method needs the option {name!r}", param=f"/method_options/{name}")
    for name in options:
        if name not in capability.options:
            known = ", ".join(sorted(capability.options)) or "none"
            raise InvalidInput(
                f"unknown method option {name!r}; known: {known}", param=f"/method_options/{name}", code="unknown_field"
            )
