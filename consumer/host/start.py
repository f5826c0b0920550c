"""Begins to run listeners: what each one needs → the lease → its threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import IntegrityError

from consumer import incidents
from consumer.host.assignment import Share
from consumer.host.runtime import HostedListener
from consumer.stream import metrics
from consumer.stream.login_guard import CarefulTokens, Logins
from consumer.stream.publisher import Publisher
from listeners.clock import database_clock
from listeners.connections.open_stream import stream_for
from listeners.leases import Lease
from listeners.models import Listener, Position
from listeners.salesforce.errors import SalesforceError
from listeners.salesforce.protocol import EventStream
from listeners.secrets.encrypted_field import SecretUnavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Kit:
    tokens: CarefulTokens
    stream: EventStream


def failed_since(
    started_at: datetime, positions: Mapping[int, Position], fingerprints: Mapping[int, str]
) -> set[int]:
    """Those that an operator must correct first; a new process tries each once more."""
    return {
        pk
        for pk, position in positions.items()
        if position.state == Position.State.FAILED
        and position.failed_fingerprint == fingerprints.get(pk)
        and position.state_since is not None
        and position.state_since >= started_at
    }


class Hosting:
    """A listener that this process cannot run, for want of a secret that another one may have, is
    left to others; where there are none, it fails."""

    def __init__(self, holder: str, logins: Logins, share: Share, publisher: Publisher) -> None:
        self._holder = holder
        self._logins = logins
        self._share = share
        self._publisher = publisher
        self._unfit: dict[int, str] = {}

    def unfit(self, fingerprints: Mapping[int, str]) -> set[int]:
        """Those that are left to others, as long as nothing about them changes."""
        self._unfit = {pk: one for pk, one in self._unfit.items() if fingerprints.get(pk) == one}
        return set(self._unfit)

    def reconsider(self, wanted: Mapping[int, Listener]) -> None:
        """Once there are no others any more, it is said by the listener that it fails."""
        self._unfit = {
            pk: one for pk, one in self._unfit.items() if self._share.others_may_run(wanted[pk])
        }

    def start(self, listeners: Sequence[Listener]) -> Iterator[HostedListener]:
        """Those of them that were free, each as soon as it runs: what goes wrong with one of them
        must not let another run unknown to anybody."""
        equipped = {listener.pk: (listener, self._equip(listener)) for listener in listeners}
        left = [pk for pk, (listener, kit) in equipped.items() if self._is_left(listener, kit)]
        for lease in self._leases(equipped.keys() - set(left)):
            listener, kit = equipped[lease.listener_id]
            if isinstance(kit, Kit):
                yield self._begin(listener, kit, lease)
            else:
                _fail(listener, lease, kit)

    def _equip(self, listener: Listener) -> Kit | str:
        """What it needs to run, or why that cannot be had."""
        try:
            tokens = self._logins.of(listener)
            return Kit(tokens, stream_for(listener, tokens))
        except (SecretUnavailable, SalesforceError) as error:
            return str(error)
        except Exception as error:  # stored past its validation: one row, one listener
            log.exception("unforeseen", listener=listener.name)
            return f"the connection's settings cannot be used ({type(error).__name__})"

    def _is_left(self, listener: Listener, kit: Kit | str) -> bool:
        if isinstance(kit, Kit) or not self._share.others_may_run(listener):
            return False
        log.warning("left to other processes", listener=listener.name, reason=kit)
        self._unfit[listener.pk] = listener.fingerprint
        return True

    def _leases(self, listener_ids: Iterable[int]) -> list[Lease]:
        wanted = sorted(listener_ids)
        try:
            return Position.objects.acquire_several(wanted, self._holder) if wanted else []
        except IntegrityError as error:
            log.info("a listener was deleted just now", reason=str(error).strip())
            return []

    def _begin(self, listener: Listener, kit: Kit, lease: Lease) -> HostedListener:
        log.info("listener started", listener=listener.name, channel=listener.channel)
        hosted = HostedListener(listener, lease, kit.tokens, kit.stream, self._publisher)
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
        incidents.stopped(listener.pk, reason, database_clock.now())
