import math
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.action_log import Actor
from consumer.diagnostics.connection_check import checked
from listeners.models import Connection, Listener


class Command(BaseCommand):
    help = (
        "Log in once, see which API versions and limits the org has, and subscribe to the channel "
        "of each of the connection's listeners for a moment."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="a connection, or a listener of one")

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
            self.stdout.write("No listener uses it yet: no channel was tried.")


def _named(name: str) -> tuple[Connection, list[Listener]]:
    """A connection with all of its listeners, or a listener's with that one."""
    connection = Connection.objects.filter(name=name).first()
    if connection is not None:
        return connection, list(connection.listeners.all())
    listener = Listener.objects.filter(name=name).select_related("connection").first()
    if listener is not None:
        return listener.connection, [listener]
    known = ", ".join(Connection.objects.values_list("name", flat=True)) or "none"
    raise CommandError(f"There is no connection {name!r}. Known: {known}.", returncode=2)
