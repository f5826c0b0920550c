"""The handlers that exist: `@cdc_handler` puts a function here and makes it a Celery task."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

from celery import shared_task

from handlers.events import EventData

HandlerFunction = Callable[[EventData], Any]
CheckOptions = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered handler. Calling it calls the function itself, as in a test."""

    name: str
    function: HandlerFunction
    queue: str | None = None
    max_attempts: int | None = None
    atomic: bool = False
    #: Raises ValueError when a mapping's options are wrong.
    check_options: CheckOptions | None = None

    def __call__(self, event: EventData) -> Any:
        return self.function(event)

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.function) or "").partition("\n")[0]


_handlers: dict[str, Handler] = {}


@overload
def cdc_handler(function: HandlerFunction, /) -> Handler: ...
@overload
def cdc_handler(
    *,
    name: str | None = None,
    queue: str | None = None,
    max_attempts: int | None = None,
    atomic: bool = False,
    check_options: CheckOptions | None = None,
) -> Callable[[HandlerFunction], Handler]: ...


def cdc_handler(
    function: HandlerFunction | None = None,
    /,
    *,
    name: str | None = None,
    queue: str | None = None,
    max_attempts: int | None = None,
    atomic: bool = False,
    check_options: CheckOptions | None = None,
) -> Handler | Callable[[HandlerFunction], Handler]:
    """Register a function as a handler and a Celery task of that name.

    name           default `module.function`
    queue          the Celery queue, unless the mapping names one
    max_attempts   from 1; then the delivery is dead. Default: settings.CDC_MAX_ATTEMPTS
    atomic         commit the function's writes to the default database and the delivery's
                   success in one transaction
    check_options  called with a mapping's options when it is saved; raises ValueError
    """
    if max_attempts is not None and max_attempts < 1:
        raise ValueError(f"cdc_handler(max_attempts={max_attempts}): it must be 1 or more.")

    def register(target: HandlerFunction) -> Handler:
        handler = Handler(
            name=name or f"{target.__module__}.{target.__qualname__}",
            function=target,
            queue=queue,
            max_attempts=max_attempts,
            atomic=atomic,
            check_options=check_options,
        )
        _add(handler)
        return handler

    return register(function) if function is not None else register


def _add(handler: Handler) -> None:
    known = _handlers.get(handler.name)
    if known is not None and _source(known) != _source(handler):
        raise ValueError(
            f"Two handlers are named {handler.name!r}: one of {known.function.__module__} and one "
            f"of {handler.function.__module__}. Give one of them another name."
        )
    _handlers[handler.name] = handler

    @shared_task(name=handler.name)
    def run(*, delivery_id: int) -> str:
        from handlers.runner import run_delivery

        return run_delivery(delivery_id)


def _source(handler: Handler) -> tuple[str, str]:
    return handler.function.__module__, handler.function.__qualname__


def find(name: str) -> Handler | None:
    return _handlers.get(name)


def names() -> list[str]:
    return sorted(_handlers)


def all_handlers() -> list[Handler]:
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
