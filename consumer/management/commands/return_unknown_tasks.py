from argparse import ArgumentParser
from collections import Counter
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from consumer.management.arguments import add_dry_run
from handlers import broker
from handlers.messages.unknown_tasks import kept, send_on


class Command(BaseCommand):
    help = (
        "Return messages of unknown tasks to a queue. A worker that receives a message for an "
        "unregistered task moves it, unchanged, to a separate queue."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--to", metavar="QUEUE", help="queue that the task's workers consume")
        parser.add_argument("--task", metavar="NAME", help="return only the messages of this task")
        add_dry_run(parser, "count the messages by task, without sending anything")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["dry_run"]:
            return self._report("kept", self._ask_broker(kept))
        to = options["to"]
        if not to:
            raise CommandError("Specify --to QUEUE, or --dry-run to list the kept messages.")
        if to == settings.CDC_UNKNOWN_QUEUE:
            raise CommandError(f"The messages are already in {to}; specify another queue.")
        sent = self._ask_broker(lambda: send_on(to, options["task"]))
        return self._report(f"sent to {to}", sent)

    def _ask_broker(self, ask: Any) -> Counter[str]:
        try:
            found: Counter[str] = ask()
        except Exception as error:
            if not isinstance(error, broker.failures(current_app)):
                raise
            raise CommandError(
                f"The broker failed: {error}. Messages that were not sent are still in "
                f"{settings.CDC_UNKNOWN_QUEUE}; run the command again."
            ) from None
        return found

    def _report(self, outcome: str, counts: Counter[str]) -> None:
        for task, count in sorted(counts.items()):
            self.stdout.write(f"{task}: {count} {outcome}")
        if not counts:
            self.stdout.write(f"No messages in {settings.CDC_UNKNOWN_QUEUE}.")
