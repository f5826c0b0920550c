"""Runs management commands inside the test, with a configuration file or recorded changes."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from textwrap import dedent
from typing import Any

from django.core.management import call_command

from consumer.ingest.transaction import ingest
from listeners.models import Listener
from tests.sample_data import lease_of, received

CONNECTION = """\
connections:
  - name: prod
    base_url: https://example.my.salesforce.com
    client_id: the-client
    client_secret: hush
    auth: client_credentials
"""


@dataclass
class Output:
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def run(name: str, *arguments: str) -> Output:
    out, err = StringIO(), StringIO()
    call_command(name, *arguments, stdout=out, stderr=err)
    return Output(out.getvalue(), err.getvalue())


@dataclass
class ConfigurationFile:
    path: Path

    def write(self, text: str) -> None:
        self.path.write_text(dedent(text), encoding="utf-8")

    def apply(self, text: str, *arguments: str) -> Output:
        self.write(text)
        return run("apply_cdc_config", str(self.path), *arguments)


def record(listener: Listener, *messages: dict[str, Any]) -> None:
    """Record changes as the listener does, for its present mappings."""
    lease = lease_of(listener)
    assert lease is not None
    ingest(listener, lease, received(*messages), list(listener.mappings.all()))
