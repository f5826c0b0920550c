"""The registry of handlers, filled by `@cdc_handler`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

CheckOptions = Callable[[dict[str, Any]], None]
#: The argument of a handler: one event, or a list of events.
Given = TypeVar("Given")


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


def discover(modules: list[str]) -> None:
    """Import each installed app's `cdc_handlers.py` and the named modules. Raises NoSuchModule.

    Any other exception that a module raises on import propagates unchanged.
    """
    from django.utils.module_loading import autodiscover_modules

    autodiscover_modules("cdc_handlers")
    for module in modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name and f"{module}.".startswith(f"{error.name}."):
                raise NoSuchModule(f"there is no module {module!r}") from None
            raise
