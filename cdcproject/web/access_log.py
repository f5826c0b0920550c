"""gunicorn's own log, and a line for each request, in the log's format."""

from __future__ import annotations

import logging.config
import os
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import structlog
from gunicorn.glogging import Logger

from cdcproject.conf.logging import LOG_FORMATS, LOG_LEVELS, logging_config

#: Asked every few seconds by machines.
UNTOLD = ("/healthz/", "/metrics")

log = structlog.get_logger("web.access")


class StructuredLog(Logger):
    """What gunicorn says goes to the root logger. No query string is logged: it holds what was
    searched for."""

    def setup(self, cfg: Any) -> None:
        """Before Django is there: gunicorn's first process never loads it. What is wrong with
        either variable stops its workers, with a word."""
        super().setup(cfg)
        level = os.environ.get("LOG_LEVEL", "").upper()
        kind = os.environ.get("LOG_FORMAT", "")
        logging.config.dictConfig(
            logging_config(
                level if level in LOG_LEVELS else "INFO", kind if kind in LOG_FORMATS else "console"
            )
        )
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def access(self, resp: Any, req: Any, environ: Any, request_time: timedelta) -> None:
        path = environ.get("PATH_INFO", "")
        if path.startswith(UNTOLD):
            return
        log.info(
            "request",
            method=environ.get("REQUEST_METHOD"),
            path=written(path),
            status=int(str(resp.status).split(None, 1)[0]),
            bytes=resp.sent,
            ms=round(request_time.total_seconds() * 1000, 1),
            address=environ.get("REMOTE_ADDR"),
        )


def written(path: str) -> str:
    """As it was asked for: a line break that somebody sent begins no line of the log."""
    return quote(path, safe="/:@!$&'()*+,;=~", encoding="latin-1", errors="replace")
