"""The way of an installation through all migrations and back, with rows in every table."""

from tests.upgrades.contents import Contents
from tests.upgrades.rows import COUNT, Rows
from tests.upgrades.steps import Steps


def test_rows_survive_every_migration_forwards_and_backwards(database):
    steps, rows = Steps(database), Rows(database)
    taken = []
    for migration in steps.plan:
        before = Contents(database, steps.apps)
        step = steps.forwards(migration)
        kept, now = before.shared_with(Contents(database, steps.apps))
        assert now == kept, f"{step} forwards"
        rows.fill(steps.apps)
        taken.append((step, before))
    newest = Contents(database, steps.apps)
    assert {table for table, found in newest.rows.items() if len(found) < COUNT} == set()

    later = [(step, before) for step, before in taken if step.is_later]
    for step, before in reversed(later):
        steps.backwards(step)
        now = Contents(database, steps.apps)
        assert now.shapes == before.shapes, f"{step} backwards"
        had, has = newest.shared_with(now)
        assert has == had, f"{step} backwards"
    oldest = Contents(database, steps.apps)

    for step, _ in later:
        steps.forwards(step.migration)
    again = Contents(database, steps.apps)
    assert again.shapes == newest.shapes
    had, has = oldest.shared_with(again)
    assert has == had
