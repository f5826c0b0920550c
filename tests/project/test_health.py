"""The web process: alive, and ready when database and broker answer."""

import pytest
from django.db import InterfaceError, connection

pytestmark = pytest.mark.django_db(transaction=True)


def test_live_answers(client):
    assert client.get("/healthz/live").json() == {"status": "ok"}


def test_ready_when_database_and_broker_answer(client, broker):
    answer = client.get("/healthz/ready")

    assert (answer.status_code, answer.json()["database"], answer.json()["broker"]) == (
        200,
        "ok",
        "ok",
    )


def test_not_ready_without_the_broker(client, broker):
    broker.stop()
    try:
        answer = client.get("/healthz/ready")
    finally:
        broker.start()

    assert answer.status_code == 503
    assert answer.json()["broker"] != "ok"


def test_not_ready_when_the_drivers_connection_is_unusable(client, broker):
    def refuse(*_):
        raise InterfaceError("connection already closed")

    with connection.execute_wrapper(refuse):
        answer = client.get("/healthz/ready")

    assert (answer.status_code, answer.json()["database"]) == (503, "InterfaceError")


def test_metrics_answer(client):
    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert b"python_info" in answer.content
