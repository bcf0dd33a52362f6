"""Secrets at rest: sealed differently each time, opened only in their place, by any configured key."""

import pytest

from tests.simulated import SimIds
from tongbao.domain.errors import Misconfigured
from tongbao.services.vault import Vault

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


def test_what_is_sealed_opens_in_its_place_only(ids: SimIds) -> None:
    vault = Vault([OLD], ids)
    sealed = vault.seal(b"secret", "table|1|column")
    assert vault.open(sealed, "table|1|column") == b"secret"
    assert sealed != vault.seal(b"secret", "table|1|column")
    assert b"secret" not in sealed
    with pytest.raises(Misconfigured):
        vault.open(sealed, "table|2|column")


def test_every_flipped_byte_is_noticed(ids: SimIds) -> None:
    vault = Vault([OLD], ids)
    sealed = vault.seal(b"secret", "c")
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(Misconfigured):
            vault.open(bytes(changed), "c")


def test_a_new_key_seals_and_the_old_one_still_opens(ids: SimIds) -> None:
    sealed = Vault([OLD], ids).seal(b"secret", "c")
    both = Vault([NEW, OLD], ids)
    assert both.open(sealed, "c") == b"secret"
    fresh = both.seal(b"secret", "c")
    assert Vault([NEW], ids).open(fresh, "c") == b"secret"
    with pytest.raises(Misconfigured):
        Vault([OLD], ids).open(fresh, "c")


def test_a_key_of_another_length_is_refused(ids: SimIds) -> None:
    for keks in ([], [b"short"]):
        with pytest.raises(Misconfigured):
            Vault(keks, ids)
