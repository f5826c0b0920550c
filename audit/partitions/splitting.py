"""The audit log becomes a partitioned table, while listeners and workers go on.

No row is copied: what is there becomes the first part, as it is. Prepared beside it, and resumed
where it was broken off: a check that all of it was committed before a month that is to come, and
the two indexes that a part must have. Then, in one short transaction, the new table takes its
place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from audit.partitions import ahead, grants
from audit.partitions.brief import brief, insist
from audit.partitions.months import Month, milliseconds
from audit.partitions.obstacles import foreign_keys
from audit.partitions.table import HISTORY, REST, TABLE, last_id, quoted, rows, run

#: The first month with a part of its own begins so late that nobody commits anything in it before
#: the table has taken its place: the check would refuse it.
MARGIN = timedelta(days=7)
#: The check of a try that was given up is taken away so long before.
IN_TIME = timedelta(days=1)
#: Beyond it a change in the far future would keep everything in one part.
FARTHEST = 12
TRIES = 60

_CHECK = "entry_before_"
_PREPARED_IDENTITY = "entry_identity_history"
_PREPARED = {
    "entry_by_id_history": "(id, commit_timestamp)",
    _PREPARED_IDENTITY: "{identity}",
}
_KEY = f"{TABLE}_pkey"
_IDENTITY = "entry_identity"

Step = tuple[str, Callable[[], object]]


class TooFar(Exception):
    """A change in the audit log says that it was committed in the far future."""


def boundary(now: datetime) -> Month:
    """The first month with a part of its own. Raises TooFar."""
    [(newest,)] = rows(f"SELECT max(commit_timestamp) FROM {TABLE}")
    month = Month.of(now + MARGIN).next()
    last = month.next(FARTHEST)
    while newest is not None and newest >= month.since:
        month = month.next()
        if month > last:
            raise TooFar(
                f"a change in the audit log says that it was committed after {last}, and up to "
                "there everything would stay in one part: try again once retention has taken it"
            )
    return month


def steps(now: datetime) -> Iterator[Step]:
    """What is still to be done, each with what it is. Never inside a transaction."""
    month = boundary(now)
    check = f"{_CHECK}{month.suffix}"
    yield f"check that every change was committed before {month}", partial(_check, check, month)
    for name, keys in _PREPARED.items():
        yield f"build the index {name}", partial(_index, name, keys)
    yield (
        "put the partitioned table in its place",
        partial(insist, partial(_swap, check, month), TRIES),
    )
    yield (
        f"make parts for the months up to {Month.of(now).next(ahead.AHEAD)}",
        partial(ahead.make, now),
    )
    yield "look at it for the planner", partial(run, f"ANALYZE {TABLE}")


def _check(name: str, month: Month) -> None:
    """Others, of an earlier try, would refuse what is committed now."""
    found = _checks()
    changes = [_without(other) for other in found if other != name]
    if name not in found:
        changes.append(
            f"ALTER TABLE {TABLE} ADD CONSTRAINT {name} "
            f"CHECK (commit_timestamp < {month.since}) NOT VALID"
        )
    if changes:
        insist(partial(_briefly, *changes), TRIES)
    run(f"ALTER TABLE {TABLE} VALIDATE CONSTRAINT {name}")


def _checks() -> dict[str, Month]:
    """By name, with the month before which everything must have been committed."""
    found = rows(
        "SELECT conname FROM pg_constraint "
        "WHERE conrelid = to_regclass(%s) AND starts_with(conname, %s)",
        [TABLE, _CHECK],
    )
    return {name: Month.parsed(name.removeprefix(_CHECK)) for (name,) in found}


def _without(check: str) -> str:
    return f"ALTER TABLE {TABLE} DROP CONSTRAINT {check}"


def _briefly(*statements: str) -> None:
    with brief():
        run(*statements)


def _index(name: str, keys: str) -> None:
    valid = rows("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [name])
    if valid == [(True,)]:
        return
    run(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    keys = keys.format(identity=_identity_keys())
    run(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {TABLE} {keys}")


def _identity_keys() -> str:
    """Those of the index that the migrations made, and the time."""
    return _keys(_IDENTITY).removesuffix(")") + ", commit_timestamp)"


def _keys(index: str) -> str:
    [(made,)] = rows("SELECT pg_get_indexdef(to_regclass(%s))", [index])
    return str(made[made.index("(") :])


def forget_preparations() -> None:
    """Of a table that did not become partitioned. Never inside a transaction. Raises Busy."""
    if found := _checks():
        insist(partial(_briefly, *map(_without, found)), TRIES)
    for name in _PREPARED:
        run(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")


def forget_late_checks(now: datetime) -> None:
    """Of a try that was killed and never resumed: what it checks would soon be refused. Never
    inside a transaction. Raises Busy."""
    late = [name for name, month in _checks().items() if month.since < milliseconds(now + IN_TIME)]
    if late:
        _briefly(*map(_without, late))


def _swap(check: str, month: Month) -> None:
    """One transaction that keeps everybody out: of names and no row."""
    referring = foreign_keys()
    tables = ", ".join(map(quoted, [TABLE, *sorted({table for table, _ in referring})]))
    with brief():
        run(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
        run(*(f"ALTER TABLE {quoted(t)} DROP CONSTRAINT {quoted(name)}" for t, name in referring))
        indexes, own_keys, last = _indexes(), _own_foreign_keys(), last_id()
        _make_history(indexes)
        run(
            f"CREATE TABLE {TABLE} (LIKE {HISTORY} INCLUDING DEFAULTS INCLUDING CONSTRAINTS "
            "INCLUDING COMMENTS) PARTITION BY RANGE (commit_timestamp)",
            _without(check),
            f"ALTER TABLE {TABLE} ALTER id ADD GENERATED BY DEFAULT AS IDENTITY "
            f"(START WITH {last + 1})",
            f"ALTER TABLE {TABLE} ADD CONSTRAINT {_KEY} PRIMARY KEY (id, commit_timestamp)",
            f"CREATE UNIQUE INDEX {_IDENTITY} ON {TABLE} {_keys(_PREPARED_IDENTITY)}",
            *indexes.values(),
            *own_keys,
            f"ALTER TABLE {TABLE} ATTACH PARTITION {HISTORY} "
            f"FOR VALUES FROM (MINVALUE) TO ({month.since})",
            f"ALTER TABLE {HISTORY} DROP CONSTRAINT {check}",
            f"CREATE TABLE {REST} PARTITION OF {TABLE} DEFAULT",
        )
        grants.copy(HISTORY, TABLE)


def _make_history(indexes: dict[str, str]) -> None:
    """Of the table as it is: other names, and the keys that a part must have."""
    run(
        f"ALTER TABLE {TABLE} RENAME TO {HISTORY}",
        f"ALTER TABLE {HISTORY} ALTER id DROP IDENTITY",
        f"ALTER TABLE {HISTORY} DROP CONSTRAINT {_KEY}",
        f"DROP INDEX {_IDENTITY}",
        f"ALTER TABLE {HISTORY} ADD CONSTRAINT {HISTORY}_pkey "
        "PRIMARY KEY USING INDEX entry_by_id_history",
        *(f"ALTER INDEX {quoted(name)} RENAME TO {quoted(_renamed(name))}" for name in indexes),
    )


def _renamed(name: str) -> str:
    return f"{name[:55]}_history"


def _indexes() -> dict[str, str]:
    """Those that are not unique, by name: how each is made."""
    found = rows(
        "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c "
        "ON c.oid = indexrelid WHERE indrelid = to_regclass(%s) AND NOT indisunique",
        [TABLE],
    )
    return dict(found)


def _own_foreign_keys() -> list[str]:
    found = rows(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conrelid = to_regclass(%s) AND contype = 'f'",
        [TABLE],
    )
    return [f"ALTER TABLE {TABLE} ADD CONSTRAINT {quoted(n)} {made}" for n, made in found]
