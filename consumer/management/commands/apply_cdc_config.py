from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from consumer.configuration.apply import apply_file
from consumer.configuration.errors import ConfigurationRefused
from consumer.management.arguments import add_dry_run


class Command(BaseCommand):
    help = (
        "Make connections, listeners and handler mappings match a YAML file, in one transaction. "
        "An omitted key takes its default; a listener without the key handlers keeps its stored "
        "mappings. A mapping keeps its identity and its waiting deliveries when its handler or "
        "options change."
    )
    # This command must run to correct a stored mapping whose handler is not registered.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "file",
            metavar="FILE",
            help="YAML file; ${NAME} in a value is replaced from the environment",
        )
        add_dry_run(parser, "show what would change, without changing anything")
        parser.add_argument(
            "--prune",
            action="store_true",
            help="remove handler mappings, listeners and connections that the file does not name; "
            "the waiting deliveries of a removed mapping are skipped, a listener with history is "
            "disabled instead, and a connection in use is kept",
        )
        parser.add_argument(
            "--allow-unknown-handlers",
            action="store_true",
            help="accept handlers that are not registered yet; their deliveries wait",
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
