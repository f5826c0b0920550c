"""An operator at a terminal: `python -m tests.chaos.mirror.operator` reads commands, one JSON list
a line, runs each, and answers with a JSON line: the output or the error."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tests.chaos.services import ROOT


class Operator:
    """Runs management commands in one long-lived process, one at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.mirror.operator"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run a command, and return its `output` or its `error`."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(arguments) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            return answer

    def status(self) -> list[dict[str, Any]]:
        """Return the rows of `mirror status`, none if the command fails."""
        answer = self.run("mirror", "status", "--format", "json")
        found: list[dict[str, Any]] = json.loads(answer["output"]) if "output" in answer else []
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(20)


def main() -> None:
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    sys.stdout.flush()
    answers = sys.stdout
    for line in sys.stdin:
        output = io.StringIO()
        sys.stdout = output
        try:
            call_command(*json.loads(line), stdout=output, stderr=io.StringIO())
            answer = {"output": output.getvalue()}
        except (Exception, SystemExit) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
            connections.close_all()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
