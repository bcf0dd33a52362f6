"""What all channels of the sandbox share: the buyers and their money, one clock, one fault board, one outbox.

Rule: money only moves. What leaves a buyer arrives at a merchant and back, so that the sum of all balances is constant;
`total_minor` lets a test say so.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from tongbao.crypto import RsaPrivateKey
from tongbao.simulators.clock import VirtualClock
from tongbao.simulators.faults import FaultBoard
from tongbao.simulators.journal import Journal, Shelf
from tongbao.simulators.outbox import Outbox
from tongbao.transport import Transport

Chance = Callable[[int], int]
"""`chance(bits)` is a number below 2**bits that nobody can foretell."""

DIGITS = "0123456789"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class Buyer(msgspec.Struct):
    """A buyer with one wallet. `balance_minor` is in fen; `logon_id` is a phone number or mail address."""

    user_id: str
    logon_id: str
    name: str
    name_en: str
    balance_minor: int
    note: str
    note_en: str


class Wallet(msgspec.Struct):
    """A merchant's balance at a channel, in fen."""

    owner: str
    balance_minor: int


class KeyRecord(msgspec.Struct):
    """A key or certificate that was made once and is kept: PEM text."""

    pem: str


class BalanceShort(Exception):
    """The payer has not enough money."""


SEEDED_BUYERS = (
    Buyer("2088722000000015", "13800138000", "李雷", "Li Lei", 10_000_000_000_00, "余额充足", "has plenty of money"),
    Buyer(
        "2088722000000023", "meimei@sandbox.example", "韩梅梅", "Han Meimei", 500_000_00, "余额 50 万", "has 500,000"
    ),
    Buyer("2088722000000031", "13900139000", "王小明", "Wang Xiaoming", 1_00, "余额只有 1 元", "has 1.00 only"),
)
MERCHANT_BALANCE_MINOR = 1_000_000_000_00


class Bank:
    """Everything that channels have in common; made once per sandbox."""

    def __init__(
        self,
        *,
        path: Path | None,
        now: Callable[[], datetime],
        chance: Chance,
        transport: Transport,
        make_key: Callable[[], RsaPrivateKey] = RsaPrivateKey.generate,
    ) -> None:
        self.journal = Journal(path)
        self.clock = VirtualClock(now, self.journal)
        self.faults = FaultBoard(self.journal)
        self.outbox = Outbox(self.journal, self.clock, transport)
        self.chance = chance
        self._make_key = make_key
        self._parsed: dict[str, RsaPrivateKey] = {}
        self._keys = Shelf(self.journal, "key", KeyRecord)
        self._wallets = Shelf(self.journal, "wallet", Wallet)
        self.buyers = Shelf(self.journal, "buyer", Buyer)
        for buyer in SEEDED_BUYERS:
            if buyer.user_id not in self.buyers:
                self.buyers.put(buyer.user_id, msgspec.structs.replace(buyer))

    def key(self, name: str) -> RsaPrivateKey:
        """The private key of that name, made on first use, kept, and parsed once."""
        known = self._parsed.get(name)
        if known is not None:
            return known
        record = self._keys.get(name)
        found = self._make_key() if record is None else RsaPrivateKey.load(record.pem)
        if record is None:
            self._keys.put(name, KeyRecord(found.pem_pkcs8()))
        self._parsed[name] = found
        return found

    def pem(self, name: str, make: Callable[[], str]) -> str:
        """A text (a certificate, a shared key) made on first use and kept."""
        record = self._keys.get(name) or self._keys.put(name, KeyRecord(make()))
        return record.pem

    def digits(self, count: int) -> str:
        """Random decimal digits."""
        return str(self.chance(count * 4) % 10**count).zfill(count)

    def token(self, count: int = 24) -> str:
        """Random lower-case letters and digits that cannot be guessed."""
        value, letters = self.chance(count * 6), []
        for _ in range(count):
            value, index = divmod(value, len(LETTERS))
            letters.append(LETTERS[index])
        return "".join(letters)

    def wallet(self, owner: str) -> Wallet:
        return self._wallets.get(owner) or self._wallets.put(owner, Wallet(owner, MERCHANT_BALANCE_MINOR))

    def buyer(self, who: str) -> Buyer | None:
        """A buyer by user id or logon id."""
        found = self.buyers.get(who)
        return found or next((buyer for buyer in self.buyers.values() if buyer.logon_id == who), None)

    def first_buyer(self) -> Buyer:
        return self.buyers.values()[0]

    def move_to_merchant(self, buyer: Buyer, owner: str, amount_minor: int) -> None:
        """Raises BalanceShort, and then nothing moved."""
        if buyer.balance_minor < amount_minor:
            raise BalanceShort
        wallet = self.wallet(owner)
        buyer.balance_minor -= amount_minor
        wallet.balance_minor += amount_minor
        self.buyers.put(buyer.user_id, buyer)
        self._wallets.put(owner, wallet)

    def move_to_buyer(self, owner: str, buyer: Buyer, amount_minor: int) -> None:
        """Raises BalanceShort, and then nothing moved."""
        wallet = self.wallet(owner)
        if wallet.balance_minor < amount_minor:
            raise BalanceShort
        wallet.balance_minor -= amount_minor
        buyer.balance_minor += amount_minor
        self.buyers.put(buyer.user_id, buyer)
        self._wallets.put(owner, wallet)

    def move_between(self, giver: str, taker: str, amount_minor: int) -> None:
        """From one wallet to another; raises BalanceShort, and then nothing moved."""
        first, second = self.wallet(giver), self.wallet(taker)
        if first.balance_minor < amount_minor:
            raise BalanceShort
        first.balance_minor -= amount_minor
        second.balance_minor += amount_minor
        self._wallets.put(giver, first)
        self._wallets.put(taker, second)

    def total_minor(self) -> int:
        """All money there is, in fen; constant as long as no wallet is opened."""
        wallets = sum(wallet.balance_minor for wallet in self._wallets.values())
        return wallets + sum(buyer.balance_minor for buyer in self.buyers.values())

    def flush(self) -> None:
        self.journal.flush()

    def close(self) -> None:
        self.journal.close()


def chance_from(random_bytes: Callable[[int], bytes]) -> Chance:
    """A `Chance` over a source of random bytes."""

    def chance(bits: int) -> int:
        return int.from_bytes(random_bytes((bits + 7) // 8), "big") % (1 << bits)

    return chance
