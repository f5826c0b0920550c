"""The places of a snapshot at which a query can find rows."""

from collections.abc import Sequence
from heapq import merge
from itertools import groupby

from simulator.org.record_store import Snapshot
from simulator.org.seeded_rows import SeededIds, SeededRows
from simulator.rest.row_scan import Scan


def candidates(snapshot: Snapshot, scan: Scan) -> Sequence[int]:
    """Return places that include every row of the query, in order.

    Calculated rows that have not changed are chosen by the bounds of the query. It has to be called
    at the moment of the snapshot.
    """
    rows, ids = snapshot.live, snapshot.ids
    if not (isinstance(rows, SeededRows) and isinstance(ids, SeededIds)):
        return range(len(ids))
    within = scan.indexes(rows.seed)
    if len(within) == rows.seed.count:
        return range(len(ids))
    unchanged = range(ids.place_of(within.start), ids.place_of(within.stop))
    written = sorted(ids.place_of(index) for index in rows.written)
    others = range(ids.place_of(rows.seed.count), len(ids))
    return [place for place, _ in groupby(merge(unchanged, written, others))]
