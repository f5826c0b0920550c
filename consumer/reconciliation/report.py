"""The report of a comparison as text: what was compared and how, what was found, and what was not
compared."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from audit.models import Reconciliation
from consumer.reconciliation.judge import Fields
from consumer.reconciliation.progress import Figures, Progress
from listeners.models import Listener
from listeners.salesforce.channel import entity_of

CLOCK = "%Y-%m-%d %H:%M"
#: The most names in a list; further ones are only counted.
MOST_NAMED = 12
MEANS = "by id, time of last change and field values"
COMPLETE = "that changed in the window is now complete in the audit log"
IN_PART = (
    "Known in part means: the audit log does not reach back to the record's creation or to a read "
    "of the whole record, so only the fields that it has were compared"
)


def so_far(progress: Progress) -> str:
    """Return the progress in a few words, such as "Contact, 12 missing, about 40 %"."""
    total = progress.total
    missing = total.missing + total.deleted
    parts = [progress.entity, f"{missing:,} missing" if missing else ""]
    if progress.share:
        parts.append(f"about {100 * progress.share:.0f} %")
    return ", ".join(part for part in parts if part)


def lines(entity: str, figures: Figures, *, records: bool) -> list[str]:
    """Return the report's lines about one entity: what was found, then what was not compared."""
    added, deleted = (figures.missing, figures.deleted) if records else (0, 0)
    numbers = (
        f"compared {figures.compared:,}, present {figures.present:,}, "
        f"missing {figures.missing:,}, added {added:,}, known in part {figures.in_part:,}, "
        f"looked up {figures.looked_up:,}, deletions missing {figures.deleted:,}, "
        f"deletions added {deleted:,}"
    )
    texts = [
        f"{changed(figures, records=records)} ({numbers})",
        looked_up(figures, records=records),
        *([IN_PART] if figures.in_part else []),
        *caveats(figures.fields),
    ]
    return [f"{entity}: {text}" for text in texts]


def summary(job: Reconciliation, progress: Progress) -> str:
    """Return the report on all entities together: the evidence that closes an incident."""
    total = progress.total
    texts = [
        f"Compared {_window(job)} with the audit log, {MEANS}: {_names(progress.done)}",
        changed(total, records=True),
        looked_up(total, records=True),
        *([IN_PART] if total.in_part else []),
    ]
    for entity in sorted(progress.done):
        texts += [f"{entity}: {text}" for text in caveats(progress.figures[entity].fields)]
    texts += notes(progress)
    texts += [_conclusion(total), *outside(job.listener, job.entity_name, job.window_start)]
    return "\n".join(f"{text[0].upper()}{text[1:]}." for text in texts)


def changed(figures: Figures, *, records: bool) -> str:
    """Return the text about records that changed in the window."""
    count, missing = figures.compared, figures.missing
    if not count:
        return "no record changed in the window"
    found = [f"{_count(figures.present, 'is', 'are')} complete in the audit log"]
    if figures.in_part:
        found.append(f"{_count(figures.in_part, 'is', 'are')} known in part")
    outcome = "recorded now" if records else "not recorded"
    found.append(
        f"{_count(missing, 'was', 'were')} missing and {'is' if missing == 1 else 'are'} {outcome}"
        if missing
        else "none was missing"
    )
    return f"{count:,} {_plural(count)} changed in the window: {', '.join(found)}"


def looked_up(figures: Figures, *, records: bool) -> str:
    """Return the text about records that exist according to the audit log."""
    count, deleted = figures.looked_up, figures.deleted
    if not count:
        return "the audit log has no existing record to look up by id"
    known = f"{count:,} existing {_plural(count)} of the audit log"
    were = "was" if count == 1 else "were"
    if not deleted:
        return f"{known} {were} looked up by id: no deletion is missing in the audit log"
    which = "deletion is" if deleted == 1 else "deletions are"
    outcome = "recorded now" if records else "not recorded"
    no_longer = "no longer exists" if deleted == 1 else "no longer exist"
    return (
        f"{known} {were} looked up by id: {deleted:,} {no_longer} in Salesforce, and the missing "
        f"{which} {outcome}"
    )


def caveats(fields: Fields) -> list[str]:
    """Return the texts about fields that differed, and fields that could not be compared."""
    found = (
        ("Fields whose values differed", fields.differing - {"LastModifiedDate"}),
        ("Not compared, since no change event carries their values", fields.not_carried),
        ("Not compared, since the audit log has only a diff or no value of them", fields.open),
        ("Not compared, since the login's user may not read them", fields.unreadable),
    )
    return [f"{why}: {_names(names)}" for why, names in found if names]


def notes(progress: Progress) -> list[str]:
    """Return the texts about what the channel excludes, or may exclude."""
    found = [
        f"Not compared: {entity}, since {why}" for entity, why in sorted(progress.left_out.items())
    ]
    if ignored := progress.unfiltered & progress.done:
        found.append(
            "Compared although the channel filters them, with the records that its filter "
            f"excludes: {_names(ignored)}"
        )
    doubts = {entity: why for entity, why in progress.doubts.items() if entity in progress.done}
    for why in sorted(set(doubts.values())):
        entities = _names(entity for entity, reason in doubts.items() if reason == why)
        found.append(
            f"Compared without knowing whether the channel carries or filters them: {entities}; "
            f"{why}"
        )
    return found


def _conclusion(total: Figures) -> str:
    left_open = [
        f"{total.in_part:,} {_plural(total.in_part)} known in part" if total.in_part else "",
        "the fields named above" if total.fields.open or total.fields.unreadable else "",
    ]
    unproven = " and ".join(part for part in left_open if part)
    if unproven:
        return f"Not proven: {unproven}. Everything else {COMPLETE}"
    return f"Everything {COMPLETE}"


def outside(listener: Listener, entity: str, since: datetime | None) -> list[str]:
    """Return the texts about what a comparison since that time leaves out. An empty entity means
    all known ones."""
    left_out = [
        "the values of records that did not change in the window" if since else "",
        ""
        if entity or entity_of(listener.channel)
        else "entities that no handler mapping or recorded change names",
    ]
    return [f"Not compared: {part}" for part in left_out if part]


def _window(job: Reconciliation) -> str:
    end = _utc(job.window_end)
    if job.window_start is None:
        return "all records"
    if job.reason == Reconciliation.Reason.ASKED:
        return f"the records changed from {_utc(job.window_start)} to {end}"
    return f"the records changed since {_utc(job.window_start)}"


def _utc(moment: datetime) -> str:
    return f"{moment:{CLOCK}} UTC"


def _names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    rest = len(ordered) - MOST_NAMED
    return ", ".join(ordered[:MOST_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _plural(count: int) -> str:
    return "record" if count == 1 else "records"
