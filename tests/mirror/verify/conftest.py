from datetime import timedelta

import pytest

from mirror.verify import confirm, count_buckets, run, steps
from tests.mirror.verify.verifying import Mirrored
from tests.simulator.process import SimulatorProcess


@pytest.fixture(scope="module")
def org():
    with SimulatorProcess("--connect-timeout", "5") as running:
        yield running


@pytest.fixture
def accounts(org):
    return org.create("Account", *({"Name": f"Account {n}", "Phone": str(n)} for n in range(30)))


@pytest.fixture
def account(org):
    [record_id] = org.create("Account", Name="Acme", Phone="1")
    return record_id


@pytest.fixture
def mirrored(org, accounts):
    return Mirrored(org)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    """Let no change count as still on its way, unless a test says so."""
    monkeypatch.setattr(confirm, "PAUSE", 0.05)
    monkeypatch.setattr(count_buckets, "PAUSE", 0.05)
    monkeypatch.setattr(count_buckets, "YOUNG", timedelta(minutes=-5))
    monkeypatch.setattr(run, "PENDING_SECONDS", 0.05)
    monkeypatch.setattr(steps, "LAG", timedelta(minutes=-5))
