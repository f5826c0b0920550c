import dataclasses
import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from consumer.status.listeners import COUNTED, internal_errors, statuses, table, workers_line
from handlers.reporting import queue_coverage


class Command(BaseCommand):
    help = (
        "Show the status of each listener (times in UTC). LAG: from the commit of the last change "
        "to its receipt. RUNWAY: time left until Salesforce no longer accepts the stored position, "
        "72 hours after the commit of its event. BACKLOG: deliveries by state; with + (and in "
        "JSON, of the states in capped) there are more than were counted, which is up to "
        f"{COUNTED:,} of each state over all listeners, of ended ones among the newest deliveries. "
        "INCIDENTS: open incidents. 24 H: events that Salesforce delivered in the last 24 hours, "
        "and the org's usage of its daily limit. Last lines: the Celery workers online and the "
        "queues they consume, and open internal errors."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=["table", "json"], default="table")

    def handle(self, *_: Any, **options: Any) -> None:
        found = statuses(timezone.now())
        if options["format"] == "json":
            rows = [dataclasses.asdict(status) for status in found]
            self.stdout.write(json.dumps(rows, indent=2, default=_iso))
            return
        if found:
            self.stdout.write("\n".join(table(found)))
        else:
            self.stdout.write("No listeners yet. Create one in the admin or with apply_cdc_config.")
        self.stdout.write(workers_line(queue_coverage.seen()))
        for line in internal_errors():
            self.stdout.write(line)


def _iso(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
