"""Set up the demo, start its processes, show the score, and stop everything."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.core.management import call_command

from cdcproject.process.embedded_broker import is_present
from demo import configuration, mirrors, scoreboard
from demo.mirrors import Verified
from demo.processes import ChildDied, Children, Interrupted
from demo.scoreboard import Score
from listeners.salesforce.http.request import NoAuth

RATE = 10
USER = "demo"
START_SECONDS = 300.0
CATCH_UP_SECONDS = 120.0
VERIFY_SECONDS = 300.0
WEB_SERVER = (
    *("-m", "gunicorn", "cdcproject.wsgi", "-c", "python:cdcproject.web.gunicorn_conf"),
    *("-w", "1"),
)


def play(folder: Path, seconds: float) -> int:
    """Run the demo for `seconds` (0: until Ctrl-C), and return the exit code."""
    children = Children(folder)
    _on_signals(children.interrupt)
    try:
        try:
            return _play(children, seconds)
        finally:
            # A second Ctrl-C must not interrupt the stopping of the processes.
            _on_signals(signal.SIG_IGN)
            children.stop()
    except Interrupted:
        _say("\nAll processes are stopped.")
        return 0
    except ChildDied as died:
        _say(f"\nThe demo failed: {died}")
        return 1


def _on_signals(handler: Callable[..., None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _play(children: Children, seconds: float) -> int:
    _say("Setting up: database, broker, simulated Salesforce org …")
    call_command("migrate", verbosity=0)
    _start_broker(children)
    org = _start_simulator(children)
    password = configuration.create_user(USER)
    configuration.create_listener(org)
    mirrors.add()
    configuration.map_after_mirror()
    port = _port(8000)
    children.start("worker", "-m", "celery", "-A", "cdcproject", "worker", "-l", "INFO", "-c", "2")
    children.start("listener", "-m", "cdcproject", "run_cdc_listener")
    children.start("web", *WEB_SERVER, "-b", f"127.0.0.1:{port}")
    _wait(children, lambda: _answers(f"http://127.0.0.1:{port}/healthz/ready"), "the web server")
    _say(f"""
  Admin       http://127.0.0.1:{port}/admin/   user {USER}, password {password}
  Salesforce  {org["url"]} (simulated; {RATE} changes a second)
  Logs        {children.log_of("listener").parent}
""")
    _change_one(org["url"])
    _traffic(org["url"], RATE)
    _watch(children, org["url"], seconds)
    _traffic(org["url"], 0)
    score = _catch_up(children, org["url"])
    return _judge(score, _verify(children, org["url"]))


def _start_broker(children: Children) -> None:
    """Start the broker as a child of the demo, so that it stops with the demo."""
    path = settings.EMBEDDED_BROKER_SOCKET
    if path is None:
        raise ChildDied("CELERY_BROKER_URL is set")
    children.start("broker", "-m", "cdcproject.process.embedded_broker", str(path))
    _wait(children, lambda: is_present(path), "the broker")


def _start_simulator(children: Children) -> dict[str, Any]:
    records = [f"--records={name}={count}" for name, count in mirrors.RECORDS.items()]
    children.start("simulator", "-m", "simulator", "--json", "--split-updates", *records)
    log = children.log_of("simulator")
    _wait(children, lambda: "\n" in log.read_text(), "the simulator")
    announced: dict[str, Any] = json.loads(log.read_text().splitlines()[0])
    return announced


def _watch(children: Children, simulator: str, seconds: float) -> None:
    """Show the score until the time is up."""
    started = time.monotonic()
    pause = 1.0 if sys.stdout.isatty() else 5.0
    while not seconds or time.monotonic() - started < seconds:
        children.check()
        left = seconds - (time.monotonic() - started) if seconds else pause
        time.sleep(max(0.0, min(pause, left)))
        _show(scoreboard.read(simulator).line(time.monotonic() - started, mirrors.line()))


def _catch_up(children: Children, simulator: str) -> Score:
    """Wait until the last changes are recorded, handled and mirrored, and return the score."""
    _say("\nWaiting for the last changes …")
    deadline = time.monotonic() + CATCH_UP_SECONDS
    while True:
        children.check()
        score = scoreboard.read(simulator)
        is_done = score.is_complete and mirrors.are_settled()
        if is_done or time.monotonic() > deadline:
            return score
        time.sleep(0.2)


def _verify(children: Children, simulator: str) -> list[Verified]:
    """Compare every field of every mirrored record with the org."""
    _say("\nVerifying the mirrors: every field of every record …")
    runs = mirrors.request_verifications()
    deadline = time.monotonic() + VERIFY_SECONDS
    while not mirrors.are_over(runs) and time.monotonic() < deadline:
        children.check()
        time.sleep(0.2)
    return mirrors.verified(simulator, runs)


def _judge(score: Score, verified: list[Verified]) -> int:
    _say(
        f"\nchanges received {score.sent}, recorded {score.recorded}, "
        f"handled {score.handled}, failed {score.failed}"
    )
    for one in verified:
        _say(one.line())
    are_right = len(verified) == len(mirrors.MODELS) and all(one.is_right for one in verified)
    _say(
        "Every change was recorded and handled."
        if score.is_perfect
        else "Some changes were not recorded or not handled."
    )
    _say(
        "Every mirror is equal to Salesforce."
        if are_right
        else "A mirror could not be shown to be equal to Salesforce."
    )
    return 0 if score.is_perfect and are_right else 1


def _change_one(simulator: str) -> None:
    """Create a record: from then on, the traffic changes the org's first records too."""
    change = {"op": "create", "entity": "Account", "records": [{"Name": "Demo"}]}
    _control(simulator, "changes", change)


def _traffic(simulator: str, rate: float) -> None:
    _control(simulator, "traffic", {"rate": rate})


def _control(simulator: str, operation: str, body: dict[str, Any]) -> None:
    url = f"{simulator}/_simulator/{operation}"
    requests.post(url, json=body, auth=NoAuth(), timeout=10).raise_for_status()


def _wait(children: Children, condition: Callable[[], bool], name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not condition():
        children.check()
        if time.monotonic() > deadline:
            raise ChildDied(f"{name} did not start within {START_SECONDS:.0f} s")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, auth=NoAuth(), timeout=5).ok
    except requests.RequestException:
        return False


def _port(wanted: int) -> int:
    """Return the wanted port, or a free one if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            taken: int = probe.getsockname()[1]
            return taken
    raise OSError("no free port")


def _show(line: str) -> None:
    if sys.stdout.isatty():
        width = os.get_terminal_size().columns - 1
        sys.stdout.write("\r\033[K" + line[:width])
    else:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
