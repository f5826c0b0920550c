import dataclasses
import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from consumer.status.listeners import statuses, table, workers_line
from handlers.reporting import queue_coverage


class Command(BaseCommand):
    help = (
        "Show how each listener does (times in UTC). LAG: from a change's commit to its receipt. "
        "RUNWAY: how long Salesforce still knows the stored position, 72 hours from the commit of "
        "its event on. BACKLOG: deliveries by state. INCIDENTS: those that are open. "
        "24 H: events that Salesforce delivered, and the org's use of its daily limit. "
        "Below: the workers that are there, and the queues that they hear."
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
            self.stdout.write("No listener yet: make one in the admin or with apply_cdc_config.")
        self.stdout.write(workers_line(queue_coverage.seen()))


def _iso(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
