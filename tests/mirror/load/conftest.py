import pytest

from tests.simulator.process import SimulatorProcess


@pytest.fixture
def org():
    with SimulatorProcess("--connect-timeout", "5", "--bulk-job-seconds", "0.05") as process:
        yield process
