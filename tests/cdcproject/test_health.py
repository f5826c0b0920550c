"""The web process is live, and ready when database and broker answer."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor, wait

import psutil
import pytest
from django.db import connection

from cdcproject.celery import app
from cdcproject.web import probes
from cdcproject.web.probes import TIMEOUT_SECONDS
from tests.hanging_postgres import hanging_postgres
from tests.servers import PATIENCE_SECONDS, PatientValkey, free_port, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Wait long for what is checked: it may be slow."""
    monkeypatch.setattr(probes, "TIMEOUT_SECONDS", PATIENCE_SECONDS)


@pytest.fixture
def impatient_with(monkeypatch):
    """Let a probe wait for one check as long as in production, once the other one has answered."""

    def wait_for_the_other_first(name):
        def wait_longer(asked, timeout):
            checks = dict(zip(probes._CHECKS, asked, strict=True))
            wait([check for other, check in checks.items() if other != name], PATIENCE_SECONDS)
            return wait(asked, timeout)

        monkeypatch.setattr(probes, "TIMEOUT_SECONDS", TIMEOUT_SECONDS)
        monkeypatch.setattr(probes, "wait", wait_longer)

    return wait_for_the_other_first


def broker_pid():
    with app.connection_for_write() as link:
        return link.default_channel.client.info("server")["process_id"]


def asking():
    return [thread for thread in threading.enumerate() if thread.name == "health"]


def test_live_answers(client):
    assert client.get("/healthz/live").json() == {"status": "ok"}


def test_ready_when_database_and_broker_answer(client, broker):
    answer = client.get("/healthz/ready")

    assert (answer.status_code, answer.json()["database"], answer.json()["broker"]) == (
        200,
        "ok",
        "ok",
    )


def test_one_broker_of_several_is_enough(client, broker, monkeypatch, tmp_path):
    port = free_port()
    there = PatientValkey(port=port, data_dir=tmp_path, persist=False)
    urls = ";".join(f"redis://127.0.0.1:{one}/0" for one in (1, 2, port))
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", urls)

    with there:
        assert client.get("/healthz/ready").json()["broker"] == "ok"


def test_a_broker_that_is_silent_does_not_hide_the_next_one(client, broker, monkeypatch):
    ours = app.conf.broker_write_url
    with socket.create_server(("127.0.0.1", 0)) as silent:
        first = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        monkeypatch.setenv("CELERY_BROKER_WRITE_URL", f"{first};{ours}")

        assert client.get("/healthz/ready").json()["broker"] == "ok"


def test_not_ready_when_no_address_of_the_broker_answers(client, broker, monkeypatch):
    urls = ";".join(f"redis://127.0.0.1:{port}/0" for port in (1, 2))
    monkeypatch.setenv("CELERY_BROKER_WRITE_URL", urls)

    assert client.get("/healthz/ready").json()["broker"] == "OperationalError"


def test_not_ready_without_the_broker(client, broker):
    broker.stop()
    try:
        answer = client.get("/healthz/ready")
    finally:
        broker.start()

    assert answer.status_code == 503
    assert answer.json()["broker"] != "ok"


def test_a_broker_that_hangs_is_not_waited_for_and_asked_by_one_thread(
    client, broker, monkeypatch, impatient_with
):
    impatient_with("broker")
    # Longer than the probe waits, however late the database answers.
    monkeypatch.setitem(app.conf.broker_transport_options, "socket_timeout", 600.0)
    monkeypatch.setitem(app.conf.broker_transport_options, "socket_connect_timeout", 600.0)
    hung = psutil.Process(broker_pid())
    hung.suspend()
    try:
        with ThreadPoolExecutor(2) as both:
            asked = [both.submit(client.get, "/healthz/ready") for _ in range(2)]
            answers = [one.result() for one in asked]
        # The thread that asked the database may still be ending.
        wait_for(lambda: len(asking()) == 1)
    finally:
        hung.resume()

    for answer in answers:
        assert (answer.status_code, answer.json()["database"]) == (503, "ok")
        assert answer.json()["broker"] == "no answer in 3 seconds"
    wait_for(lambda: client.get("/healthz/ready").status_code == 200)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="there is no server to hang")
def test_a_database_that_hangs_is_not_waited_for(client, broker, impatient_with):
    impatient_with("database")
    with hanging_postgres():
        answer = client.get("/healthz/ready")

    assert (answer.status_code, answer.json()["broker"]) == (503, "ok")
    assert answer.json()["database"] == "no answer in 3 seconds"
    wait_for(lambda: client.get("/healthz/ready").status_code == 200)


@pytest.mark.parametrize("path", ["/healthz/live", "/healthz/ready", "/metrics"])
def test_machines_ask_by_address_and_in_plain_text(client, broker, settings, path):
    settings.ALLOWED_HOSTS = ["cdc.example.com"]
    settings.SECURE_SSL_REDIRECT = True

    assert client.get(path, headers={"host": "10.0.0.7:8000"}).status_code == 200


def test_metrics_answer(client):
    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert b"python_info" in answer.content
