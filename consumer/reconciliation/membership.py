"""Whether the listener's channel lets an entity be compared.

Changes that the channel excludes must not be delivered by a comparison either: those of an entity
that is no member, and those of records that do not meet the member's filter.
"""

from __future__ import annotations

from audit.models import Reconciliation
from consumer.reconciliation.progress import Progress
from listeners.salesforce.channel_members import ChannelMembers


def is_admitted(
    job: Reconciliation, members: ChannelMembers, entity: str, progress: Progress
) -> bool:
    """Return whether to compare an entity; otherwise the progress has the reason.

    If the user may not see the members, or one of them is not recognized, the entity is compared:
    otherwise changes could stay lost without a word. Raises what RestClient raises.
    """
    coverage = members.coverage(entity)
    if coverage.is_carried is False:
        progress.leave_out(entity, f"the channel {members.channel} does not carry it")
        return False
    if coverage.filter and entity not in progress.unfiltered:
        progress.refuse_filtered(entity, _filtered(job, entity, coverage.filter))
        return False
    if coverage.is_carried is None:
        progress.doubts[entity] = coverage.unknown
    return True


def _filtered(job: Reconciliation, entity: str, expression: str) -> str:
    listener = job.listener
    return (
        f"not compared, because the channel {listener.channel} filters it ({expression}): the "
        "records as they are now do not show which changes met the filter. To compare all of its "
        "records, and also deliver changes that the filter excludes, run manage.py reconcile_cdc "
        f"--listener {listener.name} --entity {entity} --ignore-filter. Otherwise close the "
        "incident"
    )
