from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from consumer.configuration.apply import apply_file
from consumer.configuration.errors import ConfigurationRefused


class Command(BaseCommand):
    help = (
        "Make connections, listeners and handler mappings match a YAML file, in one transaction. "
        "A key that is left out has its default; a listener without the key handlers keeps those "
        "it has. A mapping keeps its identity, and what waits for it, when its handler or options "
        "change."
    )
    # A stored mapping whose handler is not registered may be what this command corrects.
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
            help="remove what the file does not name: handler mappings, whose waiting deliveries "
            "are then skipped, listeners and connections; a listener with a history is disabled, a "
            "connection that is in use stays",
        )
        parser.add_argument(
            "--allow-unknown-handlers",
            action="store_true",
            help="accept handlers that are not registered (yet): their deliveries wait",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            applied = apply_file(
                options["file"],
                dry_run=options["dry_run"],
                prune=options["prune"],
                allow_unknown_handlers=options["allow_unknown_handlers"],
            )
        except ConfigurationRefused as refused:
            raise CommandError(str(refused)) from None
        for warning in applied.warnings:
            self.stderr.write(f"warning: {warning}")
        for line in applied.lines:
            self.stdout.write(line)
        if options["dry_run"]:
            self.stdout.write("dry run: nothing was changed")
