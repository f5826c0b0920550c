"""Who may read the table may read what takes its place."""

from __future__ import annotations

from audit.partitions.table import quoted, rows, run

_GRANTS = """
SELECT format('GRANT %%s ON TABLE %%s TO %%s%%s', privilege_type, %(to)s,
    CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class, aclexplode(relacl) WHERE oid = to_regclass(%(of)s) AND grantee <> relowner
UNION ALL
SELECT format('ALTER TABLE %%s OWNER TO %%s', %(to)s, relowner::regrole)
FROM pg_class WHERE oid = to_regclass(%(of)s) AND relowner <> current_user::regrole
"""


def copy(of: str, to: str) -> None:
    """Inside the caller's transaction, which has made the second table."""
    statements = rows(_GRANTS, {"of": of, "to": quoted(to)})
    run(*(statement for (statement,) in statements))
