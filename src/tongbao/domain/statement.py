"""A line of a channel's statement, as every channel tells it: what the channel believes happened on a day."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from tongbao.domain.money import Money


class LineKind(StrEnum):
    """What a line of a statement is about."""

    PAYMENT = "payment"
    REFUND = "refund"


class StatementLine(Protocol):
    """A payment or a refund. Amounts are positive; the kind tells the direction. A channel's own lines say more."""

    @property
    def kind(self) -> LineKind: ...
    @property
    def channel_reference(self) -> str:
        """The channel's number of the trade, also in a refund's line."""
        ...

    @property
    def reference(self) -> str:
        """The merchant reference of the attempt."""
        ...

    @property
    def refund_reference(self) -> str | None:
        """The merchant reference of the refund."""
        ...

    @property
    def amount(self) -> Money:
        """What the buyer was charged, or given back."""
        ...

    @property
    def received(self) -> Money:
        """What of it is the merchant's, before the channel's fee."""
        ...

    @property
    def finished_at(self) -> datetime:
        """When the money moved."""
        ...

    @property
    def line_number(self) -> int: ...
