"""`manage.py run_salesforce_simulator`: run a simulated Salesforce org in the foreground."""

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import (
    BaseCommand,
    CommandError,
    CommandParser,
    DjangoHelpFormatter,
)

from simulator import cli
from simulator.control.operations import listed
from simulator.options import add_arguments, from_arguments
from simulator.simulator import Simulator


class _HelpFormatter(RawDescriptionHelpFormatter, DjangoHelpFormatter):
    """Django's formatter, which keeps the list of operations as it is."""


class Command(BaseCommand):
    """Serves until SIGINT or SIGTERM."""

    help = "Run a simulated Salesforce org: OAuth, Streaming and Pub/Sub API, REST, control API."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the same options as `python -m simulator`."""
        parser.epilog = listed()
        parser.formatter_class = _HelpFormatter
        add_arguments(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Announce the address and the credentials, then serve."""
        try:
            simulator = Simulator(from_arguments(options))
            cli.run(simulator, self.stdout.write, as_json=options["json"])
        except (ValueError, LookupError, OSError) as error:
            raise CommandError(str(error)) from error
