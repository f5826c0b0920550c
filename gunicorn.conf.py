"""How gunicorn runs the web server; read by itself from the folder that it is started in.

Options on its command line and in GUNICORN_CMD_ARGS outrank this.
"""

import os
from pathlib import Path
from typing import Any

from environs import Env

from cdcproject.access_log import StructuredLog
from cdcproject.shared_metrics import share

env = Env()
workers = env.int("WEB_CONCURRENCY", 2)
# Threads: a long export holds up neither the others nor the worker's heartbeat.
worker_class = "gthread"
threads = env.int("WEB_THREADS", 4)
timeout = 60
# Between SIGTERM and the end of what is being answered.
graceful_timeout = 25
# Longer than a proxy keeps its idle connections to here: whoever closes first loses no request.
keepalive = 75
# The heartbeat's files: on a disk, a slow one makes a worker look dead.
_memory = Path("/dev", "shm")
worker_tmp_dir = str(_memory) if os.access(_memory, os.W_OK) else None
# A socket for `gunicornc` in the home folder, which a container has not.
control_socket_disable = True
logger_class = StructuredLog
# Whichever process is asked for /metrics tells of all of them.
_counted = share()


def on_exit(server: Any) -> None:
    _counted.remove()
