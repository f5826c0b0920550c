"""gunicorn reads this file from the folder in which it is started; installed from the wheel, it
needs `--config python:cdcproject.web.gunicorn_conf`."""

from cdcproject.web.gunicorn_conf import *  # noqa: F403
