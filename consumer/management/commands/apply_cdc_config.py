from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from consumer.configuration.apply import apply_file
from consumer.configuration.problems import ConfigurationRefused


class Command(BaseCommand):
    help = (
        "Make connections, listeners and handler mappings match a YAML file, in one transaction. "
        "A key that is left out has its default; a listener without the key handlers keeps those "
        "it has."
    )
    # A mapping without its handler is a warning here, and may be what this command corrects.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file", metavar="FILE", help="${NAME} in a value is taken from the environment"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would change and change nothing"
        )
        parser.add_argument(
            "--prune",
            action="store_true",
            help="remove what the file does not name; a listener with a history is disabled, a "
            "connection that is in use stays",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            applied = apply_file(
                options["file"], dry_run=options["dry_run"], prune=options["prune"]
            )
        except ConfigurationRefused as refused:
            raise CommandError(str(refused)) from None
        for warning in applied.warnings:
            self.stderr.write(f"warning: {warning}")
        for line in applied.lines:
            self.stdout.write(line)
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was changed")
