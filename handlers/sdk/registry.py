"""The handlers that exist: `@cdc_handler` puts each function here."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

CheckOptions = Callable[[dict[str, Any]], None]
#: What a handler takes: a change, or a list of them.
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class Handler(Generic[Given]):
    """A registered handler. Calling it calls the function itself, as in a test."""

    name: str
    function: Callable[[Given], Any]
    queue: str | None = None
    max_attempts: int | None = None
    atomic: bool = False
    #: Raises ValueError when a mapping's options are wrong.
    check_options: CheckOptions | None = None
    #: It takes a list of so many changes at most. None: one change, and no list.
    batch: int | None = None

    def __call__(self, given: Given) -> Any:
        return self.function(given)

    @property
    def summary(self) -> str:
        """The first line of its docstring, and how many changes it takes at once."""
        text = (inspect.getdoc(self.function) or "").partition("\n")[0]
        return f"{text} (up to {self.batch} changes a call)".strip() if self.batch else text


_handlers: dict[str, Handler[Any]] = {}


def add(handler: Handler[Any]) -> None:
    """Raises ValueError where another function has that name."""
    known = _handlers.get(handler.name)
    if known is not None and _source(known) != _source(handler):
        raise ValueError(
            f"Two handlers are named {handler.name!r}: one of {known.function.__module__} and one "
            f"of {handler.function.__module__}. Give one of them another name."
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
    """A named module is not there. Correct its name, or put it on the path."""


def discover(modules: list[str]) -> None:
    """Import each installed app's `cdc_handlers.py` and the named modules. Raises NoSuchModule.

    What a module raises while it is imported comes out as it is.
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
