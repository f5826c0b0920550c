"""The embedded broker, the default, runs as long as any process uses it."""

import pytest

from tests.nursery import piped
from tests.servers import wait_for


class User:
    """A process that uses the broker until its input ends."""

    def __init__(self, folder):
        self._process = piped(
            "-m", "tests.cdcproject.broker_user",
            VAR_DIR=str(folder), CELERY_BROKER_URL="",
            DJANGO_SETTINGS_MODULE="cdcproject.settings",
        )  # fmt: skip

    def uses(self) -> int:
        return int(self._process.stdout.readline())

    def leave(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait(60) == 0


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    wait_for(lambda: not (tmp_path / "broker" / "broker.sock").exists(), what="the broker's end")


def test_the_first_starts_it_and_it_outlives_the_first(folder):
    first = User(folder)
    assert first.uses() == 1
    second = User(folder)
    assert second.uses() == 2

    first.leave()

    third = User(folder)
    assert third.uses() == 3
    second.leave()
    third.leave()


def test_what_it_holds_outlives_it(folder):
    first = User(folder)
    assert first.uses() == 1
    first.leave()
    wait_for(lambda: not (folder / "broker" / "broker.sock").exists())

    second = User(folder)

    assert second.uses() == 2
    second.leave()
