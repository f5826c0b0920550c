"""The running product, with all that has background steps: listeners on both transports, external
tasks, a mirror, unknown tasks, beat and alerts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests
from celery import Celery

from tests.chaos.brokers import Valkey
from tests.chaos.external.environments import OWN, python_with
from tests.chaos.external.stage import PROJECT as SHOP
from tests.chaos.mirror.operator import Operator
from tests.chaos.services import Service, tell, wait_until_logged
from tests.chaos.stage import START_SECONDS, STOP_SECONDS, Size, Stage
from tests.chaos.traffic import ENTITIES, MIX
from tests.chaos.transports import BOTH
from tests.notice_receivers import Webhook
from tests.servers import free_port

Answer = TypeVar("Answer")

#: The org's users write so many times, so many seconds apart.
CHANGES, CHANGE_SECONDS = 4, 0.5
#: A listener that waits in silence receives a change every so many times.
QUIET_TURNS = 20
UNKNOWN_SECONDS = 2.0
LOOK_SECONDS = 0.2
#: How long an expected state may take to come.
PATIENCE_SECONDS = 45.0
#: The handlers are imported through a module of the run's folder, which can be broken.
HANDLERS = "faulty_handlers"
_SOUND = "from tests.chaos.handlers import *\n"
_MORE = """\
  - name: shop
    connection: contacts
    channel: /data/OpportunityChangeEvent
    replay_from: earliest
    handlers:
      - {{on: update, entity: Opportunity, task: shop.sync_account, queue: shop, destination: shop,
         ordering: per_record, report_timeout: 20, on_unknown: retry, max_attempts: 50}}
  - name: quiet
    connection: contacts
    channel: /data/LeadChangeEvent
    replay_from: earliest
    keep_alive_interval: 5
destinations:
  - {{name: shop, broker: {broker}, worker_events: true}}
mirrors:
  - {{model: crm.Opportunity, listener: shop, verify: never}}
