"""Run the demo (`python -m demo`). With DEMO_SECONDS it ends by itself and checks the result."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from demo.environment import prepare

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    folder = Path(os.environ.get("VAR_DIR") or ROOT / "var") / "demo"
    try:
        seconds = float(os.environ.get("DEMO_SECONDS") or 0)
    except ValueError:
        return _stop(
            f"DEMO_SECONDS is {os.environ['DEMO_SECONDS']!r}; set it to a number of seconds."
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _stop("another demo is already running in this folder; stop it first.")
        prepare(folder)
        from demo.stage import play

        return play(folder, seconds)


def _stop(message: str) -> int:
    sys.stderr.write(f"demo: {message}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
