"""How long a process that publishes tries to reach a broker."""

from __future__ import annotations

from typing import Any

from celery import Celery


def one_round(url: str) -> dict[str, Any]:
    """Return transport options with which each address of a broker is tried once.

    With its defaults, kombu pauses for 2 and then 4 seconds, and asks no further address once the
    first one has taken the time of one.
    """
    return {"max_retries": url.count(";"), "connect_retries_timeout": None}


class Publisher(Celery):  # type: ignore[misc]
    """A Celery application that does not wait for its broker when it publishes: what is not
    published stays in the database, and the relay publishes it later.

    A worker's connections, which Celery opens with a URL or a heartbeat, keep kombu's retries: the
    worker would end if the broker went away between two steps of its start.
    """

    def connection_for_write(self, url: str | None = None, **kwargs: Any) -> Any:
        if url is None and not kwargs:
            kwargs["transport_options"] = one_round(self.conf.broker_write_url)
        return super().connection_for_write(url, **kwargs)
