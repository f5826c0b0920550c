import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from audit.action_log import Action, Actor, note
from consumer.management.progress import Meter
from consumer.retention import job
from consumer.retention.prune import Pruned, counted, total

INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Delete what is older than so many days: audit entries that nothing waits for, with their "
        "deliveries; quarantined messages; closed incidents; counts of throughput."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than", type=_days, required=True, metavar="DAYS", help="since it was received"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would go and delete nothing"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        days = options["older_than"]
        pruned = counted(days, timezone.now()) if options["dry_run"] else self._prune(days)
        for name in ("entries", "deliveries", "quarantined", "incidents", "throughput"):
            self.stdout.write(f"{name}: {pruned.rows[name]}")
        if pruned.kept:
            self.stdout.write(f"older entries that are still needed, and stay: {pruned.kept}")
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was deleted")

    def _prune(self, days: int) -> Pruned:
        now, by = timezone.now(), Actor.at_the_shell()
        found = total(days, now)
        with transaction.atomic():
            work = job.begin(days, by, found)
            note(by, Action.PRUNE, work.row, details={"older_than_days": days})
        try:
            with Meter(self.stderr, "pruning", found) as meter:
                return job.prune(days, now, work, watch=meter.advance)
        except KeyboardInterrupt:
            self.stderr.write("Interrupted. What is older and left goes when this is run again.")
            sys.exit(INTERRUPTED)


def _days(text: str) -> int:
    least, most = settings.CDC_LEAST_RETENTION_DAYS, settings.CDC_MOST_RETENTION_DAYS
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ArgumentTypeError(
            f"{text!r} is not a number of days from {least} to {most}; Salesforce sends again what "
            "is younger than 72 hours, and it would be recorded a second time"
        )
    return int(text)
