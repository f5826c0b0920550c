"""Parts that go: taken out of the audit log, and dropped once nothing else is left of them.

Several prunings may do that at once: what another one has dropped is done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import ProgrammingError

from audit.partitions.brief import brief
from audit.partitions.table import GONE, TABLE, Part, columns, quoted, rows, run

_UNDEFINED_TABLE = "42P01"


def take_out(part: Part, keep: Sequence[int]) -> str:
    """What is called now what was taken out. Of the entries to `keep`, by id, the default part has
    each afterwards. Inside the caller's transaction, which is a brief one."""
    names, name = columns(), GONE + part.name.removeprefix(f"{TABLE}_")
    run(
        f"ALTER TABLE {TABLE} DETACH PARTITION {quoted(part.name)}",
        f"ALTER TABLE {quoted(part.name)} RENAME TO {quoted(name)}",
    )
    mark_done(name, 0)
    if keep:
        rows(
            f"""
            WITH kept AS (DELETE FROM {quoted(name)} WHERE id = ANY(%s) RETURNING {names}),
            moved AS (INSERT INTO {TABLE} ({names}) SELECT {names} FROM kept RETURNING 1)
            SELECT count(*) FROM moved
            """,
            [list(keep)],
        )
    return name


@contextmanager
def unless_dropped() -> Iterator[None]:
    """What is done with something that was taken out, and may have gone: then the rest is not."""
    try:
        yield
    except ProgrammingError as error:
        if getattr(error.__cause__, "sqlstate", "") != _UNDEFINED_TABLE:
            raise


def mark_done(name: str, last: int) -> None:
    """Of its entries up to that id nothing else is left. In its comment: who goes on need not look
    through them again, or slices of time would end before they came to the rest."""
    run(f"COMMENT ON TABLE {quoted(name)} IS '{last:d}'")


def done(name: str) -> int:
    """Up to which id; 0: none, or it has gone."""
    [(said,)] = rows("SELECT obj_description(to_regclass(%s), 'pg_class')", [name])
    return int(said or 0)


def ids(name: str, after: int, limit: int) -> list[int]:
    """Of what was taken out, in order."""
    found: list[tuple[int]] = []
    with unless_dropped():
        found += rows(
            f"SELECT id FROM {quoted(name)} WHERE id > %s ORDER BY id LIMIT %s", [after, limit]
        )
    return [pk for (pk,) in found]


def drop(name: str) -> int:
    """How many entries that were. One transaction, never inside another. Raises Busy: its foreign
    key has PostgreSQL lock the listeners' table too, which everybody reads."""
    number = 0
    with unless_dropped(), brief():
        run(f"LOCK TABLE {quoted(name)} IN ACCESS EXCLUSIVE MODE")
        [(number,)] = rows(f"SELECT count(*) FROM {quoted(name)}")
        run(f"DROP TABLE {quoted(name)}")
    return int(number)
