"""Measures the simulator alone: the rate at which a client can read changes and drop them. No
backlog figure can be higher."""

from __future__ import annotations

import queue
import time
from functools import partial
from typing import Any

import grpc
import psutil

from benchmarks.bayeux import BareClient, log_in
from benchmarks.figures import Report
from benchmarks.org import CHANNEL, org_with
from benchmarks.stage import Run, Stage
from benchmarks.turns import CPU, RATE, Measured, Turns, Way
from listeners.salesforce.pubsub.wire import pubsub_api_pb2 as pb
from tests.simulator.process import SimulatorProcess

_SUBSCRIBE = "/eventbus.v1.PubSub/Subscribe"
_CREDITS = 100
_SECONDS = 600
_OPTIONS = [("grpc.max_receive_message_length", 64 * 1024 * 1024)]


class Clock:
    """Measures the elapsed time and the simulator's CPU time in it."""

    def __init__(self, org: SimulatorProcess) -> None:
        self._process = psutil.Process(org.pid)
        self._cpu = self._used()
        self._began = time.monotonic()

    def _used(self) -> float:
        return sum(self._process.cpu_times()[:2])

    def of(self, changes: int) -> Measured:
        rate = changes / (time.monotonic() - self._began)
        return {RATE: rate, CPU: 1e6 * (self._used() - self._cpu) / changes}


def measure(stage: Stage, report: Report, changes: int, runs: int) -> None:
    with org_with(changes) as org:
        ways: dict[str, Way] = {
            "simulator alone, cometd": partial(_cometd, org, changes),
            "simulator alone, pubsub": partial(_pubsub, org, changes),
        }
        turns = Turns(stage, report, ways)
        turns.run(runs)
    turns.conclude()


def _token(org: SimulatorProcess) -> dict[str, Any]:
    return log_in(org.url, org.credentials["client_id"], org.credentials["client_secret"])


def _cometd(org: SimulatorProcess, changes: int, _run: Run) -> Measured:
    client = BareClient(_token(org), CHANNEL)
    client.subscribe()
    clock, count = Clock(org), 0
    while count < changes:
        count += client.poll_bytes().count(b'"replayId"')
    return clock.of(changes)


def _pubsub(org: SimulatorProcess, changes: int, _run: Run) -> Measured:
    token = _token(org)
    metadata = (
        ("accesstoken", token["access_token"]),
        ("instanceurl", token["instance_url"]),
        ("tenantid", org.credentials["org_id"]),
    )
    address = org.grpc_endpoint.removeprefix("http://")
    with grpc.insecure_channel(address, options=_OPTIONS) as channel:
        subscribe: Any = channel.stream_stream(
            _SUBSCRIBE,
            request_serializer=pb.FetchRequest.SerializeToString,
            response_deserializer=pb.FetchResponse.FromString,
        )
        asked: queue.Queue[Any] = queue.Queue()
        asked.put(_request())
        clock = Clock(org)
        answers = subscribe(iter(asked.get, None), metadata=metadata, timeout=_SECONDS)
        _drop(answers, asked, changes)
        return clock.of(changes)


def _request() -> Any:
    return pb.FetchRequest(
        topic_name=CHANNEL, replay_preset=pb.ReplayPreset.EARLIEST, num_requested=_CREDITS
    )


def _drop(answers: Any, asked: queue.Queue[Any], changes: int) -> None:
    """Read and drop events, and request more before all requested ones have arrived."""
    count = owed = 0
    for answer in answers:
        count += len(answer.events)
        owed += len(answer.events)
        if count >= changes:
            asked.put(None)
            answers.cancel()
            return
        if owed >= _CREDITS // 2:
            asked.put(pb.FetchRequest(topic_name=CHANNEL, num_requested=owed))
            owed = 0
