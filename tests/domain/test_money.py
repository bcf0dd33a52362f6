"""Money: exact in every ISO currency, no float at any door, no division."""

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import examples
from tongbao.domain.errors import CurrencyMismatch, InvalidInput
from tongbao.domain.money import AMOUNT_MAX, CNY, CURRENCIES, Currency, Money, currency

CURRENCY = st.sampled_from(sorted(CURRENCIES.values(), key=str))
MINOR = st.integers(-(10**15), 10**15)


@examples(quick=2_000, nightly=180 * 1_000)
@given(CURRENCY, MINOR)
def test_every_currency_there_and_back(kind: Currency, minor: int) -> None:
    money = Money(minor, kind)
    assert Money.from_major(money.major(), kind) == money
    assert Money.from_major(Decimal(money.major()), kind) == money
    assert Decimal(money.major()) == Decimal(minor) / 10**kind.exponent, "judged by exact decimal arithmetic"


@pytest.mark.parametrize("kind", CURRENCIES.values(), ids=str)
def test_the_edges_of_every_currency(kind: Currency) -> None:
    for minor in (0, 1, 9, 10, 99, 100, 101, 999, 1_000, 9_999, 10_000, AMOUNT_MAX, -1, -100):
        text = Money(minor, kind).major()
        assert Money.from_major(text, kind).minor == minor
        assert len(text.partition(".")[2]) == kind.exponent
    whole = 10**kind.exponent
    assert Money.from_major(1, kind).minor == whole
    with pytest.raises(InvalidInput, match="decimals"):
        Money.from_major("1." + "0" * kind.exponent + "1", kind)


def test_the_currencies_that_do_not_have_two_decimals() -> None:
    """ISO 4217's own list of exceptions, written a second time."""
    decimals = {code: kind.exponent for code, kind in CURRENCIES.items() if kind.exponent != 2}
    none = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
    three = "BHD IQD JOD KWD LYD OMR TND"
    assert decimals == dict.fromkeys(none.split(), 0) | dict.fromkeys(three.split(), 3) | {"CLF": 4, "UYW": 4}
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in CURRENCIES)


@pytest.mark.parametrize("minor", [1.0, 0.1, True, False, "1", None, Decimal(1), float("nan")], ids=repr)
def test_an_amount_is_an_integer(minor: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        Money(minor, CNY)
    assert refused.value.code == "invalid_amount"


REFUSED: list[Any] = [
    1.0,
    12.34,
    float("nan"),
    float("inf"),
    True,
    None,
    [],
    b"1",
    "",
    " 1",
    "1 ",
    "+1",
    "1,000",
    "1_000",
]
REFUSED += ["1.", ".5", "1e2", "1E+2", "0x10", "--1", "1.2.3", "one", "１２", "NaN", "sNaN", "Infinity", "1\n", "1\x00"]
REFUSED += ["1e999999", "1e99999999999999999999", "9" * 19, 10**18, 10**5_000, Decimal("1e500000"), Decimal("NaN")]
REFUSED += [Decimal("Infinity"), Decimal("1e-500000"), "12345678901234567890123456789012.34", "0.001", "0.0000001"]


@pytest.mark.parametrize("amount", REFUSED, ids=lambda amount: repr(amount)[:30] if type(amount) is not int else "int")
def test_what_is_no_amount_is_refused(amount: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        Money.from_major(amount, CNY)
    assert refused.value.code == "invalid_amount"
    assert len(refused.value.message) < 200


@examples(quick=500, nightly=100_000)
@given(st.text(max_size=30) | st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{0,20})?(e[0-9]{1,3})?", fullmatch=True), CURRENCY)
def test_a_text_is_exact_or_refused(text: str, kind: Currency) -> None:
    try:
        money = Money.from_major(text, kind)
    except InvalidInput:
        return
    assert Decimal(money.major()) == Decimal(text)


@given(MINOR, MINOR)
def test_sums_and_order_are_those_of_integers(a: int, b: int) -> None:
    left, right = Money(a, CNY), Money(b, CNY)
    assert (left + right).minor == a + b
    assert (left - right).minor == a - b
    assert (left < right, left <= right, left > right, left >= right) == (a < b, a <= b, a > b, a >= b)
    assert (left == right) is (a == b)


@pytest.mark.parametrize(
    "apply",
    [operator.truediv, operator.floordiv, operator.mod, divmod, operator.mul, operator.pow],
    ids=lambda f: f.__name__,
)
def test_money_cannot_be_divided(apply: Callable[[Any, Any], Any]) -> None:
    for other in (2, 2.0, Money(2, CNY)):
        with pytest.raises(TypeError):
            apply(Money(100, CNY), other)


@pytest.mark.parametrize("apply", [operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge])
def test_two_currencies_never_meet(apply: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(CurrencyMismatch):
        apply(Money(1, CNY), Money(1, CURRENCIES["USD"]))
    assert Money(1, CNY) != Money(1, CURRENCIES["USD"])


@pytest.mark.parametrize("code", ["XXX", "cny", "CNY ", "", "CN", None, 156, ["CNY"], {"a": 1}], ids=repr)
def test_an_unknown_currency_is_refused(code: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        currency(code)
    assert (refused.value.code, refused.value.param) == ("unknown_currency", "/currency")
