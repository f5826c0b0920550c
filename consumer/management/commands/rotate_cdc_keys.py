import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from listeners.key_rotation import Outcome, Rotation, rotate
from listeners.salesforce.tokens.store import TokenStoreUnavailable

INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Encrypt all stored secrets with the first of CDC_ENCRYPTION_KEYS. Run it when every "
        "process has the new key; afterwards the old ones can be taken out."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="count what would be encrypted, change nothing"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            found = rotate(dry_run=options["dry_run"])
        except TokenStoreUnavailable as away:
            raise CommandError(f"{away}. What was done so far is kept; run it again.") from None
        except KeyboardInterrupt:
            self.stderr.write("Interrupted. What is left is done when this is run again.")
            sys.exit(INTERRUPTED)
        self._report(found, dry_run=options["dry_run"])

    def _report(self, found: Rotation, *, dry_run: bool) -> None:
        counts = found.counts
        self.stdout.write(f"with the first key already: {counts[Outcome.CURRENT]}")
        done = "to be encrypted anew" if dry_run else "encrypted anew"
        self.stdout.write(f"{done}: {counts[Outcome.ROTATED]}")
        if counts[Outcome.CHANGED]:
            self.stdout.write(
                f"changed meanwhile by somebody else: {counts[Outcome.CHANGED]}; run it again"
            )
        for place in found.unreadable:
            self.stderr.write(f"{place} was encrypted with a key that CDC_ENCRYPTION_KEYS lacks")
        if found.unreadable or counts[Outcome.CHANGED]:
            raise CommandError("Keep all keys: not every secret has the first one.")
        if not dry_run:
            self.stdout.write("Every secret has the first key: the others can be taken out.")
