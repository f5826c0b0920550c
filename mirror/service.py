"""Add, change and remove mirrors, and request their runs: for the command, the configuration file,
the REST API and the console.

Refused   nothing was changed; the message says why and what to do
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Max

from audit.action_log import Action, Actor, note, note_change
from audit.models import AuditLogEntry
from handlers.models import HandlerMapping
from handlers.ordering import rechain
from listeners.clock import database_clock
from listeners.models import Listener, Position
from listeners.values import save_fields
from mirror import runs
from mirror.mappings import create_mappings, managed_mappings
from mirror.models import Mirror, MirrorRun
from mirror.query_jobs import abort_later
from mirror.requirements import Refused, check_local, check_org, clean_choices
from mirror.schema.described import DescribedObject

log = structlog.get_logger(__name__)

DEPTHS = runs.DEPTHS

__all__ = ["Refused", "add", "add_all", "cancel_run", "change", "remove", "request_run", "store"]


def add(model: str, listener: Listener, *, by: Actor, **settings: str) -> Mirror:
    """Add a mirror, and request its first load. Raises Refused.

    `settings`: `database`, `deletes` and `verify`. Asks the org whether the user may read the
    object; never inside a transaction.
    """
    wanted = _checked(model, listener, settings)
    with transaction.atomic(durable=True):
        return store(wanted, by)


def add_all(
    models: Sequence[str], listener: Listener, *, by: Actor, **settings: str
) -> list[Mirror]:
    """Add mirrors as `add` does, all of them or none. Raises Refused, which names each model that
    was refused, and why."""
    refusals: dict[str, Refused] = {}
    wanted: dict[str, Mirror] = {}
    for model in models:
        try:
            wanted[model] = _checked(model, listener, settings)
        except Refused as refused:
            refusals[model] = refused
    if not refusals:
        with transaction.atomic(durable=True):
            for model, mirror in wanted.items():
                try:
                    store(mirror, by)
                except Refused as refused:  # such as two models of one object
                    refusals[model] = refused
            transaction.set_rollback(bool(refusals))
    if refusals:
        raise Refused("\n".join(_refusal_lines(refusals, of_several=len(models) > 1)))
    return list(wanted.values())


def _refusal_lines(refusals: Mapping[str, Refused], *, of_several: bool) -> Iterator[str]:
    for model, refused in refusals.items():
        text = str(refused)
        yield text if model in text else f"{model}: {text}"
    if of_several:
        yield "No mirror was added."


def _checked(model: str, listener: Listener, settings: Mapping[str, str]) -> Mirror:
    """Return a mirror to store, checked here and in the org. Raises Refused."""
    wanted = Mirror(model=model, listener=listener, **settings)
    wanted.described = DescribedObject.read(check_org(listener, check_local(wanted))).types
    return wanted


def store(mirror: Mirror, by: Actor) -> Mirror:
    """Store a new mirror with its handler mappings, and request its first load. Raises Refused.

    Inside the caller's transaction. Does not ask the org; the load's failure says what is wrong.
    """
    mirror.salesforce_object = check_local(mirror).salesforce_object
    mirror.created_at = database_clock.now()
    Position.objects.lock_listener(mirror.listener_id)
    # Changes recorded from here on have deliveries to the mirror.
    last = AuditLogEntry.objects.aggregate(last=Max("pk"))["last"]
    mirror.scanned_entry_id = last or 0
    mirror.merges_searched = {str(mirror.listener_id): last or 0}
    mirror.save(force_insert=True)
    create_mappings(mirror)
    _hold_back(mirror)
    note(by, Action.ADD, mirror)
    transaction.on_commit(
        partial(log.info, "mirror added", mirror=mirror.model, listener=mirror.listener.name)
    )
    request_run(mirror, MirrorRun.Kind.LOAD, {}, by)
    return mirror


def _hold_back(mirror: Mirror) -> None:
    """Let waiting deliveries of the object's changes wait for its new mirror, where their mapping
    runs after the mirror: of every object, or of one whose mirror the file adds with it. Inside the
    caller's transaction, which has locked the listener's position."""
    after = HandlerMapping.objects.filter(
        listener=mirror.listener_id,
        after=HandlerMapping.After.MIRROR,
        entity__in=(mirror.salesforce_object, "*"),
    )
    if ids := list(after.values_list("pk", flat=True)):
        rechain.edit(mirror.listener_id, ids)


def change(mirror: Mirror, by: Actor, **settings: str) -> list[str]:
    """Change `deletes` and `verify`; return the names of the fields that changed. Raises Refused.

    Inside any transaction. The model, the listener and the database of a mirror do not change.
    """
    clean_choices(settings)
    changed = [name for name, value in settings.items() if getattr(mirror, name) != value]
    for name in changed:
        setattr(mirror, name, settings[name])
    if changed:
        with transaction.atomic():
            save_fields(mirror, changed)
            note_change(by, mirror, changed)
    return changed


def remove(mirror: Mirror, by: Actor) -> None:
    """Remove a mirror with its mappings and runs; the model's table and its rows stay.

    Inside any transaction. Raises Refused while handlers run after the mirror.
    """
    with transaction.atomic():
        Position.objects.lock_listener(mirror.listener_id)
        if dependents := list(following(mirror)):
            raise Refused(
                f"{mirror} is used by handlers that run after the mirror: "
                f"{', '.join(map(str, dependents))}. Delete those mappings, or set their `after` "
                "to empty, then remove the mirror."
            )
        for run in mirror.runs.filter(state__in=MirrorRun.UNENDED).select_for_update():
            abort_later(run)
        managed_mappings(mirror).delete()
        note(by, Action.DELETE, mirror)
        transaction.on_commit(partial(log.info, "mirror removed", mirror=mirror.model))
        mirror.delete()


def mirror_of(mapping: HandlerMapping) -> Mirror | None:
    """Return the mirror that a managed mapping belongs to; None for any other mapping."""
    pk = mapping.options.get("mirror") if mapping.managed else None
    found: Mirror | None = Mirror.objects.filter(pk=pk).first() if pk else None
    return found


def following(mirror: Mirror) -> Any:
    """Return the mappings that run after this mirror: of its object, or, if it is the listener's
    last mirror, of every object."""
    after = HandlerMapping.objects.filter(
        listener=mirror.listener_id, after=HandlerMapping.After.MIRROR
    )
    others = Mirror.objects.filter(listener=mirror.listener_id).exclude(pk=mirror.pk)
    entities = [mirror.salesforce_object, *([] if others.exists() else ["*"])]
    return after.filter(entity__in=entities)


def request_run(
    mirror: Mirror, kind: str, options: dict[str, Any] | None = None, by: Actor | None = None
) -> MirrorRun:
    """Request a run of the mirror, and return it; an unended run of the kind is returned instead.

    Inside any transaction: the task message is sent after its commit. `by` is None for runs that
    the schedule requests.
    """
    who = str(by) if by else ""
    with transaction.atomic():
        run, is_new = runs.request(mirror, kind, database_clock.now(), by=who, options=options)
        if is_new and by is not None:
            note(by, Action.REQUEST_RUN, mirror, details={"run": run.pk, "kind": kind})
        if is_new:
            transaction.on_commit(partial(runs.start, run.pk))
    return run


def cancel_run(run: MirrorRun, by: Actor, reason: str = "") -> bool:
    """Cancel a run; return False when it had already ended. Inside any transaction.

    The worker that executes the run notices at its next step. Rows that it wrote stay. Its query
    job in Salesforce is aborted.
    """
    with transaction.atomic():
        if not runs.cancel(run.pk, database_clock.now()):
            return False
        abort_later(MirrorRun.objects.select_related("mirror").get(pk=run.pk))
        note(by, Action.CANCEL, run.mirror, reason=reason, details={"run": run.pk})
    return True
