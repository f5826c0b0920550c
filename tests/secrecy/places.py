"""All places where a secret could leak to, each as text by its name."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import redis
from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection

from cdcproject.celery import app
from listeners.secrets.encrypted_field import EncryptedField
from tests.processes import Process
from tests.servers import PATIENCE_SECONDS, wait_for

#: Keys of the API, which its own library stores as they are and looks up by their value.
_API_TOKENS = "authtoken_token.key"
_LAST = "the last that is to be heard"


def of_the_database() -> dict[str, str]:
    """Return every value of every column of every table, and the decoded sessions."""
    found: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            columns = [f"{table}.{column[0]}" for column in cursor.description]
            for row in cursor.fetchall():
                for column, value in zip(columns, row, strict=True):
                    found.setdefault(column, []).append(as_text(value))
    found.pop(_API_TOKENS, None)
    found["sessions"] = [str(session.get_decoded()) for session in Session.objects.all()]
    return {column: "\n".join(values) for column, values in found.items()}


def encrypted_columns() -> dict[str, list[str]]:
    """Return the stored form of each encrypted column's values."""
    stored: dict[str, list[str]] = {}
    for model in apps.get_models():
        for field in model._meta.fields:
            if isinstance(field, EncryptedField):
                rows = model._default_manager.values_list(field.attname, flat=True)
                stored[f"{model._meta.db_table}.{field.column}"] = [one.stored for one in rows]
    return stored


def of_redis(client: redis.Redis) -> dict[str, str]:
    """Return every key and its value: messages of the workers and the token store."""
    readers: dict[Any, Any] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        b"none": lambda key: "",  # it has expired since it was listed
    }
    return {
        f"Redis {key!r}": as_text(key) + as_text(str(readers[client.type(key)](key)))
        for key in client.scan_iter()
    }


def of_files(folder: Path) -> dict[str, str]:
    """Return every regular file below a folder as bytes, which include a database's deleted
    rows."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        with suppress(FileNotFoundError):  # a running process has removed it since
            if path.is_file():
                found[str(path)] = as_text(path.read_bytes())
    return found


def of_process(name: str, process: Process) -> dict[str, str]:
    """Return the process's output, and its command line with those of its children."""
    found = {f"output of {name}": process.output}
    with suppress(psutil.NoSuchProcess):
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
        found[f"command lines of {name}"] = "\n".join(" ".join(one.cmdline()) for one in family)
    return found


def of_inspection() -> dict[str, str]:
    """Return the workers' answers to `celery inspect`."""
    with app.connection_for_write() as connection:  # a pooled one may have been closed
        workers = app.control.inspect(timeout=10, limit=1, connection=connection)
        # A busy worker may answer late, and one that still subscribes misses the question.
        wait_for(workers.ping, seconds=120, what="a worker's answer")
        answers = {
            "conf": wait_for(lambda: workers.conf(with_defaults=True), seconds=120, what="conf"),
            "stats": wait_for(workers.stats, seconds=120, what="stats"),
        }
        for question in ("active", "reserved", "scheduled", "registered", "report"):
            answers[question] = getattr(workers, question)()
    return {f"celery inspect {question}": str(answer) for question, answer in answers.items()}


def as_text(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1")
    return str(value)


class Tap:
    """Records every command that Redis receives from any client, however briefly its value is
    kept."""

    def __init__(self, client: redis.Redis, path: str) -> None:
        self._client = client
        self._bytes = bytearray()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._socket.sendall(b"MONITOR\r\n")
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Tap:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.echo(_LAST)
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), "the end of what Redis received was not heard"
        self._socket.close()

    def _listen(self) -> None:
        last = _LAST.encode()
        while more := self._socket.recv(65_536):
            heard_before = max(0, len(self._bytes) - len(last))
            self._bytes += more
            if last in self._bytes[heard_before:]:  # others may have sent more commands since
                break

    @property
    def heard(self) -> dict[str, str]:
        return {"commands to Redis": as_text(bytes(self._bytes))}
