"""Arguments that commands share; their messages name what is wrong."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError
from django.utils.dateparse import parse_date, parse_datetime

from audit.models.entry_queryset import AuditLogFilter
from handlers.models import Delivery
from handlers.reporting.export import FAILED
from listeners.models import Listener


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ArgumentTypeError(f"{text!r} is not a whole number of {least} or more")
        return int(text)

    return number


def moment(text: str) -> datetime:
    """2026-01-31, 2026-01-31T12:00, with or without an offset (UTC without)."""
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
        raise ArgumentTypeError("it is empty; leave the option out to pick all")
    return text


def add_filters(parser: ArgumentParser) -> None:
    """The options that pick entries of the audit log; `filter_of` reads them."""
    group = parser.add_argument_group("which changes (all of them together must be true)")
    group.add_argument("--listener", type=word, metavar="N", help="received by that listener")
    group.add_argument("--entity", type=word, metavar="E", help="such as Account")
    group.add_argument("--record", type=word, metavar="ID", help="of that record, 18 characters")
    group.add_argument("--change-type", type=word, metavar="T", help="such as UPDATE")
    group.add_argument("--since", type=moment, metavar="T", help="received then or later (UTC)")
    group.add_argument("--until", type=moment, metavar="T", help="received before then (UTC)")
    group.add_argument("--handler", type=word, metavar="H", help="with a delivery to that handler")
    group.add_argument(
        "--state",
        choices=[FAILED, *Delivery.State.values],
        help=f"with a delivery in that state; {FAILED} means retrying or dead",
    )


def filter_of(options: Mapping[str, Any]) -> AuditLogFilter:
    """What `add_filters` read. An unknown listener is bad usage, and not an empty answer."""
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
