"""The demo's mirrors: added at the start, shown while they change, and verified at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import requests
from django.utils import timezone

from audit.action_log import Actor
from listeners.models import Listener
from listeners.salesforce.http.request import NoAuth
from mirror import service
from mirror.models import DirtyRow, Mirror, MirrorRun
from mirror.status import ATTENTION, MirrorStatus, statuses
from mirror.words import result_of

#: Records that the org has at the start, by object.
RECORDS = {"Account": 3_000, "Contact": 5_000}
MODELS = ("crm.Account", "crm.Contact")


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified mirror: `there` is the number of records by the org's own account."""

    status: MirrorStatus
    there: int
    run: MirrorRun

    @property
    def is_right(self) -> bool:
        is_equal = self.status.rows == self.there and self.run.is_right is True
        return is_equal and self.status.state == Mirror.Phase.IN_SYNC

    def line(self) -> str:
        compared = result_of(self.run) if self.run.is_over else self.run.get_state_display()
        parts = (
            f"{self.status.mirror}: {self.status.rows or 0:,} rows here",
            f"{self.there:,} records in Salesforce",
            f"verified: {compared}",
            self.run.error or self.status.words,
        )
        return ", ".join(parts)


def add() -> None:
    """Add the mirrors, which requests their loads."""
    for model in MODELS:
        service.add(model, Listener.objects.get(), by=Actor.at_the_shell())


def line() -> str:
    """Return the number of rows and the states of the mirrors: "mirrored 8,012, in sync"."""
    found = statuses(timezone.now())
    states = dict.fromkeys(one.state.replace("_", " ") for one in found)
    return f"mirrored {sum(one.rows or 0 for one in found):,}, {' and '.join(states)}"


def are_settled() -> bool:
    """Return whether the mirrors are loaded, and no record is to be read."""
    found = statuses(timezone.now())
    is_loaded = all(one.state in (Mirror.Phase.IN_SYNC, ATTENTION) for one in found)
    return is_loaded and not DirtyRow.objects.exists()


def request_verifications() -> list[int]:
    """Request a verification of every field of every record; return the runs' ids."""
    kind, options, by = MirrorRun.Kind.VERIFY, {"depth": "full"}, Actor.at_the_shell()
    return [service.request_run(one, kind, options, by).pk for one in Mirror.objects.all()]


def are_over(runs: Iterable[int]) -> bool:
    return not MirrorRun.objects.filter(pk__in=runs, state__in=MirrorRun.UNENDED).exists()


def verified(simulator: str, runs: Iterable[int]) -> list[Verified]:
    """Return the results of the runs, each with the number of records in the org."""
    found = []
    for run in (
        MirrorRun.objects.filter(pk__in=runs).select_related("mirror__listener").order_by("id")
    ):
        [status] = statuses(timezone.now(), [run.mirror])
        found.append(Verified(status, _records(simulator, run.mirror.salesforce_object), run))
    return found


def _records(simulator: str, entity: str) -> int:
    """Return the number of records in the org that are not deleted."""
    url = f"{simulator}/_simulator/records"
    answer = requests.get(url, params={"entity": entity}, auth=NoAuth(), timeout=60)
    answer.raise_for_status()
    return sum(not json.loads(text)["deleted"] for text in answer.iter_lines())
