"""What should happen to a payment, written a second time from the design and with arithmetic of its own.

It imports nothing of what it judges. Numbers: minor units; times: seconds since the start. A rank is a position in
`RANKS`; money lies in named places whose sum is always zero (what the channel owes us is negative there).
"""

from collections import Counter
from dataclasses import dataclass, field

RANKS = ("created", "pending", "failed", "closed", "succeeded")
GRACE = 60


@dataclass
class ModelAttempt:
    rank: int = 0
    busy_until: int | None = None
    gone: int = 0
    """refunded or on its way back"""

    @property
    def is_open(self) -> bool:
        return self.rank <= 1


@dataclass
class ModelRefund:
    attempt: int
    amount: int
    surplus: bool
    state: str = "pending"

    @property
    def home(self) -> str:
        return "suspense" if self.surplus else "app_pending"


@dataclass
class Model:
    """One payment over `amount` that expires at `deadline`."""

    amount: int
    deadline: int
    status: str = "pending"
    reason: str | None = None
    canceled: bool = False
    settled: int | None = None
    attempts: list[ModelAttempt] = field(default_factory=list)
    refunds: list[ModelRefund] = field(default_factory=list)
    money: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)

    def move(self, amount: int, source: str, target: str) -> None:
        self.money[source] -= amount
        self.money[target] += amount

    # --- what channels say

    def hear(self, index: int, said: str, now: int) -> None:
        attempt = self.attempts[index]
        if said == "not_found":
            silent = attempt.busy_until is not None and now < attempt.busy_until
            if attempt.is_open and now >= self.deadline + GRACE and not silent:
                attempt.rank = 3
        else:
            rank = {"accepted": 1, "declined": 2, "closed": 3, "paid": 4}[said]
            if rank > attempt.rank:
                if rank == 4:
                    self._money_came(index)
                if rank == 2:
                    self.told["failed"] += 1
                attempt.rank = rank
        self.look(now)

    def _money_came(self, index: int) -> None:
        if self.status == "pending":
            self.status, self.settled = "succeeded", index
            self.told["succeeded"] += 1
            self.move(self.amount, "receivable", "app_pending")
            return
        self.told["late" if self.status == "closed" else "second"] += 1
        self.move(self.amount, "receivable", "suspense")
        self.move(self.amount, "suspense", "under_way")
        self.attempts[index].gone = self.amount
        self.refunds.append(ModelRefund(index, self.amount, surplus=True))

    def look(self, now: int) -> None:
        """Close what is over."""
        if self.status != "pending" or any(attempt.is_open for attempt in self.attempts):
            return
        if self.canceled or now >= self.deadline:
            self.status, self.reason = "closed", "canceled" if self.canceled else "expired"
            self.told["closed"] += 1

    # --- what the merchant wants

    def cancel(self, now: int) -> bool:
        """False when it is refused."""
        if self.status == "succeeded":
            return False
        if self.status == "pending":
            self.canceled = True
        self.look(now)
        return True

    def may_begin(self, now: int) -> bool:
        return self.status == "pending" and not self.canceled and now < self.deadline

    def refund(self, amount: int) -> bool:
        if self.settled is None or amount > self.amount - self.attempts[self.settled].gone:
            return False
        self.attempts[self.settled].gone += amount
        self.move(amount, "app_pending", "under_way")
        self.refunds.append(ModelRefund(self.settled, amount, surplus=False))
        return True

    def hear_of_refund(self, index: int, said: str) -> bool:
        """False when it contradicts the books: more would have gone back than was paid."""
        refund = self.refunds[index]
        place = {"pending": "under_way", "succeeded": "receivable", "failed": refund.home}
        after = {"done": "succeeded", "rejected": "failed"}.get(said, refund.state)
        if after == refund.state:
            return True
        attempt = self.attempts[refund.attempt]
        if after == "failed":
            attempt.gone -= refund.amount
        elif refund.state == "failed":
            if attempt.gone + refund.amount > self.amount:
                return False
            attempt.gone += refund.amount
        self.move(refund.amount, place[refund.state], place[after])
        refund.state = after
        return True

    # --- sums

    def returned(self, state: str, *, surplus: bool) -> int:
        return sum(r.amount for r in self.refunds if r.state == state and r.surplus is surplus)
