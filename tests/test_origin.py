"""Which pages belong to a host."""

import pytest

from hexclave_integrations._base.origin import is_own_origin

OWN = [
    ("https://shop.example", "shop.example"),
    ("http://shop.example", "shop.example"),
    ("https://shop.example", "shop.example:443"),
    ("https://shop.example:443", "shop.example"),
    ("http://shop.example", "shop.example:80"),
    ("http://localhost:8000", "localhost:8000"),
    ("https://SHOP.example", "shop.EXAMPLE"),
    ("http://127.0.0.1:8000", "127.0.0.1:8000"),
    ("http://[::1]:8000", "[::1]:8000"),
    ("https://[::1]", "[::1]:443"),
    ("https://my_shop.example", "my_shop.example"),
    ("https://shop.example.", "shop.example."),
]

FOREIGN = [
    (None, "shop.example"),
    ("", "shop.example"),
    ("https://shop.example", None),
    ("https://shop.example", ""),
    (None, None),
    ("null", "shop.example"),
    ("null", "null"),
    ("https://blog.shop.example", "shop.example"),
    ("https://example", "shop.example"),
    ("https://shop.example.evil.example", "shop.example"),
    ("https://evilshop.example", "shop.example"),
    ("https://shop.example:8443", "shop.example"),
    ("https://shop.example", "shop.example:8443"),
    ("https://shop.example", "shop.example:80"),
    ("http://shop.example", "shop.example:443"),
    ("https://shop.example:80", "shop.example"),
    ("https://shop.example:0443", "shop.example"),
    ("https://shop.example:", "shop.example"),
    ("https://shop.example.", "shop.example"),
    ("https://shop.example", "shop.example."),
    ("https://user@shop.example", "shop.example"),
    ("https://shop.example@evil.example", "shop.example"),
    ("https://shop.example/", "shop.example"),
    ("https://shop.example/path", "shop.example"),
    ("https://shop.example?", "shop.example"),
    ("https://shop.example#", "shop.example"),
    ("https://shop.example\\@evil.example", "shop.example"),
    ("https://shop.example https://evil.example", "shop.example"),
    ("https://shop.example, https://evil.example", "shop.example"),
    (" https://shop.example", "shop.example"),
    ("https://shop.example\n", "shop.example"),
    ("https://shop.example", "shop.example\n"),
    ("//shop.example", "shop.example"),
    ("shop.example", "shop.example"),
    ("ftp://shop.example", "shop.example"),
    ("chrome-extension://shop.example", "shop.example"),
    ("file://", ""),
    ("https://[::1]", "::1"),
    ("https://[::1]:8000", "[::1]:8001"),
    ("https://[::1", "[::1"),
    ("https://[::1%25eth0]", "[::1%25eth0]"),
    ("https://\u017fhop.example", "shop.example"),
    ("https://\uff53hop.example", "shop.example"),
    ("https://shop.example:\u0664\u0664\u0663", "shop.example"),
]


@pytest.mark.parametrize(("origin", "host"), OWN)
def test_own_page(origin: str, host: str) -> None:
    """Host and port agree, where default ports may be left out and case does not count."""
    assert is_own_origin(origin, host) is True


@pytest.mark.parametrize(("origin", "host"), FOREIGN)
def test_foreign_page(origin: str | None, host: str | None) -> None:
    """Anything else is another page, and so is what cannot be read."""
    assert is_own_origin(origin, host) is False
