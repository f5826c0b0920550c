"""A worker of another project, as far as its remote control: it names its tasks and queues."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from kombu.connection import Connection
from kombu.pidbox import Mailbox

from tests.servers import PATIENCE_SECONDS


@contextmanager
def remote_worker(
    url: str,
    *tasks: str,
    queues: Sequence[str] = ("celery",),
    name: str = "a@shop",
    serializer: str = "json",
    compression: str | None = None,
) -> Iterator[None]:
    handlers = {
        "ping": lambda _, **__: {"ok": "pong"},
        "registered": lambda _, **__: list(tasks),
        "active_queues": lambda _, **__: [{"name": queue} for queue in queues],
    }
    is_listening, is_over = threading.Event(), threading.Event()

    def serve() -> None:
        with Connection(url) as connection:
            mailbox = Mailbox("celery", type="fanout", accept=["json"], serializer=serializer)
            mailbox = mailbox(connection)
            node = mailbox.Node(name, handlers={}, channel=connection.default_channel)
            node.handlers.update(handlers)
            publish = mailbox._publish_reply
            mailbox._publish_reply = partial(publish, compression=compression)
            with node.listen():
                with suppress(TimeoutError):  # on Redis it subscribes only now
                    connection.drain_events(timeout=0.1)
                is_listening.set()
                while not is_over.is_set():
                    with suppress(TimeoutError):
                        connection.drain_events(timeout=0.1)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert is_listening.wait(PATIENCE_SECONDS)
        yield
    finally:
        is_over.set()
        thread.join()
