from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.action_log import Action, Actor, note
from consumer.management.arguments import add_dry_run, moment, refuse_unknown_listener, word
from consumer.management.progress import Meter, interrupted
from consumer.reconciliation import schedule
from consumer.reconciliation.job import WrongWindow, ignore_filter, requested, run_requested, window
from consumer.reconciliation.report import CLOCK, MEANS, lines, notes, outside, so_far
from listeners.models import Listener


class Command(BaseCommand):
    help = (
        "Compare Salesforce with the audit log over REST, and record and deliver missing changes. "
        "The listener may keep running."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--listener", type=word, metavar="N", help="listener to compare; default: all"
        )
        parser.add_argument(
            "--entity",
            type=word,
            metavar="E",
            help="object such as Account; default: all objects of the channel",
        )
        parser.add_argument(
            "--since",
            type=moment,
            metavar="T",
            help="changed at or after this time; default: 72 hours ago",
        )
        parser.add_argument(
            "--until", type=moment, metavar="T", help="changed before this time; default: now"
        )
        add_dry_run(parser, "report missing changes, without recording anything")
        parser.add_argument(
            "--accept-deletions",
            action="store_true",
            help="record deletions even if many records of an entity are absent from Salesforce",
        )
        parser.add_argument(
            "--ignore-filter",
            action="store_true",
            help="compare the named entity although the channel filters it, and also deliver "
            "changes that the filter excludes",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        refuse_unknown_listener(options["listener"])
        if options["ignore_filter"] and not options["entity"]:
            raise CommandError("--ignore-filter needs --entity", returncode=2)
        try:
            since, until = window(options["since"], options["until"], timezone.now())
        except WrongWindow as wrong:
            raise CommandError(f"--since {wrong}", returncode=2) from None
        listeners = Listener.objects.select_related("connection").order_by("name")
        if options["listener"]:
            listeners = listeners.filter(name=options["listener"])
        if not listeners:
            self.stdout.write("No listeners yet: nothing to compare.")
        failures: list[str] = []
        is_compared = not listeners
        for listener in listeners:
            done, found = self._compare(listener, since, until, options)
            failures += [f"{listener.name}: {failure}" for failure in found]
            is_compared |= done
        if not failures and not is_compared:
            raise CommandError("Nothing was compared, for the reasons above.")
        if failures:
            raise CommandError("Some comparisons failed:\n" + "\n".join(failures))

    def _compare(
        self, listener: Listener, since: datetime, until: datetime, options: dict[str, Any]
    ) -> tuple[bool, list[str]]:
        """Compare and report; return whether anything was compared, and why something was not."""
        name, entity, by = listener.name, options["entity"] or "", Actor.at_the_shell()
        records = not options["dry_run"]
        if records:
            span = {"since": since.isoformat(), "until": until.isoformat()}
            details = {**span, "entity": entity, "ignores_filter": options["ignore_filter"]}
            note(by, Action.RECONCILE, listener, details=details)
            if options["ignore_filter"]:
                ignore_filter(listener, entity, timezone.now())
            if again := schedule.retry(listener, timezone.now()):
                self.stdout.write(f"{name}: failed comparisons queued for another try: {again}")
        self.stdout.write(
            f"{name}: comparing records changed from {since:{CLOCK}} to {until:{CLOCK}} UTC "
            f"with the audit log, {MEANS}"
        )
        try:
            with Meter(self.stderr, name) as meter:
                progress, failures = run_requested(
                    requested(
                        listener,
                        entity,
                        since,
                        until,
                        str(by),
                        ignores_filter=options["ignore_filter"],
                    ),
                    lambda now: meter.at(now.total.compared, about=so_far(now)),
                    records=records,
                    accepts_deletions=options["accept_deletions"],
                )
        except KeyboardInterrupt:
            more = " The workers continue the comparison." if records else ""
            interrupted(self, f"Interrupted.{more}")
        texts = [
            line
            for entity in sorted(progress.done)
            for line in lines(entity, progress.figures[entity], records=records)
        ]
        texts += notes(progress)
        if progress.done:
            texts += outside(listener, entity, since)
        for text in texts:
            self.stdout.write(f"{name}: {text}")
        return bool(progress.done), failures
