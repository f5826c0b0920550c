from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from listeners.salesforce.cometd import transport
from tests.listeners.salesforce.scripted import ScriptedOrg
from tests.servers import PATIENCE_SECONDS
from tests.settings_on_the_wire.counting_proxy import CountingProxy
from tests.settings_on_the_wire.secure import SecureOrg, secure_org
from tests.simulator.process import SimulatorProcess

#: Seconds that a long poll is held: short, so that tests need not wait for it.
HOLD = "0.3"


@pytest.fixture(autouse=True)
def _stored(transactional_db: None) -> None:
    """Store rows so that other threads and processes see them."""


@pytest.fixture(scope="session")
def _plain() -> Iterator[SimulatorProcess]:
    options = ("--connect-timeout", HOLD, "--password-refresh-tokens")
    with SimulatorProcess(*options, grpc=True) as running:
        yield running


@pytest.fixture
def org(_plain: SimulatorProcess) -> SimulatorProcess:
    """A simulated org over plain HTTP, without earlier requests, sessions and faults."""
    return _emptied(_plain)


@pytest.fixture(scope="session")
def _secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureOrg]:
    with secure_org(tmp_path_factory.mktemp("tls"), HOLD) as running:
        yield running


@pytest.fixture
def secure(_secure: SecureOrg) -> SecureOrg:
    """A simulated org over HTTPS that demands a client certificate."""
    _emptied(_secure.org)
    return _secure


@pytest.fixture
def scripted() -> Iterator[ScriptedOrg]:
    """An org that sends the answers that a test gives it."""
    with ScriptedOrg() as running:
        yield running


@pytest.fixture
def proxy() -> Iterator[CountingProxy]:
    with CountingProxy() as running:
        yield running


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the proxy variables of this machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def _patient_goodbyes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a closing stream's last requests arrive late, as they do on a busy machine."""
    monkeypatch.setattr(transport, "_PARTING_TIMEOUT", (60.0, 60.0))


@pytest.fixture(autouse=True)
def _ended_requests(_stored: None) -> Iterator[None]:
    """Wait for the threads of each test that may still send requests to its org."""
    earlier = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - earlier:
        if thread.name in ("login", "silence"):
            thread.join(PATIENCE_SECONDS)


def _emptied(running: SimulatorProcess) -> SimulatorProcess:
    running.clear_faults()
    running.fault("drop_sessions")  # of streams that were given up, and said no goodbye
    running.forget_requests()
    return running
