import contextlib
import gc
import sys
from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from cdcproject.conf.db_timeouts import limit_sessions
from cdcproject.conf.logging import log_thread_failures
from cdcproject.process.embedded_broker import ensure_embedded_broker
from cdcproject.process.opentelemetry import tracing
from consumer.host.exit_limits import Limits
from consumer.host.probes import Probes
from consumer.host.signals import Stopping, wait_for_database
from consumer.host.supervisor import EXIT_OK, Supervisor
from consumer.management.arguments import at_least, seconds
from handlers.checks import check_mappings
from handlers.tracing import record_with
from listeners.models import Listener

#: Nothing here waits for others inside a transaction: a process that is paused in one loses what it
#: locked by the time its lease ends, so that another can go on. A lock is waited for less long than
#: a lease lasts, so that one whose locks are held by others keeps its own.
SESSION_LIMITS = {"idle_in_transaction": 8.0, "lock": 6.0}
#: A thread that has heard from the database goes on after so long, whatever the others calculate:
#: with Python's own 5 ms, each statement of a batch could wait as long as it takes itself.
SWITCH_SECONDS = 0.0005


class Command(BaseCommand):
    help = "Receive the changes of every enabled listener, or of the named ones."
    # A mapping without its handler is reported, and its deliveries wait: nothing else has to.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="listeners to host")
        parser.add_argument(
            "--until-idle",
            type=seconds,
            metavar="SECONDS",
            help="exit 0 once nothing was received, or left to publish, for that long",
        )
        parser.add_argument(
            "--max-events",
            type=at_least(1),
            metavar="N",
            help="exit 0 once that many changes were recorded and published",
        )
        parser.add_argument(
            "--metrics-port",
            type=at_least(0),
            metavar="P",
            help="serve /healthz/live, /healthz/ready and /metrics there",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        log_thread_failures()
        limit_sessions(**SESSION_LIMITS)
        tracing.begin("listener", record_with)
        gc.freeze()  # what is loaded stays: each look for garbage would go through all of it
        sys.setswitchinterval(SWITCH_SECONDS)
        supervisor = Supervisor(
            options["names"], Limits(options["until_idle"], options["max_events"])
        )
        stopping = Stopping(supervisor.stop)
        with self._probes(supervisor, options["metrics_port"]):
            ensure_embedded_broker()
            look_around = partial(self._look_around, options["names"])
            code = supervisor.run() if wait_for_database(look_around, stopping) else EXIT_OK
        tracing.end()
        sys.exit(code)

    def _look_around(self, names: list[str]) -> None:
        self._refuse_unknown(names)
        for problem in check_mappings():
            self.stderr.write(str(problem))

    def _refuse_unknown(self, names: list[str]) -> None:
        known = dict(Listener.objects.values_list("name", "enabled"))
        for name in names:
            if name not in known:
                raise CommandError(
                    f"There is no listener {name!r}. Known: {', '.join(sorted(known)) or 'none'}.",
                    returncode=2,
                )
            if not known[name]:
                raise CommandError(f"Listener {name!r} is disabled; enable it.", returncode=2)

    def _probes(
        self, supervisor: Supervisor, port: int | None
    ) -> contextlib.AbstractContextManager[Any]:
        if port is None:
            return contextlib.nullcontext()
        try:
            return Probes(supervisor, port)
        except OSError as error:
            raise CommandError(f"--metrics-port {port}: {error.strerror}", returncode=2) from error
