"""OpenTelemetry's own variables configure tracing; without them nothing of it is loaded."""

import json
import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from celery.concurrency import prefork, thread
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from cdcproject.celery import begin_tracing_without_a_pool
from cdcproject.process import opentelemetry
from cdcproject.process.opentelemetry import Tracing, exporters
from handlers import tracing
from tests.collector import Collector
from tests.nursery import ROOT

#: Begins and ends tracing as a worker process does, and prints the loaded modules.
PROCESS = """
import json, sys
import django
django.setup()
import cdcproject.celery, consumer.host.supervisor, consumer.tasks, handlers.worker.run
from cdcproject.process import opentelemetry
from cdcproject.process.opentelemetry import tracing
from handlers import tracing as switch
opentelemetry.FLUSH_SECONDS = 60
tracing.load()
tracing.begin("worker", switch.record_with)
is_on = switch.spans is not None
{more}
tracing.end()
print(json.dumps([is_on, sorted(sys.modules)]))
"""
SPANS = "handlers.tracing.change_spans"
SPAN = """
from opentelemetry import trace
trace.get_tracer("crm").start_span("look up").end()
"""


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def collector():
    running = Collector()
    yield running
    running.close()


def began(more="", **environment):
    """Return whether tracing began in a new process, and which modules it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS.format(more=more)],
        check=False,
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "cdcproject.settings", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_is_loaded_where_no_exporter_is_named():
    is_on, loaded = began()

    assert not is_on
    assert "handlers.tracing" in loaded
    # The client of Redis loads what is for metrics, where it is installed.
    assert not {SPANS, "opentelemetry.sdk.trace", "opentelemetry.exporter"} & set(loaded)


def test_headers_may_be_in_a_file_and_a_service_has_the_name_it_is_given(collector, tmp_path):
    (tmp_path / "headers").write_text("api-key=hunter2\n")

    is_on, loaded = began(
        f"{SPAN}\nimport os; assert not os.environ['OTEL_EXPORTER_OTLP_HEADERS']",
        OTEL_TRACES_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_HEADERS="",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces",
        OTEL_EXPORTER_OTLP_HEADERS_FILE=str(tmp_path / "headers"),
        OTEL_SERVICE_NAME="crm-worker",
    )

    assert is_on
    assert {SPANS, "opentelemetry.sdk.trace", "opentelemetry.exporter"} <= set(loaded)
    assert [(one.name, one.service) for one in collector.spans] == [("look up", "crm-worker")]
    assert [headers["api-key"] for headers in collector.headers] == ["hunter2"]


@pytest.mark.parametrize(("pool", "begun"), [(prefork.TaskPool, []), (thread.TaskPool, ["worker"])])
def test_a_worker_that_forks_begins_in_its_children_alone(pool, begun, monkeypatch):
    """A thread that began before the fork would not run in the children."""
    roles = []
    monkeypatch.setattr(opentelemetry.tracing, "begin", lambda role, _: roles.append(role))

    begin_tracing_without_a_pool(SimpleNamespace(pool=pool(1)))

    assert roles == begun


def test_the_end_waits_until_what_is_left_is_sent(monkeypatch):
    monkeypatch.setattr(opentelemetry, "FLUSH_SECONDS", 60)
    is_sent = threading.Event()
    ending = Tracing()
    ending._flush = threading.Timer(0.05, is_sent.set).run

    ending.end()

    assert is_sent.is_set()


def test_a_collector_that_does_not_answer_holds_up_no_end(monkeypatch):
    monkeypatch.setattr(opentelemetry, "FLUSH_SECONDS", 0.01)
    answers = threading.Event()
    ending = Tracing()
    ending._flush = answers.wait

    ending.end()

    assert not answers.is_set()
    answers.set()


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, []),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, []),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["otlp", "console"]),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, ["otlp"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318"}, ["otlp"]),
    ],
)
def test_the_environment_names_the_exporters(environment, names, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert exporters() == names


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "there is no exporter 'jaeger'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "there is no exporter 'otlp_proto_grpc'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon"}, "there is no exporter 'otlp over pigeon'"),
        ({"OTEL_SPAN_EVENT_COUNT_LIMIT": "-5"}, "OTEL_SPAN_EVENT_COUNT_LIMIT must be"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "-5"}, "max_queue_size must be"),
        ({"OTEL_PYTHON_TRACER_PROVIDER": "pigeon"}, "StopIteration"),
        ({"OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "pigeon"}, "'pigeon' not found"),
    ],
)
def test_a_wrong_variable_is_logged_and_stops_nothing(environment, why, monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    Tracing().begin("worker", tracing.record_with)

    assert tracing.spans is None
    assert "tracing disabled" in caplog.text
    assert why in caplog.text


def test_an_unreadable_header_is_logged_without_its_content(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization: Bearer hunter2")

    OTLPSpanExporter()

    assert "Header format invalid" in caplog.text
    assert "(not shown)" in caplog.text
    assert "hunter2" not in caplog.text


def test_without_the_package_the_log_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)

    Tracing().load()

    assert "install requirements-otel.txt" in caplog.text
