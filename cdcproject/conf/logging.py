"""Logging with structlog: readable text for a console, or one JSON object per line.

In the readable form foreign text is escaped, so that it cannot forge lines or control the terminal.
"""

import logging
import threading
import traceback
from typing import Any, TextIO

import structlog
from django.utils.log import DEFAULT_LOGGING
from structlog.typing import EventDict, ExcInfo, Processor

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS = ("console", "json")
_INDENT = "    "


def logging_config(level: str, fmt: str) -> dict[str, Any]:
    """Return the argument of `dictConfig`, and configure structlog. Needs no settings."""
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
    logging.captureWarnings(fmt == "json")  # they would not be JSON otherwise
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
            # It quotes malformed headers for the collector, which may contain a key.
            "opentelemetry.util.re": {"filters": ["without_arguments"]},
        },
    }


def with_djangos_own(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with Django's own loggers, whose setup needs the settings."""
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
            # Without Django's console handler, which would write each line twice.
            "django": {"handlers": ["mail_admins"]},
            "django.server": DEFAULT_LOGGING["loggers"]["django.server"],
        },
    }


def without_arguments(record: logging.LogRecord) -> bool:
    """Remove the arguments of a log record, as a filter: they may be secrets."""
    if record.args:
        record.msg, record.args = str(record.msg).replace("%s", "(not shown)"), ()
    return True


def escaped(text: str) -> str:
    """Return a text with escaped control characters: a newline becomes `\\n`."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "replace").decode()
        for char in text
    )


def escape_texts(_: Any, __: str, line: EventDict) -> EventDict:
    """Escape the event and its text fields, as a structlog processor."""
    return {
        escaped(str(name)): escaped(value) if isinstance(value, str) else value
        for name, value in line.items()
    }


def write_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback with indented lines, so that none looks like a line of the log.

    Local variables are left out, since they may contain secrets.
    """
    for part in traceback.format_exception(*exc_info):
        for line in part.split("\n"):
            if line:
                out.write(f"\n{_INDENT}{escaped(line)}")


def without_data_of_celery(_: Any, __: str, line: EventDict) -> EventDict:
    """Remove the `data` dict of Celery's lines, which repeats their text."""
    if str(line.get("logger", "")).startswith("celery."):
        line.pop("data", None)
    return line


def say_what_about(_: Any, __: str, line: EventDict) -> EventDict:
    """Add the fields that the callable `about` returns; the line's own fields take precedence."""
    about = line.get("about")
    if not callable(about):
        return line
    del line["about"]
    return {**about(), **line}


def log_thread_failures() -> None:
    def report(failure: threading.ExceptHookArgs) -> None:
        structlog.get_logger("threads").error(
            "thread crashed",
            thread=failure.thread.name if failure.thread else "",
            exc_info=(failure.exc_type, failure.exc_value, failure.exc_traceback),
        )

    threading.excepthook = report
