"""During a silent long poll the listener checks its peer every `keep_alive_interval`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.listeners.salesforce.messages import CONNECT, HANDSHAKE, accepted
from tests.listeners.salesforce.scripted import ADVICE, FIRST_CONNECT, ScriptedOrg
from tests.servers import wait_for
from tests.settings_on_the_wire.counting_proxy import CountingProxy
from tests.settings_on_the_wire.orgs import VERSIONS_PATH, paths, peers
from tests.settings_on_the_wire.stored import listening, poll_until, polling, stored, stream_of
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

KEEPALIVE = "02"
TIMERS = Path("/proc/net/tcp")

on_linux = pytest.mark.skipif(not TIMERS.exists(), reason="this kernel shows no timers")


def answering(org: ScriptedOrg) -> None:
    """Answer two connects: the scripted org takes any connect with advice for a first one."""
    org.tell(FIRST_CONNECT, [accepted(CONNECT, advice=ADVICE)], [accepted(CONNECT)])
    org.tell(CONNECT, [accepted(CONNECT)])


def keepalive_timer(address: str) -> float | None:
    """Return the seconds until the kernel probes the connection's peer, or None if it shows no
    timer.

    While sent data is not acknowledged, the kernel shows that timer instead: wait until it is.
    """
    port = int(address.rpartition(":")[2])
    for line in TIMERS.read_text().splitlines()[1:]:
        _, local, _, state, _, timer, *_ = line.split()
        if state == "01" and int(local.rpartition(":")[2], 16) == port:
            kind, _, when = timer.partition(":")
            return int(when, 16) / 100 if kind == KEEPALIVE else None
    raise AssertionError(f"no connection from {address}")


# Checks that send a request to Salesforce


@pytest.mark.parametrize(
    ("interval", "session_timeout", "asked"),
    [(20, 900, {"timeout": 19_000}), (120, 900, None), (120, 100, {"timeout": 50_000})],
)
def test_a_poll_is_asked_to_be_answered_by_then_if_it_would_be_held_for_longer(
    scripted: ScriptedOrg, interval: float, session_timeout: float, asked: dict[str, int] | None
) -> None:
    answering(scripted)
    listener = listening(
        stored(scripted), keep_alive_interval=interval, session_timeout=session_timeout
    )

    with stream_of(listener) as stream:
        stream.open("-1")
        stream.poll()

    first, second = (call.messages[0].get("advice") for call in scripted.asked(CONNECT))
    assert first == {"timeout": 0}
    assert second == asked


# Checks by the kernel's TCP keep-alive


@on_linux
@pytest.mark.parametrize(("interval", "least"), [(20, 0), (100, 20)])
def test_probes_of_the_connection_begin_after_it(
    org: SimulatorProcess, interval: float, least: float
) -> None:
    with stream_of(listening(stored(org), keep_alive_interval=interval)) as stream:
        stream.open("-1")

        *_, poll = org.api_requests()
        due = wait_for(lambda: keepalive_timer(poll["peer"]))

    assert least < due <= interval


@on_linux
def test_probes_of_the_connection_to_a_proxy_begin_after_it(
    org: SimulatorProcess, proxy: CountingProxy
) -> None:
    connection = stored(org, proxy_host=proxy.host, proxy_port=proxy.port)
    with stream_of(listening(connection, keep_alive_interval=20)) as stream:
        stream.open("-1")
        org.fault("stall", channel=CONNECT, seconds=60)
        before = len(proxy.incoming)
        with polling(stream):
            wait_for(lambda: len(proxy.incoming) > before)

            due = wait_for(lambda: keepalive_timer(proxy.incoming[-1]))

    assert 0 < due <= 20


# A silent peer


def test_a_silent_salesforce_is_asked_whether_it_is_there_on_a_connection_of_its_own(
    org: SimulatorProcess,
) -> None:
    with stream_of(listening(stored(org), keep_alive_interval=0.2)) as stream:
        stream.open("-1")
        before = peers(org)
        org.fault("stall", channel="/meta/connect", seconds=1)

        poll_until(stream, lambda: VERSIONS_PATH in paths(org))

        assert stream.is_open  # it answered: the poll was waited for
    questions = [seen for seen in org.api_requests() if seen["path"] == VERSIONS_PATH]
    assert questions
    assert {seen["method"] for seen in questions} == {"GET"}
    assert {seen["authorization"] for seen in questions} == {""}
    assert not {seen["peer"] for seen in questions} & before


def test_a_salesforce_that_is_silent_for_a_shorter_time_is_not_asked(
    org: SimulatorProcess,
) -> None:
    with stream_of(listening(stored(org), keep_alive_interval=60)) as stream:
        stream.open("-1")
        org.fault("stall", channel="/meta/connect", seconds=1)

        stream.poll()

    assert VERSIONS_PATH not in paths(org)


def test_it_is_asked_again_after_each_interval_of_silence(scripted: ScriptedOrg) -> None:
    scripted.tell(VERSIONS_PATH, *[[]] * 100)
    with stream_of(listening(stored(scripted), keep_alive_interval=0.2)) as stream:
        stream.open("-1")
        scripted.hold(FIRST_CONNECT)
        with polling(stream) as results:
            wait_for(lambda: len(scripted.asked(VERSIONS_PATH)) >= 3)

            assert stream.is_open
            assert results == []


def test_a_poll_is_cut_when_its_peer_does_not_answer(scripted: ScriptedOrg) -> None:
    scripted.hold(VERSIONS_PATH)
    listener = listening(
        stored(scripted), keep_alive_interval=0.2, connection_timeout=60, read_timeout=60
    )
    with stream_of(listener) as stream:
        stream.open("-1")
        stream._options = replace(stream._options, connection_timeout=0.5)
        scripted.hold(FIRST_CONNECT)
        with polling(stream) as results:
            [failure] = wait_for(lambda: results)

            assert "no usable answer" in str(failure)
            assert not stream.is_open
    assert scripted.asked(VERSIONS_PATH)


def test_a_stream_whose_peer_is_gone_is_reopened(scripted: ScriptedOrg, processes: Any) -> None:
    scripted.tell(FIRST_CONNECT, [accepted(CONNECT, advice=ADVICE)])
    scripted.hold(FIRST_CONNECT)
    scripted.hold(VERSIONS_PATH)
    listening(stored(scripted), keep_alive_interval=0.2, connection_timeout=4, read_timeout=60)

    processes.listener()

    wait_for(lambda: scripted.asked(VERSIONS_PATH))
    wait_for(lambda: len(scripted.asked(HANDSHAKE)) >= 2)
