"""gunicorn's logger: its messages and an access log, in the format of our log."""

from __future__ import annotations

import logging.config
import os
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import structlog
from gunicorn.glogging import Logger

from cdcproject.conf.logging import LOG_FORMATS, LOG_LEVELS, logging_config

#: Paths that machines request every few seconds, left out of the log.
UNLOGGED = ("/healthz/", "/metrics")

log = structlog.get_logger("web.access")


class StructuredLog(Logger):
    """Sends gunicorn's messages to the root logger.

    Query strings are not logged: they contain search terms.
    """

    def setup(self, cfg: Any) -> None:
        """Configure logging without Django, which gunicorn's main process never loads.

        A wrong variable gets its default here; the settings report it when a worker starts.
        """
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
        if path.startswith(UNLOGGED):
            return
        log.info(
            "request",
            method=environ.get("REQUEST_METHOD"),
            path=quoted(path),
            status=int(str(resp.status).split(None, 1)[0]),
            bytes=resp.sent,
            ms=round(request_time.total_seconds() * 1000, 1),
            address=environ.get("REMOTE_ADDR"),
        )


def quoted(path: str) -> str:
    """Return the path percent-encoded, so that a line break cannot forge a line of the log."""
    return quote(path, safe="/:@!$&'()*+,;=~", encoding="latin-1", errors="replace")
