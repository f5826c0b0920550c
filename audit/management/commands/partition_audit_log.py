from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils import timezone

from audit.actions import Action, Actor, note
from audit.partitions import joining, splitting
from audit.partitions.brief import AnotherRuns, Busy, alone
from audit.partitions.months import Month
from audit.partitions.obstacles import obstacles
from audit.partitions.table import Part, is_partitioned, parts
from audit.partitions.upkeep import keep_up_and_look

REFUSALS = (
    *(AnotherRuns, Busy, splitting.TooFar),
    *(joining.ListenersRun, joining.HalfPruned),
)


class Command(BaseCommand):
    help = (
        "Make the audit log a table with a part for each month, which retention drops as a whole "
        "(PostgreSQL). Listeners and workers go on meanwhile; run it again when it was broken off. "
        "Of a partitioned audit log it makes the parts that are missing, and prints all."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be done")
        parser.add_argument(
            "--undo",
            action="store_true",
            help="make it one table again: copies every row, while no listener runs",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("Only PostgreSQL has partitioned tables.")
        if found := obstacles():
            raise CommandError("The audit log can't be changed:\n" + "\n".join(found))
        try:
            with alone():
                (self._undo if options["undo"] else self._do)(is_dry=options["dry_run"])
        except REFUSALS as error:
            raise CommandError(str(error)) from error

    def _do(self, *, is_dry: bool) -> None:
        now = timezone.now()
        if is_partitioned():
            if not is_dry:
                keep_up_and_look(now)
            for part in parts():
                self.stdout.write(_line(part))
            return
        for name, step in splitting.steps(now):
            self.stdout.write(name)
            if not is_dry:
                step()
        self._conclude("partitioned", is_dry)

    def _undo(self, *, is_dry: bool) -> None:
        if not is_partitioned():
            self.stdout.write("forget what was prepared; the audit log is one table")
            if not is_dry:
                splitting.forget_preparations()
            return
        self.stdout.write(f"copy about {sum(part.rows for part in parts()):,} entries to one table")
        if not is_dry:
            self.stdout.write(f"copied: {joining.join():,}")
        self._conclude("one table", is_dry)

    def _conclude(self, what: str, is_dry: bool) -> None:
        if is_dry:
            self.stdout.write("dry run: nothing was changed")
            return
        note(Actor.at_the_shell(), Action.CHANGE, name="the audit log", details={"is now": what})
        self.stdout.write(f"the audit log is {what}")


def _line(part: Part) -> str:
    since = "the beginning" if part.since is None else Month.at(part.since)
    until = "" if part.until is None else f"from {since} until {Month.at(part.until)}"
    bounds = until or "what belongs to no other"
    return f"{part.name}: {bounds}, about {part.rows:,} entries, {part.size / 2**20:,.0f} MiB"
