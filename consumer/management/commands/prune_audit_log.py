from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from audit.action_log import Action, Actor, note
from consumer.management.arguments import add_dry_run
from consumer.management.progress import Meter, interrupted
from consumer.retention import Pruned, begin, counted, prune_tracked, total

_ROWS = (
    *("entries", "deliveries", "quarantined", "incidents", "throughput"),
    *("differences", "mirror_runs"),
)


class Command(BaseCommand):
    help = (
        "Delete rows older than a number of days: audit log entries that are no longer needed, "
        "with their deliveries; quarantined messages; closed incidents; throughput counts; "
        "repaired differences and ended runs of mirrors."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--older-than",
            type=_days,
            required=True,
            metavar="DAYS",
            help="age in days, counted from receipt",
        )
        add_dry_run(parser, "count what would be deleted, without deleting anything")

    def handle(self, *_: Any, **options: Any) -> None:
        days = options["older_than"]
        pruned = counted(days, timezone.now()) if options["dry_run"] else self._prune(days)
        for name in _ROWS:
            self.stdout.write(f"{name}: {pruned.rows[name]}")
        if pruned.kept:
            self.stdout.write(f"older entries kept because they are still needed: {pruned.kept}")
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was deleted")

    def _prune(self, days: int) -> Pruned:
        now, by = timezone.now(), Actor.at_the_shell()
        found = total(days, now)
        with transaction.atomic():
            work = begin(days, by, found)
            note(by, Action.PRUNE, work.row, details={"older_than_days": days})
        try:
            with Meter(self.stderr, "pruning", found) as meter:
                return prune_tracked(days, now, work, watch=meter.advance)
        except KeyboardInterrupt:
            interrupted(self, "Interrupted. Run the command again to delete the rest.")


def _days(text: str) -> int:
    minimum, maximum = settings.CDC_LEAST_RETENTION_DAYS, settings.CDC_MOST_RETENTION_DAYS
    if not text.isdecimal() or not minimum <= int(text) <= maximum:
        raise ArgumentTypeError(
            f"{text!r} is not a number of days from {minimum} to {maximum}. Salesforce can resend "
            "changes of the last 72 hours; without their entries, they would be recorded twice"
        )
    return int(text)
