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
from cdcproject.process.malloc import return_large_blocks
from cdcproject.process.opentelemetry import tracing
from consumer.host.probes import Probes
from consumer.host.signals import Stopping, wait_for_database
from consumer.host.supervisor import EXIT_OK, PAUSED_SECONDS, Supervisor
from consumer.management.arguments import at_least, refuse_unknown_listener, seconds
from handlers.checks import check_mappings
from handlers.tracing import record_with
from listeners.models import Listener

#: Database session limits, in seconds, both shorter than a lease. A process that waits for a lock
#: gives up in time to renew its lease.
SESSION_LIMITS = {"idle_in_transaction": PAUSED_SECONDS, "lock": 6.0}
#: Objects created, and not deleted, between two runs of the garbage collector. By Python's default
#: it runs several times for each batch, whose objects are all in use, and finds nothing.
GARBAGE_THRESHOLD = 50_000
#: The interpreter's thread switch interval. With Python's default of 5 ms, a thread whose database
#: answer has arrived could wait for as long as the statement took. With 0.5 ms, waking the waiting
#: threads took up to half of the CPU when 200 listeners started (`benchmarks/README.md`).
SWITCH_SECONDS = 0.002


class Command(BaseCommand):
    help = "Receive changes for every enabled listener, or for the named ones."
    # A mapping with an unregistered handler is only reported: its deliveries wait, the rest runs.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help="listener to host; default: every enabled listener",
        )
        parser.add_argument(
            "--until-idle",
            type=seconds,
            metavar="SECONDS",
            help="exit 0 once nothing has been received or left to publish for this long",
        )
        parser.add_argument(
            "--max-events",
            type=at_least(1),
            metavar="N",
            help="exit 0 once this many changes have been recorded and published",
        )
        parser.add_argument(
            "--metrics-port",
            type=at_least(0),
            metavar="P",
            help="serve /healthz/live, /healthz/ready and /metrics on this port",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        log_thread_failures()
        return_large_blocks()
        limit_sessions(**SESSION_LIMITS)
        tracing.begin("listener", record_with)
        gc.freeze()  # loaded modules stay: keep the garbage collector from scanning them each time
        gc.set_threshold(GARBAGE_THRESHOLD)
        sys.setswitchinterval(SWITCH_SECONDS)
        supervisor = Supervisor(
            options["names"],
            idle_seconds=options["until_idle"],
            max_events=options["max_events"],
        )
        stopping = Stopping(supervisor.stop)
        with self._probes(supervisor, options["metrics_port"]):
            ensure_embedded_broker()
            check = partial(self._check_configuration, options["names"])
            code = supervisor.run() if wait_for_database(check, stopping) else EXIT_OK
        tracing.end()
        sys.exit(code)

    def _check_configuration(self, names: list[str]) -> None:
        # Read without names too: a database that is not there yet is waited for.
        is_enabled = dict(Listener.objects.values_list("name", "enabled"))
        for name in names:
            if name not in is_enabled:
                refuse_unknown_listener(name)
            if not is_enabled.get(name, True):
                raise CommandError(f"Listener {name!r} is disabled; enable it first.", returncode=2)
        for problem in check_mappings():
            self.stderr.write(str(problem))

    def _probes(
        self, supervisor: Supervisor, port: int | None
    ) -> contextlib.AbstractContextManager[Any]:
        if port is None:
            return contextlib.nullcontext()
        try:
            return Probes(supervisor, port)
        except OSError as error:
            raise CommandError(f"--metrics-port {port}: {error.strerror}", returncode=2) from error
