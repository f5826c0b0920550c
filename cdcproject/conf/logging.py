"""Logging through structlog: readable on a console, or one JSON object a line."""

import logging
import threading
from typing import Any

import structlog
from django.utils.log import DEFAULT_LOGGING
from structlog.typing import EventDict, Processor

from cdcproject.conf.log_escaping import escape_texts, write_traceback

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS = ("console", "json")


def logging_config(level: str, fmt: str) -> dict[str, Any]:
    """For `dictConfig`, and structlog set up to flow through it. Needs no settings."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        say_what_about,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared[:-1],
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(fmt == "json")  # Python would write them as they are
    renderers: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if fmt == "json"
        else [
            without_data_of_celery,
            escape_texts,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=write_traceback),
        ]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *renderers,
                ],
            },
        },
        "filters": {"without_arguments": {"()": lambda: without_arguments}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        # Debug output of the HTTP clients would print addresses and headers with credentials.
        "loggers": {
            **{
                name: {"level": "INFO"}
                for name in ("urllib3", "hpack", "httpcore", "httpx", "django.utils.autoreload")
            },
            # It quotes a header of the collector's that it cannot read.
            "opentelemetry.util.re": {"filters": ["without_arguments"]},
        },
    }


def with_djangos_own(config: dict[str, Any]) -> dict[str, Any]:
    """And what Django's loggers have, which loads the settings when it is set up."""
    handlers = DEFAULT_LOGGING["handlers"]
    return {
        **config,
        "formatters": {**DEFAULT_LOGGING["formatters"], **config["formatters"]},
        "filters": {**DEFAULT_LOGGING["filters"], **config["filters"]},
        "handlers": {
            **config["handlers"],
            **{name: handlers[name] for name in ("mail_admins", "django.server")},
        },
        "loggers": {
            **config["loggers"],
            # Django gives it a handler for the console, which would write each line twice.
            "django": {"handlers": ["mail_admins"]},
            "django.server": DEFAULT_LOGGING["loggers"]["django.server"],
        },
    }


def without_arguments(record: logging.LogRecord) -> bool:
    """For a logger whose arguments may be secrets."""
    if record.args:
        record.msg, record.args = str(record.msg).replace("%s", "(not shown)"), ()
    return True


def without_data_of_celery(_: Any, __: str, line: EventDict) -> EventDict:
    """Of a task its lines have a dict besides, that says once more what their text does."""
    if str(line.get("logger", "")).startswith("celery."):
        line.pop("data", None)
    return line


def say_what_about(_: Any, __: str, line: EventDict) -> EventDict:
    """Whoever runs something may leave as `about` who says what it is; the line's own words win."""
    about = line.get("about")
    if not callable(about):
        return line
    del line["about"]
    return {**about(), **line}


def log_thread_failures() -> None:
    """A thread that ends on an unforeseen error says so in the log, in the log's format."""

    def report(failure: threading.ExceptHookArgs) -> None:
        structlog.get_logger("threads").error(
            "thread ended",
            thread=failure.thread.name if failure.thread else "",
            exc_info=(failure.exc_type, failure.exc_value, failure.exc_traceback),
        )

    threading.excepthook = report
