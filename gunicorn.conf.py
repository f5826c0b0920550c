"""How gunicorn runs the web server; read by itself from the folder that it is started in.

Options on its command line and in GUNICORN_CMD_ARGS outrank this.
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
# Threads: a long export holds up neither the others nor the worker's heartbeat.
worker_class = "gthread"
threads = 4
timeout = 60
# Between SIGTERM and the end of what is being answered.
graceful_timeout = 25
# Longer than a proxy keeps its idle connections to here: whoever closes first loses no request.
keepalive = 75
# The heartbeat's files: on a disk, a slow one makes a worker look dead.
_memory = Path("/dev", "shm")
worker_tmp_dir = str(_memory) if os.access(_memory, os.W_OK) else None
# None: a visitor's own SCRIPT_NAME, passed on by a proxy of this machine, would have /x/metrics be
# /metrics behind the back of the proxy's rules. The variable of that name does the same rightly.
forwarder_headers = ""
# A socket for `gunicornc` in the home folder, which a container has not.
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
