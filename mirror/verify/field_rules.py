"""The rules by which the fields of a mirror's object are compared."""

from __future__ import annotations

from collections.abc import Mapping

from listeners.salesforce.rest.client import RestClient
from mirror.models import Difference, Mirror
from mirror.verify.compare import FieldRules


def rules_of(
    mirror: Mirror, rest: RestClient, types: Mapping[str, str], only: frozenset[str] | None = None
) -> FieldRules:
    """Return the rules for fields of these types. Raises what RestClient raises."""
    return FieldRules(
        types=types,
        uncarried=frozenset(rest.uncarried_fields(mirror.salesforce_object, rollups=False)),
        reasons={
            name: _reason(change)
            for name, change in mirror.field_changes.items()
            if change["is"] and not change["compared"]
        },
        only=only,
    )


def _reason(change: Mapping[str, object]) -> Difference.Reason:
    """Return why values of a field may differ after the change that `schema_changes` found."""
    is_new = not change.get("was")
    return Difference.Reason.NEW_FIELD if is_new else Difference.Reason.CONVERTED
