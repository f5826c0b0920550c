"""Actions of a test's process at a named point of `listeners.crash_points`.

    processes.listener(**at("committed:kill:3"))  # the third time: SIGKILL for itself
    processes.worker(**at("claimed:kill", "ended:kill"))  # at each of them once, in any child

kill          itself: a worker's child, or a listener
kill-parent   the parent: with a worker's child, the worker
kill-all      itself, its parent and their other children, as when a machine dies
stop          itself, with SIGSTOP
run           the command in CDC_TEST_CRASH_POINT_COMMAND, and then on

Each happens once, in the process of the run that gets there first; files tell the others.
"""

import os
import secrets
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from listeners import crash_points


def _itself(tell: Callable[[], object]) -> None:
    """Send this process a signal, and wait a moment, since it may not arrive at once."""
    tell()
    time.sleep(1)


ACTIONS: dict[str, Callable[[], object]] = {
    "kill": lambda: _itself(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "kill-parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "kill-all": lambda: _itself(lambda: os.killpg(os.getpgrp(), signal.SIGKILL)),
    "stop": lambda: _itself(lambda: os.kill(os.getpid(), signal.SIGSTOP)),
    "run": lambda: subprocess.run(
        shlex.split(os.environ["CDC_TEST_CRASH_POINT_COMMAND"]), check=True
    ),
}


def at(*points: str, command: str = "") -> dict[str, str]:
    """Return the environment of a process with these crash points, `name:action[:nth time]`."""
    return {
        "CDC_TEST_CRASH_POINTS": " ".join(points),
        "CDC_TEST_CRASH_POINT_MARKS": str(_folder() / f"milestones-{secrets.token_hex(4)}"),
        "CDC_TEST_CRASH_POINT_COMMAND": command,
    }


def reached(environment: dict[str, str]) -> set[str]:
    """Return the names of the crash points that were reached."""
    folder = Path(environment["CDC_TEST_CRASH_POINT_MARKS"])
    return {mark.name for mark in folder.iterdir()} if folder.exists() else set()


def install() -> None:
    """Install the crash points that the environment names; this process's settings call this."""
    points = os.environ.get("CDC_TEST_CRASH_POINTS", "").split()
    if points:
        vars(crash_points)["reach"] = _Faults(points).reach


class _Faults:
    def __init__(self, points: list[str]) -> None:
        self._actions: dict[str, tuple[str, int]] = {}
        self._counts: dict[str, int] = {}
        for point in points:
            name, action, *nth = point.split(":")
            self._actions[name] = (action, int(nth[0]) if nth else 1)

    def reach(self, crash_point: str) -> None:
        action, nth = self._actions.get(crash_point, ("", 0))
        self._counts[crash_point] = count = self._counts.get(crash_point, 0) + 1
        if action and count >= nth and _is_first(crash_point):
            ACTIONS[action]()


def _is_first(crash_point: str) -> bool:
    folder = Path(os.environ["CDC_TEST_CRASH_POINT_MARKS"])
    folder.mkdir(exist_ok=True)
    try:
        (folder / crash_point).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _folder() -> Path:
    return Path(os.environ["CDC_TEST_FOLDER"])
