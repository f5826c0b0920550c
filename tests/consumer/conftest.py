import threading
import time

import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from cdcproject.conf.db_timeouts import limit_sessions
from consumer.host import supervisor
from consumer.host.supervisor import Supervisor
from handlers.external import application, apps
from tests.consumer.hearing import begin_now
from tests.consumer.losing import Entity
from tests.sample_data import listener_of
from tests.servers import PATIENCE_SECONDS, wait_for
from tests.simulator.process import SimulatorProcess


@pytest.fixture(scope="session")
def org():
    with SimulatorProcess("--connect-timeout", "5", "--grpc-keep-alive", "1", grpc=True) as running:
        yield running


@pytest.fixture
def entity(org):
    """An entity of the org of the test's module, with a listener that can lose its changes."""
    return Entity(org)


@pytest.fixture
def heard(org):
    """A listener of the org with a position after all events so far."""
    listener = listener_of(org)
    begin_now(org, listener)
    org.forget_requests()
    return listener


@pytest.fixture
def account(org, heard):
    [record_id] = org.create("Account", Name="Acme", Phone="1")
    begin_now(org, heard)
    return record_id


@pytest.fixture
def patient(monkeypatch):
    """Wait long for brokers to accept connections and to answer: they may be slow."""
    for module in (application, apps):
        monkeypatch.setattr(module, "CONNECT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(application, "ANSWER_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def limited():
    """Database sessions with the limits of listener and worker processes."""
    connection.close()
    limit_sessions(idle_in_transaction=60.0)
    yield
    connection_created.disconnect(dispatch_uid="limit_sessions")
    connection.close()


class Hosting:
    """Runs a supervisor as `run_cdc_listener` does, in a thread of the test."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._code: int | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def is_standing_by(self) -> bool:
        return self._supervisor.is_standing_by()

    def end_when_idle(self, seconds: float) -> None:
        """Let it end after so many seconds without work, if it was started with `idle_seconds`."""
        self._supervisor._idle_seconds = seconds

    def wait_until_busy(self) -> None:
        """Wait until it looks for work and finds some."""
        now = time.monotonic()
        wait_for(lambda: self._supervisor._busy_at > now, what="a look that finds work")

    def is_busy(self) -> bool:
        """Return whether it has work, so that it must not end when idle."""
        return self._supervisor._is_busy()

    def is_hosting(self) -> bool:
        """Return whether it runs listeners and has not begun to end."""
        return bool(self._supervisor.states())

    def is_running_after(self, seconds: float) -> bool:
        self._thread.join(seconds)
        return self._thread.is_alive()

    def is_publishing(self) -> bool:
        return self._supervisor._publisher.thread.is_alive()

    def ask_to_stop(self) -> None:
        self._supervisor.stop()

    def wait(self) -> int | None:
        """Wait for its end, and return the exit code."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), self._supervisor.states()
        return self._code

    def stop(self) -> None:
        self.ask_to_stop()
        self.wait()

    def _run(self) -> None:
        try:
            self._code = self._supervisor.run()
        finally:
            connection.close()


@pytest.fixture
def run(transactional_db, broker, monkeypatch):
    """Hosts listeners, and stops them before the database is emptied."""
    monkeypatch.setattr(supervisor, "REHOST_SECONDS", 0.1)
    running: list[Hosting] = []

    def start(**limits) -> Hosting:
        running.append(Hosting(Supervisor(**limits)))
        return running[-1]

    yield start
    for one in running:
        one.stop()
