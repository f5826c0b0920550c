import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.action_log import Actor
from audit.db.row_count import Total
from audit.jobs.claim import ClaimLost
from consumer.management.arguments import add_filters, filter_of
from consumer.management.progress import Meter
from handlers.redelivery.job import cancel
from handlers.redelivery.request import (
    Contradiction,
    Counts,
    Verdict,
    Wish,
    fate_of_overtaken,
    total,
    wish,
)
from handlers.redelivery.service import claimed, counted, overtaken
from handlers.redelivery.steps import work
from listeners.clock import database_clock

INTERRUPTED = 130
HEADINGS = {
    Verdict.SENT_AGAIN: "sent again",
    Verdict.FIRST_TIME: "sent for the first time",
    Verdict.ON_ITS_WAY: "on their way already",
    Verdict.ENDED_SINCE: "ended well meanwhile",
    Verdict.NOT_POSSIBLE: "not possible",
}


class Command(BaseCommand):
    help = (
        "Send recorded changes to their handlers again, each record's in order. A change that "
        "later ones have overtaken is sent with the present values of its fields, or skipped where "
        "its record was deleted since. Exit 1 when some of them cannot be sent."
    )

    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_filters(parser)
        parser.add_argument("--all", action="store_true", help="every delivery that there is")
        parser.add_argument("--reason", default="", metavar="TEXT", help="kept with the attempts")
        parser.add_argument(
            "--new-handlers",
            action="store_true",
            help="also to mappings that match now and never had the change",
        )
        parser.add_argument(
            "--as-recorded",
            action="store_true",
            help="send changes that later ones have overtaken unchanged",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be sent and send nothing"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        wanted = _wish(options)
        if wanted.as_recorded and not options["dry_run"]:
            self._tell_of_overtaken(wanted)
        counts = counted(wanted) if options["dry_run"] else self._redeliver(wanted)
        self._report(counts)
        if options["dry_run"]:
            self._tell_of_overtaken(wanted)
            self.stdout.write("dry run: nothing was sent")
        if impossible := total(counts, Verdict.NOT_POSSIBLE):
            raise CommandError(f"{impossible} cannot be sent; see above.", returncode=1)

    def _tell_of_overtaken(self, wanted: Wish) -> None:
        """A warning where they are to be sent unchanged."""
        number = overtaken(wanted)
        text = fate_of_overtaken(number, as_recorded=wanted.as_recorded)
        if wanted.as_recorded and number != 0:
            self.stderr.write(f"Warning: {text}")
        else:
            self.stdout.write(text)

    def _redeliver(self, wanted: Wish) -> Counts:
        """In this process. One that is killed is taken up by the workers; ^C cancels the rest."""
        claim = claimed(wanted, database_clock.now())
        try:
            with Meter(self.stderr, "redelivery", Total(claim.job.total)) as meter:
                work(claim, watch=lambda row: meter.at(row.done))
        except KeyboardInterrupt:
            redelivery = claim.job
            cancel(redelivery.pk, wanted.by, "Interrupted at the shell.", timezone.now())
            self._report(claim.counts)
            self.stderr.write(
                f"Interrupted: redelivery {redelivery.pk} is cancelled after {redelivery.done:,} "
                f"of {redelivery.total:,}. What was sent stays sent; run it again for the rest."
            )
            sys.exit(INTERRUPTED)
        except ClaimLost:
            self._report(claim.counts)
            raise CommandError(
                f"Redelivery {claim.job.pk} was cancelled, or a worker goes on with it: see the "
                "console."
            ) from None
        return claim.counts

    def _report(self, counts: Counts) -> None:
        for verdict, heading in HEADINGS.items():
            rows = sorted((row, number) for row, number in counts.items() if row.verdict is verdict)
            if not rows and verdict is Verdict.ENDED_SINCE:
                continue
            self.stdout.write(f"{heading}: {sum(number for _, number in rows)}")
            for row, number in rows:
                words = ", ".join(word for word in (row.handler, row.state, row.reason) if word)
                self.stdout.write(f"  {words}: {number}")


def _wish(options: dict[str, Any]) -> Wish:
    chosen = filter_of(options)
    is_narrowed = any(asdict(chosen).values())
    if is_narrowed == options["all"]:
        raise CommandError("Say which changes: give a filter, or --all alone.", returncode=2)
    try:
        return wish(
            chosen,
            Actor.at_the_shell(),
            reason=options["reason"],
            new_handlers=options["new_handlers"],
            as_recorded=options["as_recorded"],
        )
    except Contradiction as error:
        raise CommandError(str(error), returncode=2) from None
