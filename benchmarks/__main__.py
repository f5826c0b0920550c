"""How many changes a second are decoded and recorded: medians of several runs."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable

RUNS = 5
BATCH = 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DEBUG": "true", "LOG_LEVEL": "WARNING"}
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/bench.sqlite3")
        os.environ["DJANGO_SETTINGS_MODULE"] = "cdcproject.settings"
        import django

        django.setup()
        from django.core.management import call_command

        from benchmarks import listening, recording

        call_command("migrate", verbosity=0)
        listener, lease, mapping = recording.prepare()
        show("decode", lambda: recording.decode_batch(BATCH))
        show("record", lambda: recording.record_batch(listener, lease, [], BATCH))
        show(
            "record with deliveries",
            lambda: recording.record_batch(listener, lease, [mapping], BATCH),
        )
        listening.main()


def show(name: str, run: Callable[[], float]) -> None:
    """`run` returns the seconds that one batch took."""
    run()
    median = statistics.median(run() for _ in range(RUNS))
    print(f"{name:24} {BATCH / median:10,.0f} changes/s (median of {RUNS}, batches of {BATCH})")


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"{time.monotonic() - started:.1f} s in all")
