import math
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.action_log import Actor
from consumer.diagnostics.connection_check import checked
from listeners.models import Connection, Listener


class Command(BaseCommand):
    help = (
        "Log in once, read the org's API versions and limits, and briefly subscribe to the channel "
        "of each listener of the connection."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name", metavar="NAME", help="name of a connection, or of a listener to check alone"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        connection, listeners = _named(options["name"])
        self.stdout.write(f"connection: {connection.name}")
        failures: list[str] = []
        by = Actor.at_the_shell()
        for finding in checked(connection, listeners, by, seconds=math.inf):
            if finding.is_failure:
                failures.append(finding.text)
            else:
                self.stdout.write(finding.text)
        if failures:
            raise CommandError("\n".join(failures))
        if not listeners:
            self.stdout.write("No listener uses this connection yet, so no channel was checked.")


def _named(name: str) -> tuple[Connection, list[Listener]]:
    """Return the connection of this name with all its listeners, or the listener of this name with
    its connection."""
    connection = Connection.objects.filter(name=name).first()
    if connection is not None:
        return connection, list(connection.listeners.all())
    listener = Listener.objects.filter(name=name).select_related("connection").first()
    if listener is not None:
        return listener.connection, [listener]
    known = ", ".join(Connection.objects.values_list("name", flat=True)) or "none"
    raise CommandError(f"There is no connection {name!r}. Known: {known}.", returncode=2)
