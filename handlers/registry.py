"""The handlers that exist: `@cdc_handler` puts a function here and makes it a Celery task."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from celery import shared_task

from handlers.events import EventData

CheckOptions = Callable[[dict[str, Any]], None]
#: What a handler takes: a change, or a list of them.
Given = TypeVar("Given")
Register = Callable[[Callable[[Given], Any]], "Handler[Given]"]

MOST_A_BATCH = 1000


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


@overload
def cdc_handler(function: Callable[[EventData], Any], /) -> Handler[EventData]: ...
@overload
def cdc_handler(
    *,
    name: str | None = None,
    queue: str | None = None,
    max_attempts: int | None = None,
    atomic: bool = False,
    check_options: CheckOptions | None = None,
    batch: None = None,
) -> Register[EventData]: ...
@overload
def cdc_handler(
    *,
    name: str | None = None,
    queue: str | None = None,
    max_attempts: int | None = None,
    atomic: bool = False,
    check_options: CheckOptions | None = None,
    batch: int,
) -> Register[list[EventData]]: ...


def cdc_handler(
    function: Callable[[EventData], Any] | None = None,
    /,
    *,
    name: str | None = None,
    queue: str | None = None,
    max_attempts: int | None = None,
    atomic: bool = False,
    check_options: CheckOptions | None = None,
    batch: int | None = None,
) -> Handler[Any] | Register[Any]:
    """Register a function as a handler and a Celery task of that name.

    name           default `module.function`
    queue          the Celery queue, unless the mapping names one
    max_attempts   from 1; then the delivery is dead. Default: settings.CDC_MAX_ATTEMPTS
    atomic         commit the function's writes to the default database and the delivery's
                   success in one transaction
    check_options  called with a mapping's options when it is saved; raises ValueError
    batch          from 1 to 1000: the function takes a list of so many events at most, all of one
                   mapping and, unless it is unordered, each of another record
    """
    _check_numbers(max_attempts, batch)

    def register(target: Callable[[Any], Any]) -> Handler[Any]:
        _check_kind(target)
        handler = Handler(
            name=name or f"{target.__module__}.{target.__qualname__}",
            function=target,
            queue=queue,
            max_attempts=max_attempts,
            atomic=atomic,
            check_options=check_options,
            batch=batch,
        )
        _add(handler)
        return handler

    return register(function) if function is not None else register


def _check_numbers(max_attempts: int | None, batch: int | None) -> None:
    if max_attempts is not None and max_attempts < 1:
        raise ValueError(f"cdc_handler(max_attempts={max_attempts}): it must be 1 or more.")
    if batch is not None and not (type(batch) is int and 1 <= batch <= MOST_A_BATCH):
        raise ValueError(f"cdc_handler(batch={batch!r}): give a number from 1 to {MOST_A_BATCH}.")


def _check_kind(target: Callable[[Any], Any]) -> None:
    """Nobody would await or iterate what such a function returns: it would never run."""
    is_async = inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target)
    if is_async or inspect.isgeneratorfunction(target):
        kind = "async def" if is_async else "a generator"
        raise TypeError(
            f"cdc_handler: {target.__qualname__} is {kind} and would never run; make it a plain "
            "function, with asyncio.run() or a loop in it."
        )


def _add(handler: Handler[Any]) -> None:
    known = _handlers.get(handler.name)
    if known is not None and _source(known) != _source(handler):
        raise ValueError(
            f"Two handlers are named {handler.name!r}: one of {known.function.__module__} and one "
            f"of {handler.function.__module__}. Give one of them another name."
        )
    _handlers[handler.name] = handler

    @shared_task(name=handler.name)
    def run(*, delivery_ids: Sequence[int]) -> str:
        from handlers.runner import run_deliveries

        return run_deliveries(delivery_ids, handler.name)


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
