"""The ledger: double entry by construction. A transfer moves one positive amount from one account to another, is never
updated, and names the fact that made it. Every fact's transfers stand in one table, `POSTINGS`.

An account is (app, kind, channel account, currency); its balance is what came in less what went out.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tongbao.domain.money import Money
from tongbao.domain.refund import RefundKind, RefundStatus


class AccountKind(StrEnum):
    RECEIVABLE = "receivable"
    BANK = "bank"
    APP_PENDING = "app_pending"
    APP_AVAILABLE = "app_available"
    FEES = "fees"
    REFUNDS_UNDER_WAY = "refunds_under_way"
    SUSPENSE = "suspense"
    ADJUSTMENT = "adjustment"


class Posting(StrEnum):
    """The facts that move money."""

    PAID = "paid"
    SURPLUS_PAID = "surplus_paid"
    REFUND_CREATED = "refund_created"
    REFUND_DONE = "refund_done"
    REFUND_FAILED = "refund_failed"
    REFUND_REVERSED = "refund_reversed"
    REFUND_RESTORED = "refund_restored"
    SURPLUS_REFUND_CREATED = "surplus_refund_created"
    SURPLUS_REFUND_DONE = "surplus_refund_done"
    SURPLUS_REFUND_FAILED = "surplus_refund_failed"
    SURPLUS_REFUND_REVERSED = "surplus_refund_reversed"
    SURPLUS_REFUND_RESTORED = "surplus_refund_restored"
    FEE = "fee"
    SETTLEMENT = "settlement"


_A = AccountKind
POSTINGS: dict[Posting, tuple[AccountKind, AccountKind]] = {
    Posting.PAID: (_A.RECEIVABLE, _A.APP_PENDING),
    Posting.SURPLUS_PAID: (_A.RECEIVABLE, _A.SUSPENSE),
    Posting.REFUND_CREATED: (_A.APP_PENDING, _A.REFUNDS_UNDER_WAY),
    Posting.REFUND_DONE: (_A.REFUNDS_UNDER_WAY, _A.RECEIVABLE),
    Posting.REFUND_FAILED: (_A.REFUNDS_UNDER_WAY, _A.APP_PENDING),
    Posting.REFUND_REVERSED: (_A.RECEIVABLE, _A.APP_PENDING),
    Posting.REFUND_RESTORED: (_A.APP_PENDING, _A.RECEIVABLE),
    Posting.SURPLUS_REFUND_CREATED: (_A.SUSPENSE, _A.REFUNDS_UNDER_WAY),
    Posting.SURPLUS_REFUND_DONE: (_A.REFUNDS_UNDER_WAY, _A.RECEIVABLE),
    Posting.SURPLUS_REFUND_FAILED: (_A.REFUNDS_UNDER_WAY, _A.SUSPENSE),
    Posting.SURPLUS_REFUND_REVERSED: (_A.RECEIVABLE, _A.SUSPENSE),
    Posting.SURPLUS_REFUND_RESTORED: (_A.SUSPENSE, _A.RECEIVABLE),
    Posting.FEE: (_A.APP_PENDING, _A.FEES),
    Posting.SETTLEMENT: (_A.BANK, _A.RECEIVABLE),
}

_P, _S, _F = RefundStatus.PENDING, RefundStatus.SUCCEEDED, RefundStatus.FAILED
REFUND_POSTINGS: dict[RefundKind, dict[tuple[RefundStatus, RefundStatus], Posting]] = {
    RefundKind.MERCHANT: {
        (_P, _S): Posting.REFUND_DONE,
        (_P, _F): Posting.REFUND_FAILED,
        (_S, _F): Posting.REFUND_REVERSED,
        (_F, _S): Posting.REFUND_RESTORED,
    },
    RefundKind.SURPLUS: {
        (_P, _S): Posting.SURPLUS_REFUND_DONE,
        (_P, _F): Posting.SURPLUS_REFUND_FAILED,
        (_S, _F): Posting.SURPLUS_REFUND_REVERSED,
        (_F, _S): Posting.SURPLUS_REFUND_RESTORED,
    },
}
REFUND_CREATED_POSTING = {
    RefundKind.MERCHANT: Posting.REFUND_CREATED,
    RefundKind.SURPLUS: Posting.SURPLUS_REFUND_CREATED,
}


@dataclass(frozen=True, slots=True)
class Transfer:
    """`amount` from one account to another; `fact_id` is the attempt, refund or event that made it."""

    app_id: str
    id: str
    posting: Posting
    fact_id: str
    channel_account_id: str
    amount: Money
    created_at: datetime

    @property
    def source(self) -> AccountKind:
        return POSTINGS[self.posting][0]

    @property
    def target(self) -> AccountKind:
        return POSTINGS[self.posting][1]


@dataclass(frozen=True, slots=True)
class BalanceDelta:
    """What one account gained or lost in one batch, minor units."""

    app_id: str
    kind: AccountKind
    channel_account_id: str
    currency: str
    minor: int


def deltas(transfers: list[Transfer]) -> list[BalanceDelta]:
    """One delta per account that a batch of transfers touched; they sum to zero per currency."""
    sums: dict[tuple[str, AccountKind, str, str], int] = {}
    for transfer in transfers:
        code, minor = transfer.amount.currency.code, transfer.amount.minor
        for kind, signed in ((transfer.source, -minor), (transfer.target, minor)):
            key = (transfer.app_id, kind, transfer.channel_account_id, code)
            sums[key] = sums.get(key, 0) + signed
    return [BalanceDelta(*key, minor) for key, minor in sorted(sums.items()) if minor]
