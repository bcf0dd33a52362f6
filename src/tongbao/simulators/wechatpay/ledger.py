"""The merchants' accounts at WeChat Pay: every movement with the balance after it, of which fund bills are made.

Rule: money moves here and nowhere else. The fee of a payment is taken at once, in whole fen (half up), and comes back
with a refund in proportion; rate and rounding are the sandbox's choice. Money under way (refunds, transfers) lies in
wallets of WeChat's own, which have no bill.
"""

from tongbao.simulators.bank import Bank, Buyer
from tongbao.simulators.journal import Shelf
from tongbao.simulators.wechatpay.merchants import Merchants
from tongbao.simulators.wechatpay.model import Movement
from tongbao.simulators.wechatpay.wire import funds_number

FEES, REFUNDS, TRANSFERS = "wechatpay_fees", "wechatpay_refunds", "wechatpay_transfers"
RATE_ONE = 10_000


def fee_of(amount_minor: int, rate: int) -> int:
    """Half up, in fen."""
    return (amount_minor * rate + RATE_ONE // 2) // RATE_ONE


class Ledger:
    """Moves money and writes it down. `number` is WeChat's own number of the cause, `voucher` the merchant's."""

    def __init__(self, bank: Bank, merchants: Merchants) -> None:
        self._bank = bank
        self._merchants = merchants
        self.movements = Shelf(bank.journal, "wechatpay_movement", Movement)

    def paid(self, buyer: Buyer, mchid: str, amount_minor: int, number: str, voucher: str) -> int:
        """A buyer pays; returns the fee. Raises BalanceShort, and then nothing happened."""
        self._bank.move_to_merchant(buyer, mchid, amount_minor)
        self._write(mchid, amount_minor, number, voucher, "交易")
        merchant = self._merchants.get(mchid)
        fee = fee_of(amount_minor, merchant.fee_rate) if merchant else 0
        if fee:
            self._bank.move_between(mchid, FEES, fee)
            self._write(mchid, -fee, number, voucher, "扣除交易手续费")
        return fee

    def taken(self, mchid: str, holder: str, amount_minor: int, number: str, voucher: str, name: str) -> None:
        """A merchant's money goes on its way. Raises BalanceShort, and then nothing happened."""
        self._bank.move_between(mchid, holder, amount_minor)
        self._write(mchid, -amount_minor, number, voucher, name)

    def given_back(self, holder: str, mchid: str, amount_minor: int, number: str, voucher: str, name: str) -> None:
        """It comes back."""
        self._bank.move_between(holder, mchid, amount_minor)
        self._write(mchid, amount_minor, number, voucher, name)

    def fee_returned(self, mchid: str, fee_minor: int, number: str, voucher: str) -> None:
        if fee_minor:
            self.given_back(FEES, mchid, fee_minor, number, voucher, "退还交易手续费")

    def arrived(self, holder: str, buyer: Buyer, amount_minor: int) -> None:
        """Money under way reaches a buyer."""
        self._bank.move_to_buyer(holder, buyer, amount_minor)

    def shared(self, giver: str, taker: str, amount_minor: int, number: str, voucher: str, name: str) -> None:
        """From one merchant to another. Raises BalanceShort, and then nothing happened."""
        self._bank.move_between(giver, taker, amount_minor)
        self._write(giver, -amount_minor, number, voucher, name)
        self._write(taker, amount_minor, number, voucher, name)

    def shared_with_buyer(self, giver: str, buyer: Buyer, amount_minor: int, number: str, voucher: str) -> None:
        """Raises BalanceShort, and then nothing happened."""
        self._bank.move_to_buyer(giver, buyer, amount_minor)
        self._write(giver, -amount_minor, number, voucher, "分账")

    def _write(self, mchid: str, amount_minor: int, number: str, voucher: str, name: str) -> None:
        now = self._bank.clock.now()
        made = Movement(
            id=funds_number(self._bank, now, "1000"),
            mchid=mchid,
            at=now,
            number=number,
            voucher=voucher,
            name=name,
            kind=name,
            amount_minor=amount_minor,
            balance_minor=self._bank.wallet(mchid).balance_minor,
        )
        self.movements.put(made.id, made)
