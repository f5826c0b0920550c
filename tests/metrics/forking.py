"""A process that counts together with those that it forks; prints what is collected in between.

Run by itself: it changes how everything in its process counts.
"""

import json
import os
import signal
import sys
from pathlib import Path

from prometheus_client import Counter, Histogram, generate_latest

from cdcproject import shared_metrics

COUNTED = Counter("test_counted", "Counted.", ["who"])
TOOK = Histogram("test_took", "Took.", ["who"], buckets=(1, 10))


def child(who: str, *, dies: bool) -> None:
    """Counts thrice; then ends, or is killed."""
    if os.fork():
        os.wait()
        return
    for seconds in (0.5, 5, 50):
        COUNTED.labels(who).inc()
        TOOK.labels(who).observe(seconds)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


def fork_while_collecting(folder: Path) -> int:
    """As a pool may, whose main process answers in a thread. What ends the new one when it is
    closed."""
    ended, end = os.pipe()
    with shared_metrics._alone(folder):
        if not os.fork():
            os.close(end)
            os.read(ended, 1)
            os._exit(0)
    os.close(ended)
    return end


def told() -> list[str]:
    text = generate_latest(shared_metrics.Shared()).decode()
    return sorted(line for line in text.splitlines() if line.startswith("test_"))


def main(parent: str) -> None:
    shared_metrics._MEMORY = Path(parent)
    folder = shared_metrics.share().path
    beside = fork_while_collecting(folder)
    collected = [told()]
    for number in range(6):
        child("a" if number % 2 else "b", dies=number % 3 == 0)
        if number >= 3:
            collected.append(told())
    COUNTED.labels("a").inc()
    files = sorted(file.name.replace(str(os.getpid()), "own") for file in folder.glob("*.db"))
    collected += [told(), told()]
    os.close(beside)
    os.wait()
    print(json.dumps({"collected": collected, "files": files, "folder": str(folder)}))
    if "--killed" in sys.argv:
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    shared_metrics.share().remove()


if __name__ == "__main__":
    main(sys.argv[1])
