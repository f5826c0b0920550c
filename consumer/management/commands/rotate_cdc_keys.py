from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from consumer.management.arguments import add_dry_run
from consumer.management.progress import interrupted
from listeners.key_rotation import Outcome, Rotation, rotate
from listeners.salesforce.tokens.store import TokenStoreUnavailable


class Command(BaseCommand):
    help = (
        "Re-encrypt all stored secrets with the first key of CDC_ENCRYPTION_KEYS. Run this once "
        "every process has the new key; afterwards the old keys can be removed."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_dry_run(parser, "count what would be re-encrypted, without changing anything")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            found = rotate(dry_run=options["dry_run"])
        except TokenStoreUnavailable as away:
            raise CommandError(
                f"{away}. Secrets re-encrypted so far are kept; run the command again."
            ) from None
        except KeyboardInterrupt:
            interrupted(self, "Interrupted. Run the command again to re-encrypt the rest.")
        self._report(found, dry_run=options["dry_run"])

    def _report(self, found: Rotation, *, dry_run: bool) -> None:
        counts = found.counts
        self.stdout.write(f"already encrypted with the first key: {counts[Outcome.CURRENT]}")
        done = "to be re-encrypted" if dry_run else "re-encrypted"
        self.stdout.write(f"{done}: {counts[Outcome.ROTATED]}")
        if counts[Outcome.CHANGED]:
            self.stdout.write(
                f"changed by another process: {counts[Outcome.CHANGED]}; run the command again"
            )
        for place in found.unreadable:
            self.stderr.write(f"{place} is encrypted with a key that is not in CDC_ENCRYPTION_KEYS")
        if found.unreadable or counts[Outcome.CHANGED]:
            raise CommandError("Keep all keys: some secrets are not encrypted with the first one.")
        if not dry_run:
            self.stdout.write(
                "Every secret is encrypted with the first key; the other keys can be removed."
            )
