"""Named points in the processing of a change, where tests kill, pause or disconnect the process.

In production a crash point is a call of an empty function.
"""

from __future__ import annotations


def reach(name: str) -> None:
    """Do nothing. Call it as `crash_points.reach(name)`: tests replace the function.

    The names, in the order in which a change passes them:

    subscribed    the start position is not stored yet
    received
    recording     the transaction is open, nothing is written
    writing       rows are being copied to PostgreSQL
    recorded      written, not committed
    committed
    sent          to the broker, not marked as sent
    published
    claimed       by a worker
    handled       the handler returned
    settled       the result is written, not committed
    ended
    claimed_to_send  a tracked external task, whose message is not sent
    reports_read  reports of external tasks were read, nothing is settled
    reported      the end of an external task is settled, its report not acknowledged
    mirroring     the mirror's rows are written, not committed
    marking       the mirror's rows are committed, its records to read again are not
    mirrored      the mirror has applied the change, and the deliveries after it still wait
    job_created   by a load: a query job, whose id is not stored
    rows_written  by a load: a part of a page
    page_read     by a load: a page, and the place of the next
    loaded        all pages of a load
    page_swept    by a sweep: a page
    promoted      by the relay: the next delivery of a stranded chain is ready, not committed
    read          records were read over REST
    added         a backfilled entry is written, not committed
    redelivered   a step of a redelivery, not published
    skipped       a step of skipping the deliveries of a deleted mapping, not committed
    """
