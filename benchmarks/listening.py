"""How many events a second the Pub/Sub API brings, near and far: the stream alone, and a whole
listener that records them on PostgreSQL. Medians of several runs."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import requests

from benchmarks.site import Site, relayed, site
from listeners.salesforce.pubsub.stream import PubSubStream
from listeners.salesforce.tokens import Token
from tests.servers import missing_postgres

EVENTS = 8000
RUNS = 3
#: Seconds that a request and its answer take longer than on this machine.
ROUND_TRIPS = (0.0, 0.05)
CHANNEL = "/data/ChangeEvents"
_COUNT = """
SELECT count(*) FROM audit_auditlogentry e
JOIN listeners_listener l ON l.id = e.listener_id AND l.name = %s
"""


class _LoggedIn:
    """One login for all streams."""

    def __init__(self, site: Site) -> None:
        known = site.org.credentials
        asked = {key: known[key] for key in ("client_id", "client_secret")}
        answer = requests.post(
            f"{site.org.url}/services/oauth2/token",
            data={"grant_type": "client_credentials", **asked},
            timeout=10,
        ).json()
        org_id = answer["id"].split("/")[-2]
        self._token = Token(answer["access_token"], answer["instance_url"], org_id)

    def get(self) -> Token:
        return self._token

    def invalidate(self, token: Token) -> None:
        raise RuntimeError("the token was refused")


def main() -> None:
    if missing := missing_postgres():
        print(f"Pub/Sub API: not run, {missing}")
        return
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        site(Path(folder), EVENTS) as built,
    ):
        for round_trip in ROUND_TRIPS:
            with relayed(built.org.grpc_endpoint, round_trip) as endpoint:
                far = f"{round_trip * 1000:.0f} ms away"
                tokens = _LoggedIn(built)
                _show(f"stream, {far}", [_stream(tokens, endpoint) for _ in range(RUNS)])
                names = [f"bench{round(round_trip * 1000)}n{number}" for number in range(RUNS)]
                _show(f"listener, {far}", [_listener(built, name, endpoint) for name in names])


def _stream(tokens: _LoggedIn, endpoint: str) -> float:
    """Events a second, from the first on."""
    stream = PubSubStream(tokens, CHANNEL, endpoint=endpoint)
    try:
        stream.open("-2")
        count = first = len(stream.poll())
        started = time.perf_counter()
        while count < EVENTS:
            count += len(stream.poll())
        return (count - first) / (time.perf_counter() - started)
    finally:
        stream.close()


def _listener(site: Site, name: str, endpoint: str) -> float:
    """Changes recorded a second, from the first on."""
    site.configure(name, endpoint)
    with site.begin("run_cdc_listener", name, "--max-events", str(EVENTS)) as process:
        with site.connect() as connection:
            first = started = 0.0
            while process.poll() is None:
                [count] = connection.execute(_COUNT, [name]).fetchone() or (0,)
                if count and not started:
                    first, started = count, time.perf_counter()
                if count >= EVENTS:
                    break
                time.sleep(0.02)
            rate = (EVENTS - first) / (time.perf_counter() - started)
        said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the listener failed: {said}")
    return rate


def _show(name: str, rates: list[float]) -> None:
    runs = ", ".join(f"{rate:,.0f}" for rate in rates)
    print(f"{name:24} {statistics.median(rates):10,.0f} events/s (median of {runs})", flush=True)
