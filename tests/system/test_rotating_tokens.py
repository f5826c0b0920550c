"""Eight processes share a refresh token that Salesforce rotates: one refresh an expiry, each token
sent once. Sending one twice would revoke everything."""

import json
import signal
from contextlib import suppress

import pytest
from django.db import connection as database

from audit.models import Incident
from cdcproject.celery import app
from listeners.models import Connection, SpentToken
from tests.nursery import piped
from tests.processes import same_database
from tests.sample_data import connection_to, make_listener
from tests.servers import RedisServer, wait_for
from tests.simulator.process import SimulatorProcess
from tests.token_process import POINTS

pytestmark = pytest.mark.anywhere

PROCESSES = 8
LIFE = 3600.0
# Many processes at once are for PostgreSQL, and for Redis beside any database.
STORES = pytest.mark.parametrize(
    "store", ["redis"] if database.vendor == "sqlite" else ["redis", "database"]
)


class TokenUser:
    """A `tests.token_process`."""

    def __init__(self, connection: Connection, **environment: str) -> None:
        asked = ("-m", "tests.token_process", connection.name)
        self._process = piped(*asked, **same_database(), **environment)

    def ask(self, **command: object) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, str] | None:
        """Return the process's answer, or None if it died."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdin
        assert self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()


class Crowd:
    """Several token processes, with a replacement for each one that dies."""

    def __init__(self, connection: Connection, size: int) -> None:
        self._connection = connection
        self._users = [TokenUser(connection) for _ in range(size)]

    def ask_all(self, **command: object) -> list[dict[str, str]]:
        """Send the command to all at once, and return the answers of those that lived."""
        for user in self._users:
            user.ask(**command)
        answers = [user.answer() for user in self._users]
        for number, answer in enumerate(answers):
            if answer is None:
                self._users[number].kill()
                self._users[number] = TokenUser(self._connection)
        return [answer for answer in answers if answer is not None]

    def close(self) -> None:
        for user in self._users:
            user.kill()


@pytest.fixture
def org():
    with SimulatorProcess("--rotate-refresh-tokens") as simulator:
        yield simulator


@pytest.fixture
def user_of(transactional_db, broker):
    """Starts a process that uses a connection's tokens, and ends it after the test."""
    users: list[TokenUser] = []

    def start(connection: Connection, **environment: str) -> TokenUser:
        users.append(TokenUser(connection, **environment))
        return users[-1]

    yield start
    for user in users:
        user.kill()


@pytest.fixture
def crowd_of(transactional_db, broker, org):
    """Starts the processes for a token store."""
    crowds: list[Crowd] = []

    def make(store: str, size: int = PROCESSES) -> Crowd:
        connection = connection_to(org.url, org.credentials, auth="refresh_token", name="prod")
        Connection.objects.filter(pk=connection.pk).update(token_store=store)
        make_listener(connection=connection)
        crowds.append(Crowd(connection, size))
        return crowds[-1]

    yield make
    for crowd in crowds:
        crowd.close()


def logins(org: SimulatorProcess) -> dict[str, int]:
    return org.state()["logins"]


def sent_refresh_tokens(org: SimulatorProcess) -> list[str]:
    return [line["form"]["refresh_token"] for line in org.state()["token_requests"]]


def hold_answer(org: SimulatorProcess) -> None:
    """Hold the answer to the next refresh, long enough for what a test does meanwhile."""
    org.fault("stall", target="token", seconds=10.0)


@STORES
def test_each_of_200_expiries_is_one_refresh(crowd_of, org, store):
    crowd = crowd_of(store)
    seen: list[str] = []

    for expiry in range(200):
        answers = crowd.ask_all(at=expiry * (LIFE + 1))

        tokens = {answer.get("token") for answer in answers}
        assert len(answers) == PROCESSES
        assert len(tokens) == 1, answers
        seen += tokens

    assert len(set(seen)) == 200
    assert logins(org)["refresh_requests"] == 200
    assert logins(org)["refresh_reuses"] == 0
    assert len(set(sent_refresh_tokens(org))) == 200


@STORES
def test_a_process_that_is_killed_while_it_holds_the_lock_costs_nothing(
    crowd_of, org, store, tmp_path
):
    crowd = crowd_of(store)
    rounds = [*POINTS, *POINTS]

    for number, point in enumerate(rounds, 1):
        flag = tmp_path / "one of you"
        flag.touch()
        answers = crowd.ask_all(at=number * (LIFE + 1), die=point, flag=str(flag))

        assert not flag.exists(), f"no process died at {point!r}"
        assert len(answers) == PROCESSES - 1
        assert len({answer.get("token") for answer in answers}) == 1, answers
        assert logins(org)["refresh_requests"] == number

    assert logins(org)["refresh_reuses"] == 0
    assert len(set(sent_refresh_tokens(org))) == len(rounds)


