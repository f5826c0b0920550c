from argparse import ArgumentParser
from collections import Counter
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from handlers.messages.unknown_tasks import kept, send_on
from handlers.outbox import broker


class Command(BaseCommand):
    help = (
        "Send messages of unknown tasks on to a queue. A worker that meets a task that it does not "
        "know keeps the message, unchanged, in a queue of its own."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--to", metavar="QUEUE", help="the queue that the task's workers listen to"
        )
        parser.add_argument("--task", metavar="NAME", help="only messages of this task")
        parser.add_argument(
            "--dry-run", action="store_true", help="count the messages by task and send nothing"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if options["dry_run"]:
            return self._report("kept", self._ask_broker(kept))
        to = options["to"]
        if not to:
            raise CommandError("Give --to QUEUE, or --dry-run to see which messages are kept.")
        if to == settings.CDC_UNKNOWN_QUEUE:
            raise CommandError(f"The messages are in {to} already; give another queue.")
        sent = self._ask_broker(lambda: send_on(to, options["task"]))
        return self._report(f"sent to {to}", sent)

    def _ask_broker(self, ask: Any) -> Counter[str]:
        try:
            found: Counter[str] = ask()
        except Exception as error:
            if not isinstance(error, broker.failures(current_app)):
                raise
            raise CommandError(
                f"The broker refused: {error}. Messages that were not sent are still in "
                f"{settings.CDC_UNKNOWN_QUEUE}; run the command again."
            ) from None
        return found

    def _report(self, what: str, counts: Counter[str]) -> None:
        for task, count in sorted(counts.items()):
            self.stdout.write(f"{task}: {count} {what}")
        if not counts:
            self.stdout.write(f"No message in {settings.CDC_UNKNOWN_QUEUE}.")
