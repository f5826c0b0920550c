from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.action_log import Actor
from audit.db.row_count import Total
from audit.jobs.claim import ClaimLost
from consumer.management.arguments import add_dry_run, add_filters, filter_of
from consumer.management.progress import Meter, interrupted
from handlers.redelivery.job import cancel, work
from handlers.redelivery.request import (
    Contradiction,
    Counts,
    RedeliveryRequest,
    Verdict,
    fate_of_overtaken,
    request_matching,
    total,
)
from handlers.redelivery.start import claimed, counted, overtaken
from handlers.sdk.outcomes import MAPPING_DELETED
from listeners.clock import database_clock

HEADINGS = {
    Verdict.SENT_AGAIN: "sent again",
    Verdict.FIRST_TIME: "sent for the first time",
    Verdict.ON_ITS_WAY: "already queued or running",
    Verdict.ENDED_SINCE: "succeeded or skipped since the request",
    Verdict.NOT_POSSIBLE: "cannot be redelivered",
}


class Command(BaseCommand):
    help = (
        "Send recorded changes to their handlers again, in order for each record. A change that "
        "later ones superseded is sent with the current values of its fields, or skipped if its "
        "record has been deleted since. Exit code 1: some deliveries cannot be redelivered."
    )

    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_filters(parser)
        parser.add_argument("--all", action="store_true", help="redeliver everything")
        parser.add_argument(
            "--reason", default="", metavar="TEXT", help="reason, stored with the attempts"
        )
        parser.add_argument(
            "--new-handlers",
            action="store_true",
            help="also send to matching mappings that never received the change",
        )
        parser.add_argument(
            "--as-recorded",
            action="store_true",
            help="send superseded changes with the values that were recorded",
        )
        add_dry_run(parser, "count what would be sent, without sending anything")

    def handle(self, *_: Any, **options: Any) -> None:
        request = _request(options)
        if request.as_recorded and not options["dry_run"]:
            self._report_superseded(request)
        counts = counted(request) if options["dry_run"] else self._redeliver(request)
        self._report(counts)
        if options["dry_run"]:
            self._report_superseded(request)
            self.stdout.write("dry run: nothing was sent")
        if impossible := total(counts, Verdict.NOT_POSSIBLE):
            text = f"{impossible} cannot be redelivered; the reasons are listed above."
            if not options["new_handlers"] and any(row.reason == MAPPING_DELETED for row in counts):
                text += " Use --new-handlers, without --state, to send to current mappings."
            raise CommandError(text, returncode=1)

    def _report_superseded(self, request: RedeliveryRequest) -> None:
        """Print how superseded changes are sent, as a warning if with their recorded values."""
        number = overtaken(request)
        text = fate_of_overtaken(number, as_recorded=request.as_recorded)
        if request.as_recorded and number != 0:
            self.stderr.write(f"Warning: {text}")
        else:
            self.stdout.write(text)

    def _redeliver(self, request: RedeliveryRequest) -> Counts:
        """Redeliver in this process. If it is killed, workers continue; Ctrl-C cancels the rest."""
        claim = claimed(request, database_clock.now())
        try:
            with Meter(self.stderr, "redelivery", Total(claim.job.total)) as meter:
                work(claim, watch=lambda row: meter.at(row.done))
        except KeyboardInterrupt:
            redelivery = claim.job
            cancel(redelivery.pk, request.by, "Interrupted at the shell.", timezone.now())
            self._report(claim.counts)
            interrupted(
                self,
                f"Interrupted: redelivery {redelivery.pk} was cancelled after {redelivery.done:,} "
                f"of {redelivery.total:,} deliveries. Deliveries already sent stay sent; run the "
                "command again for the rest.",
            )
        except ClaimLost:
            self._report(claim.counts)
            raise CommandError(
                f"Redelivery {claim.job.pk} was cancelled, or a worker has taken it over; see its "
                "page in the console."
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


def _request(options: dict[str, Any]) -> RedeliveryRequest:
    filters = filter_of(options)
    is_narrowed = any(asdict(filters).values())
    if is_narrowed == options["all"]:
        raise CommandError(
            "Specify at least one filter, or --all to redeliver everything.", returncode=2
        )
    try:
        return request_matching(
            filters,
            Actor.at_the_shell(),
            reason=options["reason"],
            new_handlers=options["new_handlers"],
            as_recorded=options["as_recorded"],
        )
    except Contradiction as error:
        raise CommandError(str(error), returncode=2) from None
