"""Argument types and filter options that the management commands share."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils.dateparse import parse_date, parse_datetime

from audit.models import AuditLogFilter
from handlers.models import Delivery
from handlers.reporting.export import FAILED
from listeners.models import Listener


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds greater than 0")
    return value


def at_least(minimum: int) -> Callable[[str], int]:
    """Return an argument type that accepts whole numbers from `minimum` up."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise ArgumentTypeError(f"{text!r} is not a whole number of at least {minimum}")
        return int(text)

    return number


def moment(text: str) -> datetime:
    """Parse a date or time such as 2026-01-31 or 2026-01-31T12:00, in UTC without an offset."""
    try:
        value = parse_datetime(text)
        day = parse_date(text) if value is None else None
    except ValueError:
        value = day = None
    if day is not None:
        value = datetime(day.year, day.month, day.day)
    if value is None:
        raise ArgumentTypeError(f"{text!r} is not a time; write 2026-01-31 or 2026-01-31T12:00Z")
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def word(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("the value is empty; omit the option to select everything")
    return text


def add_dry_run(parser: ArgumentParser, help: str) -> None:
    parser.add_argument("--dry-run", action="store_true", help=help)


def add_filters(parser: ArgumentParser) -> None:
    """Add the options that select audit log entries; `filter_of` reads them."""
    group = parser.add_argument_group("filters (a change must match all of them)")
    group.add_argument("--listener", type=word, metavar="N", help="received by this listener")
    group.add_argument("--entity", type=word, metavar="E", help="object name, such as Account")
    group.add_argument("--record", type=word, metavar="ID", help="record id, 18 characters")
    group.add_argument("--change-type", type=word, metavar="T", help="change type, such as UPDATE")
    group.add_argument(
        "--since", type=moment, metavar="T", help="received at or after this time (UTC)"
    )
    group.add_argument("--until", type=moment, metavar="T", help="received before this time (UTC)")
    group.add_argument("--handler", type=word, metavar="H", help="with a delivery to this handler")
    group.add_argument(
        "--state",
        choices=[FAILED, *Delivery.State.values],
        help=f"with a delivery in this state; {FAILED} means retrying or dead",
    )


def filter_of(options: Mapping[str, Any]) -> AuditLogFilter:
    """Return the filter that the options describe. Raises CommandError (exit code 2) for an unknown
    listener, which would otherwise look like an empty result."""
    refuse_unknown_listener(options["listener"])
    return AuditLogFilter(
        listener=options["listener"],
        entity=options["entity"],
        record=options["record"],
        change_type=options["change_type"],
        since=options["since"],
        until=options["until"],
        handler=options["handler"],
        state=options["state"],
    )


def refuse_unknown_listener(name: str | None) -> None:
    if name is None or Listener.objects.filter(name=name).exists():
        return
    known = ", ".join(Listener.objects.order_by("name").values_list("name", flat=True)) or "none"
    raise CommandError(f"There is no listener {name!r}. Known: {known}.", returncode=2)
