"""What must hold at the end: every change is recorded once, and handled in order."""

from __future__ import annotations

from tests.chaos.external.effects import Log
from tests.chaos.run import recover
from tests.chaos.stage import HEARD
from tests.chaos.transports import BOTH, transport_of
from tests.chaos.verify import Change, Verdict, check_recording, entries_of, published, verify
from tests.faults.stage import Product

#: What further listeners receive: that of the external tasks and of the mirror, and a quiet one.
MORE = {"shop": frozenset({"Opportunity"}), "quiet": frozenset({"Lead"})}
#: How long nothing may move.
RECOVERY_SECONDS = 90.0
_STATES = """
SELECT d.state, count(*) FROM handlers_delivery d
JOIN audit_auditlogentry e ON e.id = d.entry_id
JOIN listeners_listener l ON l.id = e.listener_id
WHERE l.name = 'shop' GROUP BY d.state
"""


def judge(product: Product) -> dict[str, list[str]]:
    """End the traffic, let the product recover and stop it; return the violations by kind."""
    product.end_traffic()
    events = product.org.state(records=0)["events"]
    due = sum(len(published(events, heard)) for heard in (*HEARD.values(), *MORE.values()))
    left = recover(product, due, RECOVERY_SECONDS)
    mirrors = _differences(product)
    product.stop_services()
    with product.connect() as connection:
        verdict = verify(connection, events, BOTH)
        for name, heard in MORE.items():
            changes = published(events, heard, transport_of(name, BOTH))
            entries = {entry.id: entry for entry in entries_of(connection, name)}
            check_recording(verdict, name, changes, list(entries.values()))
        for state, count in connection.execute(_STATES).fetchall():
            if state != "succeeded":
                verdict.report(f"ended as {state}", f"{count} deliveries of the listener shop")
    _check_order(verdict, published(events, MORE["shop"]), Log.read(product.effects))
    for kind, text in (("not recovered", left), ("a mirror differs", mirrors)):
        if text:
            verdict.report(kind, text)
    for code in filter(None, product.exit_codes):
        verdict.report("a listener's exit code", code)
    return dict(verdict.violations)


def _differences(product: Product) -> str:
    try:
        product.manage("mirror", "verify", "crm.Opportunity", "--depth", "full", "--wait")
    except RuntimeError as error:
        return str(error)
    return ""


def _check_order(verdict: Verdict, changes: list[Change], log: Log) -> None:
    """Check that no external task began before one of an earlier change of its record had ended."""
    ended: dict[str, int] = {}
    for change in changes:
        key, number, _, record, _ = change.identity
        for run in log.runs.get((key, number, record), ())[:1]:
            if run.started < ended.get(record, 0):
                verdict.report("out of order", change)
            ended[record] = run.ended
