"""A comparison in words."""

from __future__ import annotations

from consumer.reconciliation.progress import Figures, Progress


def so_far(progress: Progress) -> str:
    """What is at hand, such as "Contact, 12 missing, about 40 %"."""
    missing = progress.total.missing
    parts = [progress.entity, f"{missing:,} missing" if missing else ""]
    if progress.share:
        parts.append(f"about {100 * progress.share:.0f} %")
    return ", ".join(part for part in parts if part)


def line(entity: str, figures: Figures, *, records: bool) -> str:
    """How complete the log is, with the numbers that say so."""
    count, missing = figures.compared, figures.missing
    were, are = ("was", "is") if missing == 1 else ("were", "are")
    outcome = "recorded now" if records else "not recorded"
    rest = f"{missing:,} {were} missing and {are} {outcome}" if missing else "none was missing"
    return (
        f"{entity}: {completeness(figures)} of {count:,} records were in the audit log; {rest} "
        f"(compared {count:,}, present {figures.present:,}, missing {missing:,}, "
        f"added {missing if records else 0:,})"
    )


def completeness(figures: Figures) -> str:
    """Only what is whole is called 100 %."""
    if not figures.missing:
        return "100 %"
    return f"{min(100 * figures.present / figures.compared, 99.99):.2f} %"
