import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from audit.action_log import Action, Actor, note
from consumer.management.arguments import moment, refuse_unknown_listener, word
from consumer.management.progress import Meter
from consumer.reconciliation import schedule
from consumer.reconciliation.on_demand import Asked, WrongWindow, ask, window
from consumer.reconciliation.report import CLOCK, MEANS, lines, outside, so_far
from listeners.models import Listener

INTERRUPTED = 130


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
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="report missing changes, without recording anything",
        )
        parser.add_argument(
            "--accept-deletions",
            action="store_true",
            help="record deletions even if many records of an entity are absent from Salesforce",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        refuse_unknown_listener(options["listener"])
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
        for listener in listeners:
            asked = Asked(
                listener,
                options["entity"] or "",
                since,
                until,
                records=not options["dry_run"],
                by=str(Actor.at_the_shell()),
                accepts_deletions=options["accept_deletions"],
            )
            failures += self._compare(asked)
        if failures:
            raise CommandError("Some comparisons failed:\n" + "\n".join(failures))

    def _compare(self, asked: Asked) -> list[str]:
        name = asked.listener.name
        if asked.records:
            span = {"since": asked.since.isoformat(), "until": asked.until.isoformat()}
            details = {**span, "entity": asked.entity}
            note(Actor.at_the_shell(), Action.RECONCILE, asked.listener, details=details)
        if asked.records and (again := schedule.retry(asked.listener, timezone.now())):
            self.stdout.write(f"{name}: failed comparisons queued for another try: {again}")
        self.stdout.write(
            f"{name}: comparing records changed from {asked.since:{CLOCK}} to "
            f"{asked.until:{CLOCK}} UTC with the audit log, {MEANS}"
        )
        try:
            with Meter(self.stderr, name) as meter:
                answer = ask(asked, lambda now: meter.at(now.total.compared, about=so_far(now)))
        except KeyboardInterrupt:
            self.stderr.write(
                "Interrupted." + (" The workers continue the comparison." if asked.records else "")
            )
            sys.exit(INTERRUPTED)
        for entity, figures in answer.figures.items():
            for line in lines(entity, figures, records=asked.records):
                self.stdout.write(f"{name}: {line}")
        if answer.figures:
            for line in outside(asked.listener, asked.entity, asked.since):
                self.stdout.write(f"{name}: {line}")
        return [f"{name}: {failure}" for failure in answer.failures]
