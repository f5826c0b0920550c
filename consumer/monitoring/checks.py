"""The periodic checks that open and close incidents from evidence in the database.

They run in every listener process and as a beat task, so that they also run without a listener.
Several processes may run them at once: an incident is still opened and closed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product

from audit import internal_errors
from audit.internal_errors import step
from audit.models import Incident, Quarantined, Trouble
from consumer import incidents
from consumer.alerts import send
from consumer.monitoring import destinations, org_limits, outages
from consumer.monitoring.snapshot import Watched, close, snapshots
from handlers.broker import BrokerUnavailable
from handlers.external import closed_queues
from handlers.messages import unknown_tasks
from handlers.models import Delivery
from handlers.sdk import registry
from listeners.clock import database_clock
from listeners.listener_state import RETENTION, runway
from listeners.models import Listener
from listeners.threads import Step, for_each

Kind = Incident.Kind

#: How long a problem must not recur until its incident is closed. A shorter time could open and
#: close an incident again and again.
QUIET = timedelta(hours=1)
_QUIET_NOTES = {
    Kind.STALL: "The stream has not stalled for an hour.",
    Kind.MALFORMED_ANSWER: "No malformed response for an hour. The events of the malformed "
    "responses were requested again.",
}
#: Kinds of incident that only apply to an enabled listener.
_OF_RUNNING = (Kind.STALL, Kind.BACK_OFF, Kind.QUOTA, Kind.CONFIGURATION)
#: An incident opens when the time left to replay is at most this.
LEAST_TIME_LEFT = timedelta(hours=24)
#: What a listener does when Salesforce refuses its position.
_ON_REPLAY_LOST = {
    Listener.ReplayLost.EARLIEST: "continues with the earliest event that Salesforce has",
    Listener.ReplayLost.TIP: "continues with new events only",
    Listener.ReplayLost.STOP: "stops and waits for an operator",
}
#: The most dead letters that are counted; the exact number above it does not matter.
COUNTED = 10_000


def run_round() -> None:
    """Run all checks, and send alerts before those that wait for other servers. Never inside a
    transaction."""
    now = database_clock.now()
    watch(now)
    ALERTS(now)
    for check in CHECKS_OF_SERVERS:
        check(now)


def run_checks() -> None:
    """Run all checks. Never inside a transaction."""
    for check in (*CHECKS, *CHECKS_OF_SERVERS):
        check(database_clock.now())


def watch(now: datetime) -> None:
    """Run the checks that read the database alone. Never inside a transaction."""
    for check in CHECKS:
        check(now)


def _check_listeners(now: datetime) -> None:
    """Check every listener. Never inside a transaction."""
    for_each(
        product(snapshots(now), _OF_A_LISTENER),
        lambda pair: pair[1](pair[0], now),
        name=lambda pair: pair[0].listener.name,
    )


def _reopen_stopped(watched: Watched, now: datetime) -> None:
    """Open the incident of a stopped listener if it could not be opened when the listener stopped,
    or was closed while the listener is still stopped. Inside any transaction."""
    if not watched.listener.enabled or not watched.has_failed:
        return
    if watched.open(Kind.CONFIGURATION) is None and watched.open(Kind.REPLAY_LOST) is None:
        Incident.objects.report(watched.listener.pk, incidents.stop(watched.position.reason), now)


def _close_disabled_or_quiet(watched: Watched, now: datetime) -> None:
    """Close incidents of a disabled listener, and those whose problem has not recurred while the
    listener receives. Inside any transaction."""
    if not watched.listener.enabled:
        for (kind, _), known in watched.incidents.items():
            if kind in _OF_RUNNING:
                close(known, "The listener was disabled.", now)
    for quiet, note in _QUIET_NOTES.items():
        incident = watched.open(quiet)
        if incident and watched.is_receiving and now - incident.last_seen_at >= QUIET:
            close(incident, note, now)


def _close_undecodable(watched: Watched, now: datetime) -> None:
    """Close the incident once no undecodable event is left in quarantine. Inside any
    transaction."""
    incident = watched.open(Kind.UNDECODABLE)
    unread = Quarantined.objects.filter(
        listener=watched.listener, is_answer=False, ingested_at=None
    )
    if incident is not None and not unread.exists():
        close(incident, "No undecodable event is left in quarantine.", now)


def _check_position_age(watched: Watched, now: datetime) -> None:
    """Open, refresh or close the incident about the position. Inside any transaction."""
    incident = watched.open(Kind.RUNWAY)
    left = runway(watched.position, now)
    if not watched.listener.enabled:
        close(incident, "The listener was disabled.", now)
    elif left is None:
        close(incident, "The listener no longer has a position that could expire.", now)
    elif left > LEAST_TIME_LEFT:
        close(incident, f"The position is recent again: {_hours(left)} left to replay.", now)
    else:
        Incident.objects.report(watched.listener.pk, _position_trouble(watched, left, now), now)


def _position_trouble(watched: Watched, left: timedelta, now: datetime) -> Trouble:
    end = f"{now + left:%Y-%m-%d %H:%M} UTC"
    policy = Listener.ReplayLost(watched.listener.on_replay_lost)
    then = f"the listener then {_ON_REPLAY_LOST[policy]}, and the window is compared over REST."
    if watched.is_receiving:
        age = _hours(RETENTION - left) + ("" if left else " or more")
        summary = f"No event has arrived for {age}: the stored position ages."
        remedy = (
            "Nothing while the listener receives. Any change in Salesforce renews the position."
        )
        action = (
            "The listener receives, and misses nothing. If its session is lost after "
            f"{end}, Salesforce rejects the position: {then}"
        )
    elif left:
        summary = f"The stored position expires in {_hours(left)}, at {end}."
        remedy = "Get the listener to receive before then; another incident says what prevents it."
        action = f"After that Salesforce rejects the position: {then}"
    else:
        summary = "The stored position has expired: its event is older than 72 hours."
        remedy = "Get the listener to receive again; another incident says what prevents it."
        action = f"Salesforce will reject the position: {then}"
    return Trouble(Kind.RUNWAY, "", summary, remedy, action=action, lasts=True)


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):.1f} h"


def _check_dead_letters(now: datetime) -> None:
    """Open, refresh or close the incident of each listener and handler. Inside any transaction."""
    counts, is_all = _dead_letter_counts()
    for watched in snapshots(now):
        mine = {handler: n for (pk, handler), n in counts.items() if pk == watched.listener.pk}
        for handler, count in mine.items():
            trouble = _dead_letter_trouble(handler, count, is_all=is_all)
            known = watched.open(Kind.DEAD_LETTERS, trouble.key[:255])
            if known is None or known.summary != trouble.summary:
                Incident.objects.report(watched.listener.pk, trouble, now)
        for (kind, key), incident in watched.incidents.items():
            if (
                kind == Kind.DEAD_LETTERS
                and key not in mine
                and (is_all or not _has_dead_letters(watched, key))
            ):
                close(incident, "No dead letters left: they were redelivered or pruned.", now)


def _dead_letter_counts() -> tuple[Counter[tuple[int, str]], bool]:
    """Return how many of the newest COUNTED dead letters each listener and handler has, and
    whether that is all of them."""
    newest = Delivery.objects.filter(state=Delivery.State.DEAD).order_by("-id")
    rows = list(newest.values_list("entry__listener_id", "handler")[: COUNTED + 1])
    return Counter(rows[:COUNTED]), len(rows) <= COUNTED


def _has_dead_letters(watched: Watched, handler: str) -> bool:
    dead = Delivery.objects.filter(state=Delivery.State.DEAD, handler=handler)
    return dead.filter(entry__listener=watched.listener).exists()


def _dead_letter_trouble(handler: str, count: int, *, is_all: bool) -> Trouble:
    number = f"{count:,}" if is_all else f"{count:,} or more"
    noun = "delivery" if count == 1 and is_all else "deliveries"
    return Trouble(
        Kind.DEAD_LETTERS,
        handler,
        f"{number} {noun} to {handler} failed for good.",
        "See their errors under Deliveries (state: dead), fix the cause, and redeliver them there "
        "or with manage.py redeliver_cdc_events --state dead.",
        action="They are kept, but will not be retried automatically.",
        lasts=True,
    )


_OF_A_LISTENER = (
    _reopen_stopped,
    outages.check,
    _check_position_age,
    _close_disabled_or_quiet,
    _close_undecodable,
)


def _step(name: str, check: Callable[[datetime], object], consequence: str = "") -> Step:
    consequence = consequence or "Incidents about them are not opened and closed."
    return step(f"check {name}", check, consequence, expected=(BrokerUnavailable,))


#: The checks. Each fails alone. Called with the time, never inside a transaction.
CHECKS = (
    _step("listeners", _check_listeners),
    _step("dead letters", _check_dead_letters),
    _step("unknown tasks", unknown_tasks.close_when_none_is_kept),
    _step("closed queues", closed_queues.close_incidents),
    _step("internal errors", internal_errors.close_quiet),
    _step(
        "handler modules",
        lambda now: internal_errors.report_modules(registry.import_failures, now),
    ),
)
#: Those that wait for other servers.
CHECKS_OF_SERVERS = (
    _step("destinations", destinations.check),
    _step("org limits", org_limits.refresh_due, "The orgs' daily event limits are not read."),
)
ALERTS = _step("alerts", send.send_due, "Alerts about incidents are not sent by this process.")