"""
_ROLE = """
CREATE ROLE cdc LOGIN;
GRANT ALL ON SCHEMA public TO cdc;
ALTER TABLE chaos_effect OWNER TO cdc;
"""


class Violated(Exception):
    """The product did not do what it should; the reason is the text."""


class Product(Stage):
    """Starts the product with an org that changes all along, and stops it."""

    def __init__(self, folder: Path) -> None:
        size = Size(
            listeners=1,
            workers=1,
            failure_rate=0.0,
            settings="tests.faults.settings",
            can_be_cut=False,
            transport=BOTH,
        )
        super().__init__(folder, Valkey(folder / "broker"), size)
        #: Incidents and failing steps that were there before the current case.
        self.ignored: set[str] = set()
        self.effects = folder / "effects.jsonl"
        self.webhook = Webhook()
        self._shop_broker = Valkey(folder / "shop-broker")
        self._reports = folder / "reports"
        self._probes_port, self._web_port = free_port(), free_port()
        self._over = threading.Event()
        self._traffic: list[threading.Thread] = []
        self._wanted_restarts = 0

    def _start(self, ending: ExitStack) -> None:
        ending.callback(self.webhook.close)
        for made in (self._reports, self.folder / "modules"):
            made.mkdir()
        self.effects.touch()
        self.plan()
        self.break_handlers(is_broken=False)
        super()._start(ending)
        self.web = self._service(
            "web", ["-m", "gunicorn", "cdcproject.wsgi", "-b", f"127.0.0.1:{self._web_port}"]
        )
        self.beat = self._service("beat", ["-m", "celery", "-A", "cdcproject", "beat"])
        self._operator = Operator({**os.environ, **self._environment})
        ending.callback(self._operator.close)
        for each in (self._change, self._send_unknown_tasks):
            self._traffic.append(threading.Thread(target=each, daemon=True))
            self._traffic[-1].start()
        ending.callback(self.end_traffic)

    def _start_servers(self, ending: ExitStack) -> None:
        super()._start_servers(ending)
        with self.connect() as connection:
            connection.execute(_ROLE)
        self._shop_broker.start()
        ending.callback(self._shop_broker.kill)

    def _make_environment(self) -> dict[str, str]:
        made = super()._make_environment()
        return {
            **made,
            # With the rights of an ordinary user.
            "DATABASE_URL": made["DATABASE_URL"].replace("postgres@", "cdc@"),
            "CDC_HANDLER_MODULES": HANDLERS,
            "CDC_APPS": "tests.mirror.crm",
            "CDC_INCIDENT_WEBHOOK": self.webhook.url,
            "PYTHONPATH": str(self.folder / "modules"),
            "FAULTS_FOLDER": str(self._reports),
            "FAULTS_PROCESS": "command",
            "WEB_CONCURRENCY": "1",
        }

    def _configuration(self) -> str:
        return super()._configuration() + _MORE.format(broker=self._shop_broker.url)

    def _configure(self) -> None:
        # The mapping is checked against the tasks that its workers have registered.
        project = self.folder / "project"
        project.mkdir()
        shutil.copy(SHOP, project)
        self.shop = Service(
            "shop",
            [*("-m", "celery", "-A", "shop", "worker", "-l", "INFO", "-c", "1", "-E")],
            {
                "SHOP_BROKER": self._shop_broker.url,
                "EFFECTS": str(self.effects),
                "DJANGO_SETTINGS_MODULE": "",
            },
            self.folder / "shop.log",
            python=python_with(OWN),
            folder=project,
        )
        self.init.services.append(self.shop)
        wait_until_logged([self.shop], "ready.", START_SECONDS)
        super()._configure()

    def _service(self, name: str, arguments: Sequence[str]) -> Service:
        if name.startswith("listener"):
            arguments = [*arguments, "--metrics-port", str(self._probes_port)]
        own = {**self._environment, "FAULTS_PROCESS": name}
        service = Service(name, arguments, own, self.folder / f"{name}.log")
        self.init.services.append(service)
        return service

    def stop_services(self) -> None:
        others = [
            self.shop,
            *(getattr(self, name) for name in ("web", "beat") if hasattr(self, name)),
        ]
        super().stop_services()
        for service in others:
            service.stop(STOP_SECONDS)

    # Traffic

    def _change(self) -> None:
        turn = 0
        while not self._over.wait(CHANGE_SECONDS):
            self.org.post("bursts", quiet=True, count=CHANGES, mix=MIX, entities=ENTITIES)
            if turn % QUIET_TURNS == 0:
                self.org.create("Lead", LastName="Quiet")
            turn += 1

    def _send_unknown_tasks(self) -> None:
        with Celery("stranger", broker=self.broker.url) as stranger:
            while not self._over.wait(UNKNOWN_SECONDS):
                stranger.send_task("stranger.task", queue="cdc")

    def end_traffic(self) -> None:
        self._over.set()
        for thread in self._traffic:
            thread.join()

    # Faults

    def plan(self, steps: Sequence[str] | None = (), kind: str = "", **options: Any) -> int:
        """Let these steps fail, or all with None, and no others.

        once      each only once in each process
        during    at the first SQL statement of the step, or after its work
        process   only those of the process of that name
        """
        self._number = getattr(self, "_number", 0) + 1
        plan = {"number": self._number, "steps": steps, "kind": kind}
        plan |= {"once": False, "during": False, "process": "", **options}
        file = self._reports / "plan.new"
        file.write_text(json.dumps(plan))
        file.replace(self._reports / "plan.json")
        return self._number

    def break_handlers(self, *, is_broken: bool) -> None:
        text = "def broken(:\n" if is_broken else _SOUND
        (self.folder / "modules" / f"{HANDLERS}.py").write_text(text)

    def restart(self) -> None:
        """Restart listener and worker, as for a deployment."""
        for service in self.services:
            before = service.restarts
            for process in service.tree()[:1]:
                tell(process, signal.SIGTERM)
                self._wanted_restarts += 1
            self.wait(partial(_has_restarted, service, before), f"the restart of {service.name}")

    # Queries

    def unexpected_restarts(self) -> dict[str, int]:
        """Return how often each process ended by itself, if any did."""
        counts = {service.name: service.restarts for service in self.init.services}
        return counts if sum(counts.values()) > self._wanted_restarts else {}

    def reports(self) -> list[dict[str, Any]]:
        """Return the reports of the processes that run, and raise nothing while one is replaced."""
        found = []
        for file in self._reports.glob("*[0-9].json"):
            with suppress(FileNotFoundError):
                report = json.loads(file.read_text())
                if psutil.pid_exists(report["pid"]) and report["process"] != "command":
                    found.append(report)
        return found

    def incidents(self) -> dict[str, dict[str, Any]]:
        """Return the open incidents "internal error" by key."""
        with self.connect() as connection:
            rows = connection.execute(
                "SELECT key, summary, action, remedy FROM audit_incident"
                " WHERE kind = 'internal_error' AND closed_at IS NULL"
            ).fetchall()
        return {
            key: {"summary": summary, "action": action, "remedy": remedy}
            for key, summary, action, remedy in rows
            if key not in self.ignored
        }

    def alerts(self, state: str) -> list[str]:
        """Return the summaries of the internal errors that alerts told."""
        said = [json.loads(body) for body in list(self.webhook.bodies)]
        return [
            str(alert["summary"])
            for alert in said
            if alert["kind"] == "internal_error" and alert["state"] == state
        ]

    def failing(self) -> set[str]:
        """Return the steps that readiness names; "probes" if it does not answer."""
        try:
            answer = requests.get(
                f"http://127.0.0.1:{self._probes_port}/healthz/ready", timeout=2
            ).json()
        except requests.RequestException:
            return {"probes"}
        return set(answer["failing"]) - self.ignored

    def status(self) -> str:
        """Return what manage.py cdc_status prints."""
        answer = self._operator.run("cdc_status")
        return str(answer.get("output", answer))

    def web_is_ready(self) -> bool:
        with suppress(requests.RequestException):
            url = f"http://127.0.0.1:{self._web_port}/healthz/ready"
            return requests.get(url, timeout=5).ok
        return False

    def wait(
        self,
        condition: Callable[[], Answer],
        what: str,
        seconds: float = PATIENCE_SECONDS,
        last: Callable[[], object] = lambda: "",
    ) -> Answer:
        """Return the condition's first true answer. Raises Violated."""
        deadline = time.monotonic() + seconds
        while not (answer := condition()):
            if time.monotonic() > deadline:
                raise Violated(f"{what} did not come in {seconds:g} s {last()}".rstrip())
            time.sleep(LOOK_SECONDS)
        return answer


def _has_restarted(service: Service, before: int) -> bool:
    return service.restarts > before
