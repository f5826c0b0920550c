"""Measures the storage that a change takes in PostgreSQL: entry, delivery, attempt and indexes."""

from __future__ import annotations

from benchmarks.databases import Database
from benchmarks.end_to_end import product
from benchmarks.figures import Figure, Report
from benchmarks.org import org_with
from benchmarks.stage import Stage

_TABLES = ("audit_auditlogentry", "handlers_delivery", "handlers_deliveryattempt")
#: All parts in one row: the table itself (with what is stored outside it), and its indexes.
_PARTS = """
SELECT json_object_agg(part, size ORDER BY size DESC) FROM (
    SELECT t.relname || ', its rows' AS part, pg_table_size(t.oid) AS size
    FROM pg_class t WHERE t.relname IN {tables} AND t.relkind = 'r'
    UNION ALL
    SELECT i.relname, pg_relation_size(i.oid)
    FROM pg_class t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class i ON i.oid = x.indexrelid
    WHERE t.relname IN {tables} AND t.relkind = 'r'
) AS parts
"""


def measure(stage: Stage, report: Report, transport: str, changes: int) -> None:
    """Record and handle changes whose handler does nothing; measure the tables then, and once more
    without the space that earlier versions of the rows left."""
    with org_with(changes) as org, stage.run() as run:
        product(transport, org, changes, "bench.empty", run)
        written = _vacuumed(run.database, "VACUUM", changes)
        compact = _vacuumed(run.database, "VACUUM FULL", changes)
    sizes = {"as written": written, "compact": compact}
    for name, parts in sizes.items():
        for part, size in {"all": sum(parts.values()), **parts}.items():
            if size >= 1:
                report.figures.append(Figure(f"storage, {name}: {part}", "bytes/change", (size,)))


def _vacuumed(database: Database, command: str, changes: int) -> dict[str, float]:
    """Return the size of each part after the command, for one change."""
    for table in _TABLES:
        database.run(f"{command} {table}")
    found = database.row(_PARTS.format(tables=_TABLES))[0]
    return {name: size / changes for name, size in found.items()}
