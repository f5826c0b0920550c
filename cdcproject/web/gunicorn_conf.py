"""The configuration of gunicorn: `gunicorn --config python:cdcproject.web.gunicorn_conf`.

Options on the command line and in GUNICORN_CMD_ARGS take precedence.
"""

import os
from itertools import count
from pathlib import Path
from typing import Any

from environs import Env

from cdcproject.conf.environment import at_least
from cdcproject.process.metrics import count_as, share
from cdcproject.web.access_log import StructuredLog

env = Env()
workers = at_least(env, "WEB_CONCURRENCY", 2, least=1)
# With threads, a long export delays neither other requests nor the worker's heartbeat.
worker_class = "gthread"
threads = 4
timeout = 60
# Seconds that requests in progress may take after SIGTERM.
graceful_timeout = 25
# Longer than a proxy keeps idle connections open, so that the proxy closes them first: otherwise it
# may send a request on a connection that is just being closed.
keepalive = 75
# The files of the heartbeat are in memory: with a slow disk, a worker would look dead.
_memory = Path("/dev", "shm")
worker_tmp_dir = str(_memory) if os.access(_memory, os.W_OK) else None
# None, because a proxy on this machine may pass on a client's SCRIPT_NAME header: with /x in it,
# /x/metrics would be answered like /metrics, past the proxy's rules. Set the environment variable
# SCRIPT_NAME instead.
forwarder_headers = ""
# None, because gunicorn by default believes X-Forwarded-Proto from this machine and from UNIX
# sockets, so that any process here could claim https. Django reads the header from trusted proxies
# (CDC_TRUSTED_PROXIES) only.
secure_scheme_headers: dict[str, str] = {}
# Without the socket for `gunicornc`: it would be in the home folder, which a container lacks.
control_socket_disable = True
logger_class = StructuredLog
# Each process answers /metrics for all of them.
_counted = share()


def pre_fork(server: Any, worker: Any) -> None:
    taken = {other.place for other in server.WORKERS.values()}
    worker.place = next(place for place in count() if place not in taken)


def post_fork(server: Any, worker: Any) -> None:
    count_as(worker.place)


def on_exit(server: Any) -> None:
    _counted.remove()
