"""`@cdc_handler`, which registers a function as a handler and as a Celery task of the same name.

Every process imports this module before the apps are ready, so it does not import the worker. Once
the apps are ready, `bind` sets the function that runs deliveries.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, overload

from celery import shared_task

from handlers.sdk import registry
from handlers.sdk.events import EventData
from handlers.sdk.registry import CheckOptions, Given, Handler

Register = Callable[[Callable[[Given], Any]], Handler[Given]]
#: Runs the deliveries with the given ids; the second argument is the handler named in the message.
RunDeliveries = Callable[[Sequence[int], str], str]

MOST_A_BATCH = 1000


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
    max_attempts   at least 1, default 5; after the last failed attempt the delivery is dead
    atomic         commit the function's writes to the default database and the delivery's
                   success in one transaction
    check_options  called with a mapping's options when it is saved; raises ValueError
    batch          from 1 to 1000: the function takes a list of at most this many events, all of
                   one mapping and, unless the mapping is unordered, each of a different record
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
        registry.add(handler)
        _make_task(handler)
        return handler

    return register(function) if function is not None else register


def _check_numbers(max_attempts: int | None, batch: int | None) -> None:
    if max_attempts is not None and max_attempts < 1:
        raise ValueError(f"cdc_handler(max_attempts={max_attempts}): it must be 1 or more.")
    if batch is not None and not (type(batch) is int and 1 <= batch <= MOST_A_BATCH):
        raise ValueError(f"cdc_handler(batch={batch!r}): give a number from 1 to {MOST_A_BATCH}.")


def _check_kind(target: Callable[[Any], Any]) -> None:
    """Raise TypeError for a coroutine function or a generator function.

    The worker neither awaits nor iterates a result, so the function's body would never run.
    """
    is_async = inspect.iscoroutinefunction(target) or inspect.isasyncgenfunction(target)
    if is_async or inspect.isgeneratorfunction(target):
        kind = "async def" if is_async else "a generator"
        raise TypeError(
            f"cdc_handler: {target.__qualname__} is {kind} and would never run; make it a plain "
            "function, with asyncio.run() or a loop in it."
        )


def _make_task(handler: Handler[Any]) -> None:
    @shared_task(name=handler.name)
    def run(*, delivery_ids: Sequence[int]) -> str:
        return _run_deliveries(delivery_ids, handler.name)


def _unbound(ids: Sequence[int], handler: str) -> str:
    raise RuntimeError(f"{handler} cannot run: the apps are not ready. Call django.setup() first.")


_run_deliveries: RunDeliveries = _unbound


def bind(run_deliveries: RunDeliveries) -> None:
    """Set the body of every handler's task, including handlers registered later."""
    global _run_deliveries  # noqa: PLW0603
    _run_deliveries = run_deliveries
