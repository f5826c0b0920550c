import pytest

from tests.simulator.process import SimulatorProcess


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "5") as process:
        yield process
