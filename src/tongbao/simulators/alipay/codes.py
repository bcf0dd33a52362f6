"""The code that a buyer shows at the counter: whose it is, and how the payment will go.

Rule: the third and fourth digit say the outcome (`OUTCOMES`; any other is paid), the last two the buyer (the last two
of the user id; else the first one). A code is good for one merchant number.
"""

import re
from collections.abc import Mapping

from tongbao.simulators.bank import Bank, Buyer

OUTCOMES: Mapping[str, str] = {
    "01": "paid at once",
    "02": "asks for the password; paid after 10 seconds",
    "03": "asks for the password; never given",
    "04": "the buyer's balance is short",
    "05": "20000, and it was paid",
    "06": "20000, and it waits for the buyer",
    "07": "the code is not valid (any more)",
    "08": "refused by risk control",
}
REFUSED = {
    "04": "BUYER_BALANCE_NOT_ENOUGH",
    "07": "PAYMENT_AUTH_CODE_INVALID",
    "08": "PAYMENT_REQUEST_HAS_RISK",
}
"""Outcome -> what every method that takes a code answers, without the prefix that some put before it."""
_CODE = re.compile(r"(2[5-9]|30)[0-9]{14,22}")
_FACE = re.compile(r"fp[0-9A-Za-z]{33}")


def seeded_codes(user_id: str) -> list[dict[str, str]]:
    """One auth code per outcome; the digits in the middle are free."""
    return [{"code": f"28{number}5000000000{user_id[-2:]}", "outcome": text} for number, text in OUTCOMES.items()]


def is_code(text: str, scene: str) -> bool:
    """Whether the text has the form of a buyer's code; `security_code` is a face token."""
    return (_FACE if scene == "security_code" else _CODE).fullmatch(text) is not None


def buyer_of(bank: Bank, code: str) -> Buyer:
    """Who shows the code."""
    mine = (buyer for buyer in bank.buyers.values() if buyer.user_id[-2:] == code[-2:])
    return next(mine, None) or bank.first_buyer()
