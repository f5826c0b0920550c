import gc
import os
import signal
from collections import defaultdict
from itertools import chain, islice
from pathlib import Path

import hypothesis
import pytest
from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.test import TransactionTestCase

from consumer.status import db_metrics
from handlers.external import inspection
from handlers.worker import atomic_runs, claim, message_run
from tests import brokers, sample_data, template_database
from tests.emptying import Beginning
from tests.processes import Processes
from tests.sample_handlers import JOURNAL
from tests.samples import samples_folder
from tests.servers import PATIENCE_SECONDS, PatientValkey, missing_postgres, wait_for
from tests.simulator.process import SimulatorProcess

pytest_plugins = ["pytest_cdc"]

#: Fixtures that start a process, in any module.
STARTERS = {
    "_valkey", "answering", "any_broker", "org", "postgres", "processes", "running_org",
    "shop_broker", "simulator",
}  # fmt: skip
STARTING_SERVERS = ("settings_on_the_wire", "simulator")
LONGEST = "test_mirrors_in_chaos"
#: Folders whose tests take too long for `make quick`. Slow modules elsewhere have the mark.
SLOW = (
    "bad_inputs", "handlers/external", "handlers/tracking", "listeners/token_stores", "mirror/load",
    "mirror/verify",
)  # fmt: skip
STARTING_PROCESSES = ("system", "peer", "browser", "secrecy", "cdcproject", "deploy")


