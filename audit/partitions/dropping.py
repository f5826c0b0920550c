"""Parts that go: taken out of the audit log, and dropped once nothing else is left of them."""

from __future__ import annotations

from collections.abc import Sequence

from audit.partitions.table import GONE, TABLE, Part, columns, quoted, rows, run


def take_out(part: Part, keep: Sequence[int]) -> str:
    """What is called now what was taken out. Of the entries to `keep`, by id, the default part has
    each afterwards. Inside the caller's transaction, which is a brief one."""
    names, name = columns(), GONE + part.name.removeprefix(f"{TABLE}_")
    run(
        f"ALTER TABLE {TABLE} DETACH PARTITION {quoted(part.name)}",
        f"ALTER TABLE {quoted(part.name)} RENAME TO {quoted(name)}",
    )
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


def ids(name: str, after: int, limit: int) -> list[int]:
    """Of what was taken out, in order."""
    found = rows(
        f"SELECT id FROM {quoted(name)} WHERE id > %s ORDER BY id LIMIT %s", [after, limit]
    )
    return [pk for (pk,) in found]


def drop(name: str) -> int:
    """How many entries that were. Never inside a transaction."""
    [(number,)] = rows(f"SELECT count(*) FROM {quoted(name)}")
    run(f"DROP TABLE {quoted(name)}")
    return int(number)
