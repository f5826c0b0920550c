from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Self

import pytest
import requests

from listeners.salesforce.errors import LoginRefused
from listeners.salesforce.tokens.source import TokenSource
from listeners.salesforce.tokens.tokens import LoginResult, Token


@dataclass
class CountingGrant:
    """Gives token 1, 2, 3…; each with a rotated refresh token if ``rotates``."""

    rotates: bool = False
    used: list[str] = field(default_factory=list)
    refresh_token: str = "refresh-0"

    def login(self, http: requests.Session) -> LoginResult:
        self.used.append(self.refresh_token)
        number = len(self.used)
        token = Token(f"access-{number}", "https://x.example")
        return LoginResult(token, f"refresh-{number}" if self.rotates else None)

    def with_refresh_token(self, refresh_token: str) -> Self:
        return replace(self, refresh_token=refresh_token)


def access(source: TokenSource) -> str:
    return source.get().access_token


def test_a_token_is_fetched_once_and_kept() -> None:
    grant = CountingGrant()
    source = TokenSource(grant)

    assert [access(source), access(source)] == ["access-1", "access-1"]
    assert len(grant.used) == 1


def test_an_invalidated_token_is_replaced() -> None:
    source = TokenSource(CountingGrant())

    source.invalidate(source.get())

    assert access(source) == "access-2"


def test_invalidating_an_old_token_leaves_the_current_one() -> None:
    source = TokenSource(CountingGrant())
    old = source.get()
    source.invalidate(old)
    source.get()

    source.invalidate(old)

    assert access(source) == "access-2"


def test_many_threads_share_one_login() -> None:
    grant = CountingGrant()
    source = TokenSource(grant)
    together = threading.Barrier(8)
    seen: list[str] = []

    def fetch() -> None:
        together.wait(60)
        seen.append(access(source))

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert seen == ["access-1"] * 8
    assert len(grant.used) == 1


def test_a_failed_login_is_raised_and_nothing_is_kept() -> None:
    def outcomes() -> Iterator[LoginResult]:
        yield LoginResult(Token("access-1", "https://x.example"))

    class FailsFirst(CountingGrant):
        def login(self, http: requests.Session) -> LoginResult:
            self.used.append(self.refresh_token)
            if len(self.used) == 1:
                raise LoginRefused("invalid_grant", "authentication failure")
            return next(outcomes())

    source = TokenSource(FailsFirst())
    with pytest.raises(LoginRefused):
        source.get()

    assert access(source) == "access-1"


def test_each_login_uses_the_last_rotated_refresh_token() -> None:
    grant = CountingGrant(rotates=True)
    source = TokenSource(grant)

    for _ in range(3):
        source.invalidate(source.get())

    assert grant.used == ["refresh-0", "refresh-1", "refresh-2"]