def pytest_configure():
    # Each test client has middleware of its own: that looks for a static file when one is asked
    # for, not for all of them before the first request. Processes do as they do in production.
    settings.WHITENOISE_AUTOREFRESH = True
    # What a shell starts in the background ignores Ctrl-C, and so would all that the tests start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Hypothesis fails a test whose examples are slow, as they are on a busy machine.
    hypothesis.settings.register_profile(
        "any speed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("any speed")
    gc.disable()


def pytest_report_header():
    if os.environ.get("TEST_DATABASE") == "any" and (missing := missing_postgres()):
        return f"database: SQLite alone. {missing}"
    return f"database: {connection.vendor}"


def pytest_collection_modifyitems(items):
    for item in items:
        path = item.path.relative_to(Path(__file__).parent)
        folders = {*path.parts}
        if folders & {*STARTING_PROCESSES, *STARTING_SERVERS} or STARTERS & {*item.fixturenames}:
            item.add_marker("process")
        if path.as_posix().startswith(tuple(f"{folder}/" for folder in SLOW)):
            item.add_marker("slow")
    _take_turns(items)


def _take_turns(items) -> None:
    """Interleave modules that start processes, and so mostly wait, with modules that compute, so
    that the cores are always busy. The longest module runs first and short ones last, so that the
    test workers end at about the same time."""
    modules = defaultdict(list)
    for item in items:
        modules[item.path].append(item)
    waiting = [path for path in modules if path.parent.name in STARTING_PROCESSES]
    waiting.sort(key=lambda path: path.stem != LONGEST)
    computing = iter([path for path in modules if path.parent.name not in STARTING_PROCESSES])
    turns = [[path, *islice(computing, 3)] for path in waiting]
    order = [*chain.from_iterable(turns), *computing]
    items[:] = chain.from_iterable(modules[path] for path in order)


def pytest_collection_finish():
    """Freeze the objects loaded so far, so that the garbage collector no longer scans them."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker):
    """Copy the database from a template, and empty tables faster than Django does."""
    with django_db_blocker.unblock():
        template_database.copy()
        beginning = Beginning()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: beginning.restore())
        yield


@pytest.fixture
def samples() -> Path:
    """The folder of real payloads."""
    return samples_folder()


@pytest.fixture(scope="session")
def _valkey():
    """A real broker for the whole run, at CELERY_BROKER_URL."""
    folder = Path(os.environ["CDC_TEST_FOLDER"])
    server = PatientValkey(
        port=0, data_dir=folder, persist=False, unix_socket_path=folder / "broker.sock"
    )
    server.start()
    _try_redis_at_once()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _cache_does_not_change():
    _try_redis_at_once()


def _try_redis_at_once():
    """Forget that Redis was unavailable to an earlier test, or the counts of this one would move
    from the process to Redis when the pause ends."""
    caches["default"]._away_until = 0.0


@pytest.fixture
def broker(_valkey):
    """The broker, emptied."""
    from cdcproject.celery import app
    from handlers.outbox import message_size

    with app.connection_for_write() as connection:
        connection.default_channel.client.flushall()
    message_size._lengths.clear()  # the lengths of an earlier test's queues
    return _valkey


@pytest.fixture(scope="session")
def _rabbitmq():
    server = brokers.start_rabbitmq()
    yield server
    server.kill()


@pytest.fixture(params=["valkey", "rabbitmq"])
def any_broker(request, broker):
    """An empty broker, once of each kind. Processes need its `environment`."""
    if request.param == "valkey":
        return brokers.AnyBroker("valkey", os.environ["CELERY_BROKER_URL"])
    server = request.getfixturevalue("_rabbitmq")
    brokers.empty(server.url)
    return brokers.AnyBroker("rabbitmq", server.url)


@pytest.fixture
def patient_counts(monkeypatch):
    """Give a count of rows a minute before an estimate, or nothing, is shown in its place: a busy
    machine is slow."""
    monkeypatch.setattr("audit.db.row_count.SECONDS", 60.0)
    for module in (
        "handlers.redelivery.start",
        "api.resources.redelivering",
        "console.admin.deliveries.redelivery_page",
        "console.admin.redeliver_action",
    ):
        monkeypatch.setattr(f"{module}.COUNT_SECONDS", 60.0)


@pytest.fixture
def patient_metrics(monkeypatch):
    """Give the database a minute to answer the queries of the metrics."""
    monkeypatch.setattr(db_metrics, "PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(db_metrics, "LONGEST", 60.0)


@pytest.fixture
def journal() -> Path:
    JOURNAL.unlink(missing_ok=True)
    return JOURNAL


@pytest.fixture
def make_listener(db):
    return sample_data.make_listener


@pytest.fixture
def listener(make_listener):
    return make_listener()


@pytest.fixture
def processes(transactional_db, broker, journal):
    """Starts the product's processes on this test's database and broker; stops them after it."""
    started = Processes()
    yield started
    started.close()


@pytest.fixture
def patient_surveys(monkeypatch):
    """Let a survey of workers end when the broker has answered, however long that takes."""
    monkeypatch.setattr(inspection, "SURVEY_SECONDS", 2 * PATIENCE_SECONDS)


@pytest.fixture
def answered_surveys(patient_surveys, monkeypatch):
    """Let a survey ask until its workers have answered all questions, since busy ones are late."""
    ask = inspection.workers_of

    def ask_until_answered(*args, **options):
        def answered():
            workers = ask(*args, **options)
            is_complete = all(None not in (each.tasks, each.queues) for each in workers)
            return workers if is_complete else []

        return wait_for(answered, what="the answers of workers")

    monkeypatch.setattr(inspection, "workers_of", ask_until_answered)


@pytest.fixture
def unhurried(monkeypatch):
    """Lift the time limits of messages and claims, and forget the handlers' run times: a loaded
    machine is slow. A handler's first claim is of one delivery, the next of two, then of four."""
    monkeypatch.setattr(claim, "_run_times", {})
    monkeypatch.setattr(claim, "CLAIM_SECONDS", 600)
    monkeypatch.setattr(message_run, "MESSAGE_SECONDS", 600)
    monkeypatch.setattr(message_run, "ALONE_SECONDS", 600)
    monkeypatch.setattr(message_run, "LATE_SECONDS", 600)
    monkeypatch.setattr(atomic_runs, "_apart_until", {})
    monkeypatch.setattr(atomic_runs, "CLAIM_SECONDS", 600)
    monkeypatch.setattr(atomic_runs, "LATE_SECONDS", 600)


@pytest.fixture
def simulator():
    """A simulated Salesforce org in a process of its own."""
    with SimulatorProcess("--connect-timeout", "5") as org:
        yield org


@pytest.fixture
def org_listener(transactional_db, simulator):
    """A listener of the simulated org; all kinds of changes go to `tests.remember`."""
    return sample_data.listener_of(simulator)
