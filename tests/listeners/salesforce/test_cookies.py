from __future__ import annotations

import pytest

from listeners.salesforce.cometd.transport import RawCookies


def sent_after(*set_cookies: str) -> str | None:
    cookies = RawCookies()
    cookies.store(set_cookies)
    return cookies.header().get("Cookie")


@pytest.mark.parametrize(
    "value", ['"abc+/="', "abc+/==", "a b", "%2B%25", '"a\\"b"', "!x,y", "", "é"]
)
def test_a_value_is_sent_back_as_it_stood(value: str) -> None:
    assert sent_after(f"BAYEUX_BROWSER={value}; Path=/cometd/; HttpOnly") == (
        f"BAYEUX_BROWSER={value}"
    )


def test_a_later_value_replaces_an_earlier_one() -> None:
    assert sent_after("a=1", "b=2", "a=3") == "a=3; b=2"


@pytest.mark.parametrize(
    "attributes",
    ["Max-Age=0", "max-age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Path=/; MAX-AGE=0"],
)
def test_an_expired_cookie_is_forgotten(attributes: str) -> None:
    assert sent_after("a=1", "b=2", f"a=gone; {attributes}") == "b=2"


@pytest.mark.parametrize(
    "attributes",
    ["Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Expires=never", "Expires", "Max-Age=x"],
)
def test_a_living_or_unreadable_expiry_keeps_the_cookie(attributes: str) -> None:
    assert sent_after(f"a=1; {attributes}") == "a=1"


@pytest.mark.parametrize("header", ["", ";", "nonsense", "=x", " ; Path=/"])
def test_what_is_no_cookie_is_passed_over(header: str) -> None:
    assert sent_after(header) is None
