"""Fixtures for the simulator's tests."""

from collections.abc import Iterator

import pytest

from tests.peer.conftest import peer_modules
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

__all__ = ["peer_modules"]


@pytest.fixture
def org() -> Iterator[SimulatorProcess]:
    """A simulator of the test's own."""
    with SimulatorProcess("--connect-timeout", "5") as process:
        yield process


@pytest.fixture(scope="module")
def shared_org() -> Iterator[SimulatorProcess]:
    """A simulator for tests that are independent of what other tests leave in it.

    Its long polls end almost at once.
    """
    with SimulatorProcess("--connect-timeout", "0.05") as process:
        yield process


@pytest.fixture
def client(org: SimulatorProcess) -> Iterator[WireClient]:
    """A client of `org`."""
    with WireClient(org) as wire_client:
        yield wire_client


@pytest.fixture
def shared_client(shared_org: SimulatorProcess) -> Iterator[WireClient]:
    """A client of `shared_org`."""
    with WireClient(shared_org) as wire_client:
        yield wire_client
