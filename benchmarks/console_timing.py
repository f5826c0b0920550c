"""Times pages that a logged-in user requests repeatedly."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client

LIMIT_MS = 300
#: An address, or an address and what is posted to it; another one each time.
Page = Callable[[], str | tuple[str, dict[str, Any]]]


def at(address: str) -> Page:
    """Return a page with the same address in each run."""
    return lambda: address


@dataclass
class Run:
    seconds: float = 0.0
    in_database: float = 0.0
    queries: int = 0


@dataclass
class Runs:
    """All runs of one page."""

    all: list[Run] = field(default_factory=list)

    def percentile(self, share: float, times: str = "seconds") -> float:
        """Return that percentile of the runs' times, in milliseconds."""
        ordered = sorted(getattr(run, times) for run in self.all)
        return 1000 * float(ordered[math.ceil(len(ordered) * share) - 1])

    @property
    def queries(self) -> int:
        return max(run.queries for run in self.all)


def visitor() -> Client:
    """Return a client that is logged in as a superuser."""
    client = Client()
    user, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client.force_login(user)
    return client


def measure(pages: Mapping[str, Page], runs: int) -> int:
    """Print a line for each page. Returns 1 if a page is too slow, else 0."""
    client = visitor()
    print("| page | queries | median | 95th percentile | of it in the database |")
    print("|---|--:|--:|--:|--:|")
    slow = [name for name, page in pages.items() if not _is_fast(name, client, page, runs)]
    if slow:
        print("once more, in case the machine had other work:")
        slow = [name for name in slow if not _is_fast(name, client, pages[name], runs)]
    print(f"over {LIMIT_MS} ms: {', '.join(slow) or 'none'}")
    return 1 if slow else 0


def _is_fast(name: str, client: Client, page: Page, runs: int) -> bool:
    cache.clear()  # the API counts each user's requests
    _run(client, page)  # without the work that a process does only once
    found = Runs([_run(client, page) for _ in range(runs)])
    p95 = found.percentile(0.95)
    print(
        f"| {name} | {found.queries} | {found.percentile(0.5):.0f} ms | {p95:.0f} ms | "
        f"{found.percentile(0.95, 'in_database'):.0f} ms |",
        flush=True,
    )
    return p95 <= LIMIT_MS


def _run(client: Client, page: Page) -> Run:
    address, *data = asked if isinstance(asked := page(), tuple) else (asked,)
    run = Run()

    def timed(execute: Any, *query: Any) -> Any:
        began = time.perf_counter()
        run.queries += 1
        try:
            return execute(*query)
        finally:
            run.in_database += time.perf_counter() - began

    with connection.execute_wrapper(timed):
        started = time.perf_counter()
        answer: Any = client.post(address, data[0]) if data else client.get(address)
        if answer.streaming:
            _begin(answer.streaming_content)
        run.seconds = time.perf_counter() - started
        answer.close()
    if answer.status_code != 200:
        raise RuntimeError(f"{address}: {answer.status_code}")
    return run


def _begin(content: Iterable[bytes]) -> None:
    """Read the first part of a streamed file; the time until then is measured."""
    next(iter(content), b"")
