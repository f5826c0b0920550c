"""Named points on the way of a change, where a test can have its process killed, paused or cut off.

Nothing happens there otherwise: production pays for a call of an empty function.
"""

from __future__ import annotations


def reach(milestone: str) -> None:
    """Called as `crash_points.reach(name)`, so that a test's settings can put another in its place.

    In the order of a change: `subscribed` (where it begins is not written yet), `received`,
    `recording` (the transaction is open, nothing written), `recorded` (written, not committed),
    `committed`, `sent` (to the broker, not marked), `published`; in a worker `claimed`, `handled`
    (the handler returned), `settled` (written, not committed), `ended`; in the relay `promoted`
    (a stranded chain goes on; not committed); beside the stream `read` (records over REST) and
    `added` (written, not committed), and `redelivered` (a step of a redelivery; not published);
    `skipped` (what waits for a deleted mapping, a step; not committed).
    """
