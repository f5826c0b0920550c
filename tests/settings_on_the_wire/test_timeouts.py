"""A listener waits as long as `connection_timeout` and `read_timeout` say."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from listeners.salesforce.errors import TransportFailed
from tests.settings_on_the_wire.orgs import issue_token, paths
from tests.settings_on_the_wire.stored import listening, stored, stream_of
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

LATE = 60.0
STEPS = ["/meta/handshake", "/meta/connect", "/meta/subscribe"]


def test_a_host_that_takes_no_connection_is_given_up_after_the_connection_timeout(
    org: SimulatorProcess,
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        fields = {"base_url": f"http://127.0.0.1:{address[1]}", "token": issue_token(org)}
        listener = listening(
            stored(org, "bearer_token", **fields), connection_timeout=0.3, read_timeout=20
        )
        with (
            socket.create_connection(address),
            stream_of(listener) as stream,
            pytest.raises(TransportFailed, match=r"did not accept a connection within 0\.3 s"),
        ):
            stream.open("-1")


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_that_comes_late_while_opening_is_given_up_after_the_connection_timeout(
    org: SimulatorProcess, step: str
) -> None:
    org.fault("stall", channel=step, seconds=LATE)
    listener = listening(stored(org), connection_timeout=5, read_timeout=60)

    with (
        stream_of(listener) as stream,
        pytest.raises(TransportFailed, match=r"sent nothing for 5 s"),
    ):
        stream.open("-1")

    assert len(paths(org)) >= STEPS.index(step) + 1


@pytest.mark.parametrize("step", STEPS)
def test_an_answer_that_comes_late_while_opening_is_waited_for_within_it(
    org: SimulatorProcess, step: str
) -> None:
    org.fault("stall", channel=step, seconds=0.5)
    listener = listening(stored(org), connection_timeout=20, read_timeout=0.1)

    with stream_of(listener) as stream:
        stream.open("-1")

        assert stream.is_open


def test_a_poll_is_given_up_when_it_is_silent_for_the_read_timeout_past_the_hold(
    org: SimulatorProcess,
) -> None:
    listener = listening(stored(org), connection_timeout=20, read_timeout=0.2)

    with stream_of(listener) as stream:
        stream.open("-1")
        org.fault("stall", channel="/meta/connect", seconds=LATE)
        with pytest.raises(TransportFailed, match=r"sent nothing for 0\.5 s"):
            stream.poll()

        assert not stream.is_open


def test_a_poll_that_is_answered_late_is_waited_for_within_it(org: SimulatorProcess) -> None:
    listener = listening(stored(org), connection_timeout=60, read_timeout=60)

    with stream_of(listener) as stream:
        stream.open("-1")
        stream._options = replace(stream._options, connection_timeout=3)
        org.fault("stall", channel="/meta/connect", seconds=3.5)

        assert stream.poll() == []

        assert stream.is_open
