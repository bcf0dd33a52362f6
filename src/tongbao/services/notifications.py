"""Notifications: what channels send us. Proven, recorded, acknowledged in the channel's own words - in that order.

A message that cannot be proven gets the channel's refusal and changes nothing. A proven one whose content contradicts
what we stored is quarantined, refused, and marks nothing paid. A duplicate is acknowledged. Never acknowledged before
the commit.
"""

import structlog

from tongbao.domain.errors import ChannelError, InvalidInput, MessageNotTrusted, StorageUnavailable
from tongbao.domain.report import Notification
from tongbao.ports import Acknowledgement, Clock, KeyWanted, RawRequest, RawResponse
from tongbao.services.accounts import Accounts, OpenAccount
from tongbao.services.keyring import Keyring
from tongbao.services.metrics import Metrics
from tongbao.services.payments import NotificationSource, Payments, Record, RecordOutcome

log = structlog.get_logger()

RAW_CHARACTERS_MAX = 16_000

ACKNOWLEDGEMENTS = {
    RecordOutcome.APPLIED: Acknowledgement.ACCEPTED,
    RecordOutcome.UNCHANGED: Acknowledgement.ACCEPTED,
    RecordOutcome.CONTRADICTED: Acknowledgement.REFUSED,
    RecordOutcome.UNKNOWN_REFERENCE: Acknowledgement.REFUSED,
}


class Notifications:
    """The inbound door of every channel."""

    def __init__(
        self, accounts: Accounts, payments: Payments, clock: Clock, keyring: Keyring, metrics: Metrics
    ) -> None:
        self._accounts = accounts
        self._payments = payments
        self._clock = clock
        self._keyring = keyring
        self._metrics = metrics

    async def receive(self, account_id: str, raw: RawRequest) -> RawResponse:
        """The channel's own answer. Raises NotFound for an unknown account."""
        opened = await self._accounts.notified(account_id)
        name = opened.account.channel
        try:
            notification = await self._read(opened, raw)
        except (MessageNotTrusted, InvalidInput) as error:
            self._metrics.notification(name, "not_trusted")
            log.warning("notification_refused", channel_account=account_id, code=error.code, message=error.message)
            return opened.channel.acknowledge(Acknowledgement.REFUSED)
        if not notification.reports:
            self._metrics.notification(name, "nothing_to_do")
            return opened.channel.acknowledge(Acknowledgement.ACCEPTED)
        try:
            outcome = await self._record(opened, notification, raw)
        except StorageUnavailable:
            self._metrics.notification(name, "later")
            return opened.channel.acknowledge(Acknowledgement.LATER)
        self._metrics.notification(name, outcome)
        return opened.channel.acknowledge(ACKNOWLEDGEMENTS[outcome])

    async def _read(self, opened: OpenAccount, raw: RawRequest) -> Notification:
        read = opened.channel.read_notification(raw, self._clock.now())
        if isinstance(read, KeyWanted):
            try:
                await self._keyring.fetch(opened, read.serial)
            except ChannelError as error:
                raise MessageNotTrusted(f"its verification key could not be fetched: {error.message}") from error
            read = opened.channel.read_notification(raw, self._clock.now())
        if isinstance(read, KeyWanted):
            raise MessageNotTrusted("the message names a verification key that the channel does not know")
        return read

    async def _record(self, opened: OpenAccount, notification: Notification, raw: RawRequest) -> RecordOutcome:
        text = f"{raw.query}\n{raw.body.decode('utf-8', 'replace')}".replace("\x00", "\ufffd")[:RAW_CHARACTERS_MAX]
        recorded = await self._payments.record(
            Record(
                app_id=opened.account.app_id,
                channel_account_id=opened.account.id,
                identity=opened.channel.identity,
                reports=notification.reports,
                notification=NotificationSource(notification.notification_id, text),
            )
        )
        if recorded.mismatches:
            self._metrics.quarantined(opened.account.channel)
            log.error(
                "notification_quarantined",
                channel_account=opened.account.id,
                notification_id=notification.notification_id,
                mismatches=recorded.mismatches,
            )
        return recorded.outcome
