"""The registry of handlers, filled by `@cdc_handler`, and what follows from a handler's options."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from celery import current_app
from django.apps import apps
from django.utils.module_loading import module_has_submodule

log = structlog.get_logger(__name__)

CheckOptions = Callable[[dict[str, Any]], None]
#: The argument of a handler: one event, or a list of events.
Given = TypeVar("Given")
#: The number of attempts if neither the mapping nor the handler sets one.
MAX_ATTEMPTS = 5
#: The queue of an external task whose mapping names none: Celery's own default.
EXTERNAL_QUEUE = "celery"


@dataclass(frozen=True, slots=True)
class Handler(Generic[Given]):
    """A registered handler. Calling it calls the function, for example in a test."""

    name: str
    function: Callable[[Given], Any]
    queue: str | None = None
    max_attempts: int | None = None
    atomic: bool = False
    #: Raises ValueError if a mapping's options are invalid.
    check_options: CheckOptions | None = None
    #: The largest list of events that a call takes, or None if a call takes a single event.
    batch: int | None = None

    def __call__(self, given: Given) -> Any:
        return self.function(given)

    @property
    def summary(self) -> str:
        """The first line of the function's docstring, with the batch size of a batch handler."""
        text = (inspect.getdoc(self.function) or "").partition("\n")[0]
        return f"{text} (up to {self.batch} changes a call)".strip() if self.batch else text


_handlers: dict[str, Handler[Any]] = {}


def add(handler: Handler[Any]) -> None:
    """Register a handler. Raises ValueError if another function has its name."""
    known = _handlers.get(handler.name)
    if known is not None and _source(known) != _source(handler):
        raise ValueError(
            f"Two handlers are named {handler.name!r}: one in {known.function.__module__} and one "
            f"in {handler.function.__module__}. Give one of them another name."
        )
    _handlers[handler.name] = handler


def _source(handler: Handler[Any]) -> tuple[str, str]:
    return handler.function.__module__, handler.function.__qualname__


def find(name: str) -> Handler[Any] | None:
    return _handlers.get(name)


def names() -> list[str]:
    return sorted(_handlers)


def all_handlers() -> list[Handler[Any]]:
    return [_handlers[name] for name in names()]


class NoSuchModule(Exception):
    """A handler module cannot be found. Correct its name, or put it on the Python path."""


#: Why a handler module could not be imported, by its name.
import_failures: dict[str, str] = {}


def discover(modules: list[str]) -> None:
    """Import each installed app's `cdc_handlers.py` and the named modules. Raises NoSuchModule.

    A module that raises an exception is logged and listed in `import_failures`: only deliveries to
    its own handlers wait.
    """
    own = [
        f"{app.name}.cdc_handlers"
        for app in apps.get_app_configs()
        if module_has_submodule(app.module, "cdc_handlers")
    ]
    for module in (*own, *modules):
        try:
            importlib.import_module(module)
        except Exception as error:
            missing = error.name if isinstance(error, ModuleNotFoundError) else None
            if missing and f"{module}.".startswith(f"{missing}."):
                raise NoSuchModule(f"there is no module {module!r}") from None
            log.exception("handler module not imported", module=module)
            import_failures[module] = f"{type(error).__name__}: {error}"


def attempts_allowed(handler: Handler[Any] | None, of_mapping: int | None) -> int:
    """Return the number of attempts: the mapping's, else the handler's, else MAX_ATTEMPTS."""
    of_handler = handler.max_attempts if handler else None
    return of_mapping or of_handler or MAX_ATTEMPTS


def queue_of(handler: str, queue: str, *, is_external: bool = False) -> str:
    """Return the mapping's queue, else the handler's, else CDC_QUEUE.

    For an external task: the mapping's queue, else Celery's default.
    """
    if is_external:
        return queue or EXTERNAL_QUEUE
    registered = find(handler)
    chosen = queue or (registered.queue if registered else None)
    return chosen or str(current_app.conf.task_default_queue)
