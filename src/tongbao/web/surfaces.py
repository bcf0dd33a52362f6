"""Where a checkout page was opened, and which methods it offers there. Pure tables over the user agent.

Rule 1: a desk gets what a desk can use (`desktop`, `qr`), a phone what a phone can use first (`mobile`, then `qr`).
Rule 2: inside a wallet's own browser the methods of its own that work there come alone: the others' pages are blocked.
        Where there are none, all are shown and the page says plainly that it should be opened elsewhere.
Rule 3: a filter never leaves an empty page: when nothing fits, everything that a page can carry out is offered.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tongbao.domain.money import Money
from tongbao.services.accounts import Offer

PAGE_SURFACES = frozenset({"desktop", "mobile", "wallet", "qr"})
"""What a hosted page can carry out by itself; in_app and counter need an app or a scanner around it."""

PREFERENCES: dict[str, tuple[str, ...]] = {
    "desk": ("desktop", "qr"),
    "phone": ("mobile", "qr"),
    "wallet": ("wallet",),
    "program": ("desktop", "qr", "mobile"),
}
"""Which surfaces each device is offered, best first. A program (no browser at all) sees them all. A wallet on a phone
opens only some pages, not always its own channel's (`wallet`), and a code to scan is of no use there, as the phone that
would scan it shows it."""

WALLETS: tuple[tuple[str, str], ...] = (
    ("MicroMessenger", "wechatpay"),
    ("AlipayClient", "alipay"),
    ("UnionPay", "unionpay"),
)
"""A wallet's browser by its mark in the user agent -> the channel that works inside."""

_PHONE = re.compile(r"Mobi|Android|iPhone|iPod|HarmonyOS|OpenHarmony|Windows Phone|MicroMessenger|AlipayClient")
_NOT_PHONE = re.compile(r"WindowsWechat|MacWechat|iPad|Macintosh|X11; Linux|Windows NT")
_BROWSER = re.compile(r"Mozilla/|Opera/")


@dataclass(frozen=True, slots=True)
class Surface:
    """`device` is desk, phone or program; `wallet` the channel whose app opened the page, or None."""

    device: str
    wallet: str | None = None


def surface_of(user_agent: str) -> Surface:
    """Reads a user agent; one that is no browser's is a program."""
    if not _BROWSER.search(user_agent):
        return Surface("program")
    wallet = next((channel for mark, channel in WALLETS if mark in user_agent), None)
    phone = bool(_PHONE.search(user_agent)) and not _NOT_PHONE.search(user_agent)
    return Surface("phone" if phone else "desk", wallet)


def takes(offer: Offer, amount: Money) -> bool:
    """Whether the method takes this amount in this currency."""
    bounds = offer.capability
    return amount.currency.code in bounds.currencies and bounds.amount_min <= amount.minor <= bounds.amount_max


def arrange(offers: Sequence[Offer], surface: Surface) -> list[Offer]:
    """What the page offers there, in order: by how well it fits the device, then as the accounts list it."""
    possible = [offer for offer in offers if offer.capability.surfaces & PAGE_SURFACES]
    own = _works_inside(possible, surface)
    wanted = PREFERENCES["wallet" if own and surface.device == "phone" else surface.device]
    fitting = own or [offer for offer in possible if offer.capability.surfaces & set(wanted)]
    return sorted(fitting or possible, key=lambda offer: _rank(offer, wanted))


def _works_inside(offers: Sequence[Offer], surface: Surface) -> list[Offer]:
    """What the wallet that opened the page can pay by: on a phone what it opens itself, on a desk what a desk can."""
    wanted = PREFERENCES["wallet" if surface.device == "phone" else surface.device]
    own = [offer for offer in offers if offer.channel == surface.wallet]
    return [offer for offer in own if offer.capability.surfaces & set(wanted)]


def _rank(offer: Offer, wanted: Sequence[str]) -> int:
    ranks = [rank for rank, surface in enumerate(wanted) if surface in offer.capability.surfaces]
    return min(ranks, default=len(wanted))


def opened_elsewhere(offers: Sequence[Offer], surface: Surface) -> bool:
    """Whether a wallet opened this page in which no method works: the page says so."""
    return surface.wallet is not None and not _works_inside(offers, surface)
