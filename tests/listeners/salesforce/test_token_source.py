"""Tokens are renewed in time, and a refresh token is neither lost nor sent twice when something
fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self

import pytest
import requests

from listeners.salesforce.errors import LoginRefused, LoginUnavailable
from listeners.salesforce.tokens import persist
from listeners.salesforce.tokens.login import Lifetime
from listeners.salesforce.tokens.source import TokenSource
from listeners.salesforce.tokens.store import (
    MemoryLedger,
    MemoryStore,
    StoredTokens,
    TokenStoreUnavailable,
    Trouble,
)
from listeners.salesforce.tokens.tokens import LoginResult, Token

LIFE = Lifetime(1000.0)


@dataclass
class Org:
    """An org that rotates refresh tokens, and revokes all tokens when one is sent twice."""

    valid: str = "refresh-0"
    sent: list[str] = field(default_factory=list)
    answers: list[Callable[[LoginResult], LoginResult]] = field(default_factory=list)

    def refresh(self, refresh_token: str) -> LoginResult:
        self.sent.append(refresh_token)
        if refresh_token != self.valid:
            self.valid = ""
            raise LoginRefused(
                "invalid_grant", "expired access/refresh token", ends_refresh_token=True
            )
        number = len(self.sent)
        granted = LoginResult(Token(f"access-{number}", "https://x.example"), f"refresh-{number}")
        if not self.answers:
            self.valid = f"refresh-{number}"
            return granted
        return self.answers.pop(0)(granted)


@dataclass(frozen=True)
class Refresh:
    """A grant that logs in at its org with a refresh token."""

    org: Org
    refresh_token: str = "refresh-0"

    def login(self, http: requests.Session) -> LoginResult:
        return self.org.refresh(self.refresh_token)

    def with_refresh_token(self, refresh_token: str) -> Self:
        return replace(self, refresh_token=refresh_token)


class Clock:
    """A clock that a test sets, in seconds since 1970."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class RememberingLedger(MemoryLedger):
    def __init__(self) -> None:
        super().__init__()
        self.troubles: list[Trouble] = []
        self.mends: list[Trouble] = []

    def trouble(self, trouble: Trouble) -> None:
        self.troubles.append(trouble)

    def mended(self, trouble: Trouble) -> None:
        self.mends.append(trouble)


@dataclass
class Setting:
    """An org, a token store and a ledger that several token sources share."""

    org: Org = field(default_factory=Org)
    store: MemoryStore = field(default_factory=MemoryStore)
    ledger: RememberingLedger = field(default_factory=RememberingLedger)
    clock: Clock = field(default_factory=Clock)

    def source(self, **more: Any) -> TokenSource:
        settings: dict[str, Any] = {
            "store": self.store,
            "ledger": self.ledger,
            "now": self.clock,
            "lifetime": LIFE,
            "lock_seconds": 0.4,
        }
        return TokenSource(Refresh(self.org), **{**settings, **more})


@pytest.fixture
def given() -> Setting:
    return Setting()


def test_a_token_near_its_end_is_given_while_a_new_one_is_fetched(given: Setting) -> None:
    slow, source = threading.Event(), given.source()
    first = source.get()
    given.org.answers.append(lambda granted: _rotate(given.org, granted, slow))
    given.clock.seconds = 950.0

    assert source.get() == first
    slow.set()
    source.settle(20)

    assert source.get().access_token == "access-2"


def test_a_renewal_ahead_of_time_that_fails_leaves_the_token_in_use(given: Setting) -> None:
    source = given.source()
    first = source.get()
    given.org.answers.append(_unavailable(may_have_worked=False))
    given.clock.seconds = 950.0

    source.get()
    source.settle(20)

    assert source.get() == first
    assert len(given.org.sent) == 2, "not again before a pause"


@dataclass(frozen=True)
class Same:
    """A grant without a refresh token, whose org always gives the same token."""

    logins: list[int] = field(default_factory=list)
    refresh_token = ""

    def login(self, http: requests.Session) -> LoginResult:
        self.logins.append(1)
        return LoginResult(Token("the same", "https://x.example"))

    def with_refresh_token(self, refresh_token: str) -> Self:
        return self


