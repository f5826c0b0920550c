"""Workers of the other project, each a process group of its own."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.processes import Running
from tests.servers import wait_for

FOLDER = Path(__file__).parent
#: Prefixes of the product's variables, which the other project must not see.
_OURS = ("DJANGO_", "CELERY_", "CDC_", "DATABASE_URL")


class Shop:
    """The other project: its broker, its workers and the runs that its tasks noted."""

    def __init__(self, broker_url: str, folder: Path) -> None:
        self.broker_url = broker_url
        self._journal = folder / "shop.journal"
        self._workers: list[Running] = []

    def worker(self, *arguments: str, **environment: str) -> Running:
        """Start a worker, and wait until it is up."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        worker = Running(
            [
                sys.executable,
                "-m",
                "celery",
                "--workdir",
                str(FOLDER),
                "-A",
                "shop",
                "worker",
                "-l",
                "INFO",
                "-c",
                "1",
                "--without-mingle",
                "--without-gossip",
                *arguments,
            ],
            {**own, "SHOP_BROKER": self.broker_url, "SHOP_JOURNAL": str(self._journal)}
            | environment,
        )
        self._workers.append(worker)
        worker.wait_for_output(" ready.")
        return worker

    @property
    def lines(self) -> list[tuple[str, str, int, int]]:
        """Task, record, entry and attempt of each run, in order."""
        if not self._journal.exists():
            return []
        rows = [line.split() for line in self._journal.read_text().splitlines()]
        return [(task, record, int(pk), int(attempt)) for task, record, pk, attempt in rows]

    @property
    def runs(self) -> list[tuple[str, str, int]]:
        """Task, record and attempt of each run, in order."""
        return [(task, record, attempt) for task, record, _, attempt in self.lines]

    @property
    def events(self) -> list[dict[str, Any]]:
        """What each run got, in order."""
        text = Path(f"{self._journal}.events").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def wait_for_runs(self, number: int) -> list[tuple[str, str, int]]:
        wait_for(lambda: len(self.runs) >= number, what=f"{number} runs")
        return self.runs

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
