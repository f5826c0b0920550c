"""Counts metrics together with processes that it forks, and prints what is collected in between.

It runs as its own program, because it changes how all metrics of its process are counted.
"""

import json
import os
import signal
import sys
from pathlib import Path

from prometheus_client import Counter, Histogram, generate_latest

from cdcproject.process import metrics

COUNTED = Counter("test_counted", "Counted.", ["who"])
TOOK = Histogram("test_took", "Took.", ["who"], buckets=(1, 10))


def child(who: str, place: int, *, dies: bool) -> None:
    """Count three times in a new process, which then ends or is killed."""
    if os.fork():
        os.wait()
        return
    metrics.count_as(place)
    for seconds in (0.5, 5, 50):
        COUNTED.labels(who).inc()
        TOOK.labels(who).observe(seconds)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def collected() -> list[str]:
    text = generate_latest(metrics.Shared()).decode()
    return sorted(line for line in text.splitlines() if line.startswith("test_"))


def main(parent: str) -> None:
    metrics._MEMORY = Path(parent)
    folder = metrics.share().path
    nothing = collected()
    for number in range(6):
        child("a" if number % 2 else "b", number // 3, dies=number % 3 == 0)
    COUNTED.labels("a").inc()
    files = sorted(file.name.replace(str(os.getpid()), "own") for file in folder.glob("*.db"))
    told = {"nothing": nothing, "all": collected(), "files": files, "folder": str(folder)}
    print(json.dumps(told))
    if "--killed" in sys.argv:
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    metrics.share().remove()


if __name__ == "__main__":
    main(sys.argv[1])