def test_what_was_refused_counts_again_when_a_later_login_gives_the_same(given: Setting) -> None:
    grant = Same()
    source = TokenSource(grant, now=given.clock)
    source.invalidate(source.get())
    given.clock.seconds = 1.0

    for _ in range(5):
        source.get()

    assert len(grant.logins) == 2


def test_other_credentials_do_not_touch_what_is_kept(given: Setting) -> None:
    mine, other = (
        given.source(seed="mine"),
        TokenSource(Refresh(Org(valid="x", sent=[]), "x"), seed="of yesterday", store=given.store),
    )
    mine.get()

    other.get()

    given.clock.seconds = 2000.0
    assert mine.get().access_token == "access-2"
    assert given.org.sent == ["refresh-0", "refresh-1"]


def test_a_spent_refresh_token_is_not_sent_again(given: Setting) -> None:
    given.source().get()
    forgetful = given.source(store=MemoryStore())

    with pytest.raises(LoginRefused, match="already used or revoked") as refused:
        forgetful.get()

    assert refused.value.is_final
    assert given.org.sent == ["refresh-0"]


def test_a_revoked_pair_is_cleared_and_not_tried_again(given: Setting) -> None:
    source = given.source()
    source.get()
    given.org.valid = "somebody else's"
    given.clock.seconds = 2000.0

    for _ in range(3):
        with pytest.raises(LoginRefused):
            source.get()

    assert given.org.sent == ["refresh-0", "refresh-1"]
    assert given.store.load("configured") == StoredTokens(seed="configured", rotates=True)
    assert given.ledger.troubles == [Trouble.REVOKED]


def test_an_answer_that_was_lost_is_not_asked_for_again_while_the_token_is_good(
    given: Setting,
) -> None:
    source = given.source()
    first = source.get()
    given.org.answers.append(_unavailable(may_have_worked=True))
    for seconds in (950.0, 980.0):
        given.clock.seconds = seconds
        assert source.get() == first
        source.settle(20)

    assert given.org.sent == ["refresh-0", "refresh-1"]
    given.clock.seconds = 2000.0
    assert source.get().access_token == "access-3"
    assert Trouble.CUT_OFF in given.ledger.troubles


@pytest.mark.parametrize("what", ["refused", "unavailable"])
def test_a_clear_no_leaves_no_doubt_about_the_refresh_token(given: Setting, what: str) -> None:
    source = given.source()
    source.get()
    no = LoginRefused("invalid_client") if what == "refused" else LoginUnavailable("no route")
    given.org.answers.append(_raising(no))
    given.clock.seconds = 2000.0
    with pytest.raises(type(no)):
        source.get()

    assert source.get().access_token == "access-3"
    assert given.ledger.troubles == []


