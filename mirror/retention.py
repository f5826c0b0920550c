"""Runs and differences of mirrors that are old and no longer needed. Reads only;
`consumer.retention` deletes them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import Exists, F, OuterRef, Q

from mirror.load import lost_time
from mirror.models import Difference, Mirror, MirrorRun
from mirror.sweeps import COMPARES_IDS, LOSSES

Kind, State = MirrorRun.Kind, MirrorRun.State


def old_differences(before: datetime) -> Any:
    """Return the differences that were repaired before this time."""
    return Difference.objects.filter(repaired_at__lt=before)


def old_runs(before: datetime) -> Any:
    """Return the runs that ended before this time, apart from those that are needed:

    - each mirror's last successful run of a kind, and later ones without success: they show what
      is proven, and what an operator has to do;
    - runs with differences, which go when those are repaired and old;
    - sweeps after lost time that would be requested again without them.
    """
    ended = MirrorRun.objects.filter(finished_at__lt=before).exclude(state__in=MirrorRun.UNENDED)
    later = MirrorRun.objects.filter(
        Q(kind=OuterRef("kind")) & (~Q(kind=Kind.VERIFY) | COMPARES_IDS),
        mirror=OuterRef("mirror"),
        state=State.DONE,
        pk__gt=OuterRef("pk"),
        finished_at__gte=OuterRef("finished_at"),
    )
    differences = Difference.objects.filter(run=OuterRef("pk"))
    found = ended.filter(Exists(later), ~Exists(differences))
    return found.exclude(pk__in=[*_of_known_losses(found)])


def _of_known_losses(runs: Any) -> Iterator[int]:
    """Yield the sweeps of losses that are still on record."""
    sweeps = runs.filter(kind=Kind.SWEEP).exclude(**{f"options__{LOSSES}": []})
    by_mirror: dict[int, list[tuple[int, list[str]]]] = {}
    for pk, mirror_id, options in sweeps.values_list("pk", F("mirror"), "options"):
        by_mirror.setdefault(mirror_id, []).append((pk, options.get(LOSSES, [])))
    for mirror in Mirror.objects.filter(pk__in=by_mirror):
        known = {loss.key for loss in lost_time.recorded(mirror)}
        yield from (pk for pk, losses in by_mirror[mirror.pk] if known.intersection(losses))
