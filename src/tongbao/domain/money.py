"""Money: integer minor units and a currency. No float, no division.

`Money.from_major("12.34", CNY)` is the only way in from a decimal spelling and `Money.major()` the only way out;
channels' own spellings exist only in their `mapping.py`.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from tongbao.domain.errors import CurrencyMismatch, InvalidInput

AMOUNT_MAX = 99_999_999_999
"""The largest amount of one payment, in minor units."""

# ISO 4217: currencies whose minor unit is not 2 decimals; every other active code below has 2.
_EXPONENT_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_EXPONENT_3 = "BHD IQD JOD KWD LYD OMR TND"
_EXPONENT_4 = "CLF UYW"
_EXPONENT_2 = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY "
    "COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
    "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR "
    "MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP "
    "STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD YER ZAR ZMW ZWG"
)


@dataclass(frozen=True, slots=True)
class Currency:
    """An ISO 4217 currency; `exponent` is the number of decimals of its minor unit."""

    code: str
    exponent: int

    def __str__(self) -> str:
        return self.code


CURRENCIES: dict[str, Currency] = {
    code: Currency(code, exponent)
    for exponent, codes in ((0, _EXPONENT_0), (2, _EXPONENT_2), (3, _EXPONENT_3), (4, _EXPONENT_4))
    for code in codes.split()
}
CNY = CURRENCIES["CNY"]
_MAJOR = re.compile(r"(-?)(\d{1,18})(?:\.(\d{1,18}))?", re.ASCII)
"""A decimal spelling: no exponent, no white space, no digits of other scripts, and never longer than any amount."""


def currency(code: str) -> Currency:
    """The currency of a code; raises InvalidInput for one that ISO 4217 does not list."""
    try:
        return CURRENCIES[code]
    except (KeyError, TypeError):
        raise InvalidInput(
            f"unknown currency {code!r}: use an ISO 4217 code", param="/currency", code="unknown_currency"
        ) from None


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """`minor` minor units (fen, cents) of `currency`. Negative values exist only inside sums."""

    minor: int
    currency: Currency

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise InvalidInput("an amount is an integer of minor units; a float is refused", code="invalid_amount")

    @classmethod
    def from_major(cls, text: str | Decimal | int, currency: Currency) -> "Money":
        """`"12.34"` yuan -> 1234 fen, exactly; raises InvalidInput for floats and for decimals beyond the unit."""
        if isinstance(text, float | bool) or not isinstance(text, str | Decimal | int):
            raise InvalidInput("an amount may not be a float: give text, Decimal or int", code="invalid_amount")
        spelled = _spelled(text)
        found = _MAJOR.fullmatch(spelled)
        if found is None:
            raise InvalidInput(f"not an amount: {spelled[:40]!r}", code="invalid_amount")
        sign, units, decimals = found[1], found[2], (found[3] or "").rstrip("0")
        if len(decimals) > currency.exponent:
            raise InvalidInput(f"{currency} has {currency.exponent} decimals: {spelled!r}", code="invalid_amount")
        return cls(int(sign + units + decimals.ljust(currency.exponent, "0")), currency)

    def major(self) -> str:
        """`1234` fen -> `"12.34"`."""
        digits = self.currency.exponent
        if digits == 0:
            return str(self.minor)
        sign, units = ("-", -self.minor) if self.minor < 0 else ("", self.minor)
        text = str(units).rjust(digits + 1, "0")
        return f"{sign}{text[:-digits]}.{text[-digits:]}"

    def _same(self, other: "Money") -> None:
        if self.currency is not other.currency and self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} met {other.currency}")

    def __add__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        self._same(other)
        return self.minor < other.minor

    def __le__(self, other: "Money") -> bool:
        self._same(other)
        return self.minor <= other.minor

    def __str__(self) -> str:
        return f"{self.major()} {self.currency}"


def _spelled(amount: str | Decimal | int) -> str:
    """The amount as text; a number without an exponent, but never a million digits of one."""
    if isinstance(amount, str):
        return amount
    if isinstance(amount, int):
        return str(amount) if abs(amount) < 10**18 else "too large"
    return f"{amount:f}" if amount.is_finite() and abs(amount.adjusted()) < 40 else str(amount)
