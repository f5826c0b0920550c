import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any

from django.core.management.base import BaseCommand

from audit.action_log import Actor
from audit.jobs.tracked import TrackedJob
from audit.log.masking import Sight
from audit.models import AuditLogEntry, Work
from consumer.management.arguments import add_filters, filter_of
from consumer.management.progress import Meter, interrupted
from handlers.redelivery.request import criteria_of
from handlers.reporting.export import begin, counting, csv_lines, exported, json_lines

FORMATS = {"jsonl": json_lines, "csv": csv_lines}
#: The exit code that a shell reports for a program ended by SIGPIPE.
EXIT_BROKEN_PIPE = 141


class Command(BaseCommand):
    help = "Write the audit log and its deliveries to standard output, oldest change first."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--format",
            choices=[*FORMATS],
            default="jsonl",
            help="jsonl: one JSON object per line. csv: the same columns, nested values as JSON; "
            "an apostrophe precedes text that a spreadsheet would run (such as = + - @)",
        )
        parser.add_argument(
            "--with-sensitive",
            action="store_true",
            help="include the values of sensitive fields; the action log records this",
        )
        add_filters(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        wanted, see = filter_of(options), Sight(options["with_sensitive"])
        entries = AuditLogEntry.objects.all().matching(wanted)
        by, form = Actor.at_the_shell(), options["format"]
        running = begin(by, form, criteria_of(wanted), entries, reveals=see.sees_all)
        if options.get("stdout") is None and isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        try:
            self._write(form, exported(wanted, sight=see), running)
        except BrokenPipeError:
            running.end(Work.State.BROKEN_OFF)
            # The reader closed the pipe, as `| head` does. Python must not flush into it at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_BROKEN_PIPE)
        except KeyboardInterrupt:
            running.end(Work.State.BROKEN_OFF)
            interrupted(
                self, f"Interrupted after {running.row.done:,} entries; the export is incomplete."
            )
        running.end()

    def _write(self, form: str, rows: Iterator[dict[str, Any]], running: TrackedJob) -> None:
        with Meter(self.stderr, "export", running.total) as meter:
            for line in FORMATS[form](counting(rows, running)):
                self.stdout.write(line, ending="")
                meter.at(running.row.done)
            self.stdout.flush()
