"""However a stream of the Pub/Sub API ends, every change is recorded once and in order."""

from itertools import count

import pytest

from audit.models import AuditLogEntry, Incident
from listeners.models import Listener, Position
from tests.line import Line
from tests.sample_data import listener_of
from tests.servers import wait_for
from tests.simulator.process import SimulatorProcess
from tests.system.verdict import published_changes, recorded_changes

pytestmark = pytest.mark.anywhere

QUOTA = "subscription.limit.exceeded"


@pytest.fixture
def simulator():
    with SimulatorProcess("--connect-timeout", "2", "--grpc-keep-alive", "1", grpc=True) as org:
        yield org


@pytest.fixture
def line(simulator):
    with Line(int(simulator.grpc_endpoint.rpartition(":")[2])) as line:
        yield line


def over(line: Line, org, **fields) -> Listener:
    """A listener whose stream goes through the line, and that soon detects a silent one."""
    quick = {"keep_alive_interval": 1.5, "connection_timeout": 4.0, **fields}
    endpoint = f"http://127.0.0.1:{line.port}"
    return listener_of(org, transport="pubsub", pubsub_endpoint=endpoint, **quick)


def wait_until_all_is_recorded(org) -> None:
    wait_for(
        lambda: AuditLogEntry.objects.count() == len(published_changes(org)),
        what="the recording of all",
    )


def test_a_stream_that_breaks_off_goes_on_where_the_last_change_was_recorded(
    processes, simulator, transactional_db, line
):
    listener = over(line, simulator)
    processes.listener()
    numbers = count(1)

    def change() -> None:
        simulator.create("Account", Name=f"{next(numbers)}")

    def broken_off(kind: str, **options) -> None:
        """Break the stream off, at once or amid a burst, and wait until all changes are
        recorded."""
        simulator.fault(kind, **options)
        change()
        simulator.burst(60, quiet=True)
        wait_until_all_is_recorded(simulator)

    change()
    wait_until_all_is_recorded(simulator)

    broken_off("revoke_tokens")
    broken_off("grpc_status", method="Subscribe", after_events=0)
    broken_off("grpc_status", method="Subscribe", after_events=7, code="service.unavailable")
    broken_off("grpc_status", method="GetTopic", code="topic.api.unavailable")
    broken_off("grpc_stall", seconds=0.5)
    simulator.burst(20, quiet=True)
    simulator.restart_pubsub()  # GOAWAY, in the middle of it
    simulator.burst(20, quiet=True)
    wait_until_all_is_recorded(simulator)
    line.restore()  # the connection is cut
    change()
    wait_until_all_is_recorded(simulator)

    assert recorded_changes(listener) == published_changes(simulator)
    assert not Incident.objects.exists()


def test_a_silent_connection_and_a_used_up_limit_are_left_as_soon_as_they_end(
    processes, simulator, transactional_db, line
):
    listener = over(line, simulator)
    process = processes.listener()
    simulator.create("Account", Name="before")
    wait_until_all_is_recorded(simulator)

    line.freeze()
    simulator.create("Account", Name="into the silence")
    process.wait_for_output("the stream is silent and the server does not answer")
    line.restore()
    wait_until_all_is_recorded(simulator)

    simulator.fault("grpc_status", method="Subscribe", code=QUOTA, times=None)
    simulator.fault("grpc_status", method="Subscribe", code=QUOTA, after_events=0)
    simulator.create("Account", Name="over the limit")
    incident = wait_for(lambda: Incident.objects.filter(kind="quota").first())
    before = len(simulator.pubsub_calls())
    wait_for(lambda: len(simulator.pubsub_calls()) >= before + 4, what="two more tries")
    assert AuditLogEntry.objects.count() == 2
    assert incident.closed_at is None
    simulator.clear_faults()
    wait_until_all_is_recorded(simulator)

    wait_for(lambda: Incident.objects.get().closed_at is not None, what="the incident's end")
    assert recorded_changes(listener) == published_changes(simulator)


def test_a_running_listener_moves_between_the_transports_amid_changes(
    processes, simulator, transactional_db, line
):
    listener = over(line, simulator)
    processes.listener()
    form = {"pubsub": "^0x", "cometd": "^[1-9]"}
    for transport in ("cometd", "pubsub", "cometd"):
        simulator.burst(100, quiet=True)
        listener.transport = transport
        listener.save()
        simulator.burst(100, quiet=True)
        wait_for(
            lambda there=form[transport]: (
                simulator.create("Account", Name="one more")
                and Position.objects.filter(replay_id__regex=there).exists()
            ),
            what=f"a change that came over {transport}",
        )

    wait_until_all_is_recorded(simulator)
    assert recorded_changes(listener) == published_changes(simulator)
    assert not Incident.objects.exists()