@STORES
def test_after_a_kill_in_the_middle_of_a_refresh_a_new_token_helps(user_of, store):
    with SimulatorProcess("--rotate-refresh-tokens") as org:
        connection = connection_to(org.url, org.credentials, auth="refresh_token", name="prod")
        Connection.objects.filter(pk=connection.pk).update(token_store=store)
        make_listener(connection=connection)
        first, second = user_of(connection), user_of(connection)
        first.ask(at=0)
        first.answer()
        hold_answer(org)
        first.ask(at=LIFE + 1)
        wait_for(lambda: logins(org)["refresh_requests"] == 2, what="the refresh")
        first.kill()

        second.ask(at=LIFE + 1)
        refused = second.answer()

        assert "expired access/refresh token" in refused["refused"]
        assert logins(org)["refresh_reuses"] == 1  # whether it was spent could not be known
        assert {i.key for i in Incident.objects.filter(kind="login")} == {"cut_off", "revoked"}
        spent = SpentToken.objects.count()
        asked = logins(org)["refresh_requests"]

        third = user_of(connection)
        third.ask(at=LIFE + 2)
        assert "already used or revoked" in third.answer()["refused"]
        assert logins(org)["refresh_requests"] == asked, "a revoked token was sent again"
        assert spent == 2

        connection.refresh_token = org.new_refresh_token()
        connection.save()
        fourth = user_of(connection)
        fourth.ask(at=LIFE + 3)
        assert "token" in fourth.answer()


def test_a_redis_that_forgot_everything_costs_nothing_while_a_process_lives(crowd_of, org, broker):
    crowd = crowd_of("redis", size=3)
    crowd.ask_all(at=0)
    crowd.ask_all(at=LIFE + 1)
    with app.connection_for_write() as connection:
        connection.default_channel.client.flushall()

    answers = crowd.ask_all(at=2 * (LIFE + 1))

    assert len({answer.get("token") for answer in answers}) == 1, answers
    assert logins(org)["refresh_requests"] == 3
    assert logins(org)["refresh_reuses"] == 0


@STORES
def test_a_refresh_that_takes_longer_than_the_lock_still_is_the_only_one(user_of, store):
    with SimulatorProcess("--rotate-refresh-tokens", "--token-seconds", "1.5") as org:
        connection = connection_to(
            org.url, org.credentials, auth="refresh_token", name="prod", token_store=store
        )
        users = [user_of(connection) for _ in range(3)]  # their locks last for a second

        for user in users:
            user.ask(at=0)
        answers = [user.answer() for user in users]
        assert len({answer.get("token") for answer in answers}) == 1, answers
        assert logins(org)["refresh_requests"] == 1


@STORES
def test_a_process_that_slept_through_its_lock_cannot_write(user_of, store):
    """It wakes with a token that others have replaced: their token stays."""
    with SimulatorProcess() as org:  # no rotation: both refreshes succeed
        connection = connection_to(
            org.url, org.credentials, auth="refresh_token", name="prod", token_store=store
        )
        sleeper, other, third = (user_of(connection) for _ in range(3))
        hold_answer(org)
        sleeper.ask(at=0)
        wait_for(lambda: logins(org)["refresh_requests"], what="the refresh")
        sleeper.signal(signal.SIGSTOP)

        other.ask(at=0)
        theirs = other.answer()
        sleeper.signal(signal.SIGCONT)
        woken = sleeper.answer()
        third.ask(at=0)

        assert third.answer() == theirs
        assert woken != theirs
        assert "token" in woken  # Salesforce accepts that token too; only this process uses it


def test_a_new_token_that_cannot_be_stored_is_kept_until_it_can(user_of, tmp_path):
    with (
        SimulatorProcess("--rotate-refresh-tokens") as org,
        RedisServer(tmp_path) as redis,
    ):
        connection = connection_to(
            org.url, org.credentials, auth="refresh_token", name="prod", token_store="redis"
        )
        make_listener(connection=connection)
        user = user_of(connection, REDIS_URL=redis.url)
        hold_answer(org)
        user.ask(at=0)
        wait_for(lambda: logins(org)["refresh_requests"], what="the refresh")
        redis.stop()

        first = user.answer()

        assert "token" in first  # the access token is good, and the refresh token is not lost:
        wait_for(lambda: open_incidents() == {"not_stored"}, what="the incident")
        redis.start()
        wait_for(lambda: open_incidents() == set(), what="the incident's end")
        user.kill()

        heir = user_of(connection, REDIS_URL=redis.url)
        heir.ask(at=0)
        assert heir.answer() == first
        heir.ask(at=LIFE + 1)
        assert "token" in heir.answer()
        assert logins(org)["refresh_reuses"] == 0


def open_incidents() -> set[str]:
    return set(Incident.objects.filter(kind="login", closed_at=None).values_list("key", flat=True))
