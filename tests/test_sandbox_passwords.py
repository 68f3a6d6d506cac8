"""How the sandbox keeps passwords."""

import pytest

from hexclave_integrations.testing._passwords import hash_password, password_matches


def test_a_password_matches_its_hash_and_no_other() -> None:
    """The right password is accepted, and one that differs in a letter is not."""
    kept = hash_password("correct horse")
    assert password_matches("correct horse", kept)
    assert not password_matches("correct horsf", kept)


def test_a_hash_is_salted_and_does_not_hold_the_password() -> None:
    """Two hashes of one password differ, and neither shows it."""
    first, second = hash_password("correct horse"), hash_password("correct horse")
    assert first != second
    assert "correct" not in first


@pytest.mark.parametrize("kept", [None, "", "correct horse", "scrypt$!$!", "scrypt$AAAA$AAAA", "other$AAAA$AAAA"])
def test_nothing_matches_what_is_no_hash(kept: str | None) -> None:
    """What `hash_password` did not write lets nobody in."""
    assert not password_matches("correct horse", kept)
