"""Starts listeners: build tokens and stream → take the lease → start the threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import structlog
from django.db import IntegrityError

from consumer import incidents
from consumer.host.assignment import Assignment
from consumer.host.runtime import HostedListener
from consumer.stream import metrics
from consumer.stream.login_guard import GuardedTokens, Logins
from consumer.stream.publisher import Publisher
from listeners.clock import database_clock
from listeners.connections.create_stream import stream_for
from listeners.leases import Lease
from listeners.models import Listener, Position
from listeners.salesforce.errors import SalesforceError
from listeners.salesforce.protocol import EventStream
from listeners.secrets.encrypted_field import SecretUnavailable

log = structlog.get_logger(__name__)

#: The tokens and the stream that a listener needs to run.
Kit = tuple[GuardedTokens, EventStream]


def failed_since(
    started_at: datetime, positions: Mapping[int, Position], fingerprints: Mapping[int, str]
) -> set[int]:
    """Return the listeners that failed since `started_at` and were not changed since: an operator
    must correct them first. A new process tries each once more."""
    return {
        pk
        for pk, position in positions.items()
        if position.state == Position.State.FAILED
        and position.failed_fingerprint == fingerprints.get(pk)
        and position.state_since is not None
        and position.state_since >= started_at
    }


class Hosting:
    """Starts listeners in this process.

    A listener that this process cannot run, such as for lack of a secret that another process may
    have, is left to other processes; if there are none, the listener fails.
    """

    def __init__(
        self, holder: str, logins: Logins, assignment: Assignment, publisher: Publisher
    ) -> None:
        self._holder = holder
        self._logins = logins
        self._assignment = assignment
        self._publisher = publisher
        self._unfit: dict[int, str] = {}

    def unfit(self, fingerprints: Mapping[int, str]) -> set[int]:
        """Return the listeners that are left to other processes. A listener whose fingerprint
        changed is no longer one of them."""
        self._unfit = {
            pk: fingerprint
            for pk, fingerprint in self._unfit.items()
            if fingerprints.get(pk) == fingerprint
        }
        return set(self._unfit)

    def reconsider(self, wanted: Mapping[int, Listener]) -> None:
        """Try again the listeners that no other process may run any more: they then fail with their
        reason."""
        self._unfit = {
            pk: fingerprint
            for pk, fingerprint in self._unfit.items()
            if self._assignment.others_may_run(wanted[pk])
        }

    def start(self, listeners: Sequence[Listener]) -> Iterator[HostedListener]:
        """Start the listeners whose leases are free, and yield each as soon as it runs: an error in
        one must not leave another running unnoticed."""
        equipped = {listener.pk: (listener, self._equip(listener)) for listener in listeners}
        left = [pk for pk, (listener, kit) in equipped.items() if self._is_left(listener, kit)]
        for lease in self._leases(equipped.keys() - set(left)):
            listener, kit = equipped[lease.listener_id]
            if isinstance(kit, str):
                _fail(listener, lease, kit)
            else:
                yield self._begin(listener, kit, lease)

    def _equip(self, listener: Listener) -> Kit | str:
        """Return what the listener needs to run, or the reason why it cannot run here."""
        try:
            tokens = self._logins.of(listener)
            return tokens, stream_for(listener, tokens)
        except (SecretUnavailable, SalesforceError) as error:
            return str(error)
        except Exception as error:  # a row stored without validation must fail only its listener
            log.exception("unexpected error", listener=listener.name)
            return f"the connection's settings cannot be used ({type(error).__name__})"

    def _is_left(self, listener: Listener, kit: Kit | str) -> bool:
        if not isinstance(kit, str) or not self._assignment.others_may_run(listener):
            return False
        log.warning("listener left to other processes", listener=listener.name, reason=kit)
        self._unfit[listener.pk] = listener.fingerprint
        return True

    def _leases(self, listener_ids: Iterable[int]) -> list[Lease]:
        wanted = sorted(listener_ids)
        try:
            return Position.objects.acquire(wanted, self._holder) if wanted else []
        except IntegrityError as error:
            log.info("a listener was deleted while starting", reason=str(error).strip())
            return []

    def _begin(self, listener: Listener, kit: Kit, lease: Lease) -> HostedListener:
        log.info("listener started", listener=listener.name, channel=listener.channel)
        hosted = HostedListener(listener, lease, *kit, self._publisher)
        hosted.start()
        metrics.LEASES_TAKEN.labels(listener.name).inc()
        return hosted


def _fail(listener: Listener, lease: Lease, reason: str) -> None:
    log.error("listener stopped", listener=listener.name, reason=reason)
    is_ours = Position.objects.held(lease).update(
        state=Position.State.FAILED,
        reason=reason,
        state_since=database_clock.now(),
        failed_fingerprint=listener.fingerprint,
    )
    if is_ours:
        Position.objects.release(lease)
        incidents.open_stopped(listener.pk, reason, database_clock.now())
