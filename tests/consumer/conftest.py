import pytest

from tests.consumer.hearing import begin_now
from tests.sample_data import listener_of
from tests.simulator.process import SimulatorProcess


@pytest.fixture(scope="session")
def org():
    with SimulatorProcess("--connect-timeout", "5") as running:
        yield running


@pytest.fixture
def heard(org):
    """A listener of the org that has heard everything until now."""
    listener = listener_of(org)
    begin_now(org, listener)
    org.forget_requests()
    return listener


@pytest.fixture
def account(org, heard):
    [record_id] = org.create("Account", Name="Acme", Phone="1")
    begin_now(org, heard)
    return record_id