def test_another_process_waits_for_who_has_sent_the_refresh_token(
    given: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That process may be cut off from the store and return with the answer."""
    monkeypatch.setattr(persist, "_RETRY_SECONDS", 0.05)  # soon enough between the other's attempts
    source, other = (given.source(lock_seconds=10) for _ in range(2))
    source.get()
    given.clock.seconds = 2000.0
    slow = threading.Event()
    given.org.answers.append(lambda granted: _rotate(given.org, granted, slow))
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda s=s: results.append(s.get().access_token))
        for s in (source, other)
    ]
    threads[0].start()
    while len(given.org.sent) < 2:
        pass
    cut_off(given.store)
    threads[1].start()
    slow.set()
    for thread in threads:
        thread.join(20)

    assert results == ["access-2", "access-2"]
    assert given.org.sent == ["refresh-0", "refresh-1"]


def test_a_token_that_another_login_can_replace_is_not_held_for_the_store(given: Setting) -> None:
    store: Any = Failing(given.store, fails_from_save=1)
    source = TokenSource(Same(), store=store, now=given.clock)

    assert source.get().access_token == "the same"

    assert given.store.lock("another process", 10) is not None
    assert not given.ledger.troubles


def test_it_waits_for_the_lock_of_another_process(given: Setting) -> None:
    store = Counting()
    store.lock("another process", 0.5)

    assert given.source(store=store).get().access_token == "access-1"

    assert store.loads < 50  # it waits between two looks


def test_a_token_that_could_not_be_stored_is_stored_later_under_a_new_lock(
    given: Setting,
) -> None:
    store = Failing(given.store)
    source = given.source(store=store)
    source.get()
    given.clock.seconds = 2000.0
    store.fails_from_save = 2  # the mark is written, the new pair is not

    assert source.get().access_token == "access-2"

    cut_off(given.store)
    _until(lambda: given.ledger.troubles == [Trouble.NOT_STORED])
    store.fails_from_save = None
    _until(lambda: given.store.load("configured").refresh_token == "refresh-2")
    _until(lambda: Trouble.NOT_STORED in given.ledger.mends)
    given.clock.seconds = 4000.0
    assert given.source().get().access_token == "access-3"
    assert given.org.sent == ["refresh-0", "refresh-1", "refresh-2"]


def test_a_caller_that_is_interrupted_during_a_login_does_not_lose_its_result(
    given: Setting,
) -> None:
    slow = threading.Event()
    given.org.answers.append(lambda granted: _rotate(given.org, granted, slow))
    source = given.source()
    waiting = threading.Thread(target=source.get, daemon=True)
    waiting.start()  # as if interrupted: its result is not used
    while not given.org.sent:
        pass
    slow.set()
    source.settle(20)

    assert given.store.load("configured").refresh_token == "refresh-1"


def test_a_former_store_is_where_the_line_goes_on(given: Setting) -> None:
    given.source().get()
    moved = given.source(store=MemoryStore(), former_stores=[given.store])

    assert moved.get().access_token == "access-2"
    assert given.org.sent == ["refresh-0", "refresh-1"]


def test_an_operator_can_ask_for_a_login_though_the_token_is_good(given: Setting) -> None:
    given.source().get()
    source = given.source(must_log_in=True)

    assert [source.get().access_token, source.get().access_token] == ["access-2", "access-2"]


@pytest.mark.parametrize(
    "text",
    [
        *("null", "[]", '"x"', "{}", '{"token": "x"}', '{"token": {}}'),
        *('{"token": null, "more": 1}', '{"token": {"access_token": "a", "more": 1}}'),
    ],
)
def test_what_was_never_stored_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match="stored form of tokens"):
        StoredTokens.from_json(text)


def test_what_is_stored_is_read_as_it_was() -> None:
    kept = StoredTokens("seed", Token("a", "https://x.example"), 5.0, "r", True)

    assert StoredTokens.from_json(kept.to_json()) == kept
    assert "refresh" not in repr(kept).replace("refresh_token", "")


class Counting(MemoryStore):
    loads = 0

    def load(self, seed: str) -> StoredTokens:
        self.loads += 1
        return super().load(seed)


@dataclass
class Failing:
    """A token store whose saves fail from a given one on."""

    store: MemoryStore
    fails_from_save: int | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    def save(self, fence: int, kept: StoredTokens) -> bool:
        if self.fails_from_save is not None:
            self.fails_from_save -= 1
            if self.fails_from_save < 1:
                self.fails_from_save = 1
                raise TokenStoreUnavailable("it is away")
        return self.store.save(fence, kept)

    def extend(self, fence: int, seconds: float) -> bool:
        if self.fails_from_save is not None:
            raise TokenStoreUnavailable("it is away")
        return self.store.extend(fence, seconds)


def cut_off(store: MemoryStore) -> None:
    """Let another process take the lock, as after it expired, and release it."""
    with store._guard:  # the holder extends its lock meanwhile
        store._fence += 1
        store._locked_until = None


def _rotate(org: Org, granted: LoginResult, slow: threading.Event) -> LoginResult:
    assert granted.refresh_token
    org.valid = granted.refresh_token
    slow.wait(20)
    return granted


def _raising(failure: Exception) -> Callable[[LoginResult], LoginResult]:
    def answer(granted: LoginResult) -> LoginResult:
        raise failure

    return answer


def _unavailable(*, may_have_worked: bool) -> Callable[[LoginResult], LoginResult]:
    return _raising(LoginUnavailable("no answer", may_have_worked=may_have_worked))


def _until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in _patience():
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("it did not come true")


def _patience() -> Iterator[int]:
    return iter(range(1500))
