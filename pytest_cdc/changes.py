"""A change as a test describes it → the message with which Salesforce tells of it. Pure but for
the clock and new ids."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

from handlers.routing import GAPS, ON
from simulator.catalogue import Catalogue, UnknownEntityError
from simulator.ids import OpaqueIds, RecordIds, with_checksum

Source = Literal["stream", "gap", "reconcile"]
_CHANGE_TYPES = {on: change_type for change_type, on in ON.items()}
_ID = re.compile(r"[A-Za-z0-9]{15}([A-Za-z0-9]{3})?")
_ENTITY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
#: Of entities that the simulated org does not begin with.
_PREFIXES = {
    **{"User": "005", "Lead": "00Q", "Task": "00T", "Event": "00U", "Product2": "01t"},
    **{"Asset": "02i", "Campaign": "701", "Contract": "800", "Order": "801"},
}
_catalogue = Catalogue()
_record_ids = RecordIds(random.Random())
_opaque_ids = OpaqueIds(random.Random())
_numbers = itertools.count(1)
_USER = with_checksum("0055g00000AbCdE")
_API = "com/salesforce/api/rest/67.0"


class WrongChange(ValueError):
    """Salesforce tells of no such change; the message says what to write instead."""


class Described(TypedDict, total=False):
    """What a test may say of a change, each with what a real one has where it does not.

    changed          the fields and their values, in the form of `changed_data`; None: cleared
    source           `gap`: read over REST after a gap event; `reconcile`: found by a comparison
    changed_fields   and the other two lists: in place of those that follow from `changed`; None:
                     left out, as CometD may
    client           who wrote it: `client=…` of its change origin; `origin`: all of that
    user             the id of the user who made it
    transaction_key  and `sequence_number`: its place in a transaction
    committed_at     when it was made; aware
    """

    changed: Mapping[str, Any]
    source: Source
    changed_fields: Sequence[str] | None
    nulled_fields: Sequence[str] | None
    diff_fields: Sequence[str] | None
    client: str
    origin: str
    user: str
    transaction_key: str
    sequence_number: int
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """The same change of some records of an entity."""

    entity: str
    change_type: str
    record_ids: tuple[str, ...]
    said: Described
    committed_at: datetime
    transaction_key: str
    sequence_number: int

    @classmethod
    def of(cls, entity: str, on: str, record_ids: Sequence[str], said: Described) -> Change:
        """Raises WrongChange. No record ids: one that is new."""
        change_type = _CHANGE_TYPES.get(on, on)
        _check(entity, change_type, said)
        ids = tuple(_checked(one) for one in record_ids) or (new_record_id(entity),)
        committed_at = said.get("committed_at") or datetime.now(UTC)
        if committed_at.tzinfo is None:
            raise WrongChange("committed_at: give a time with a time zone, such as UTC.")
        key = said.get("transaction_key") or _opaque_ids.transaction_key()
        number = said.get("sequence_number", 1)
        return cls(entity, change_type, ids, said, committed_at, key, number)

    @property
    def source(self) -> Source:
        return self.said.get("source", "stream")

    @property
    def body(self) -> dict[str, Any]:
        """Its fields, with those that Salesforce sends beside them."""
        changed = dict(self.said.get("changed") or {})
        if self.change_type == "DELETE" or self.change_type in GAPS:
            return changed
        now, user = f"{self.committed_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}", self._user
        if self.change_type == "UPDATE" and self.source == "stream":
            return {"LastModifiedDate": now, **changed}
        made = {"CreatedDate": now, "CreatedById": user}
        return {**made, "LastModifiedDate": now, "LastModifiedById": user, **changed}

    @property
    def commit_ms(self) -> int:
        return round(self.committed_at.timestamp() * 1000)

    def message(self, channel: str) -> dict[str, Any]:
        """As the Streaming API sends it; of one that came otherwise, the gap event."""
        is_gap = self.source == "gap"
        body = {} if is_gap else self.body
        header = {
            "entityName": self.entity,
            "recordIds": list(self.record_ids),
            "changeType": f"GAP_{self.change_type}" if is_gap else self.change_type,
            "changeOrigin": self._origin,
            "transactionKey": self.transaction_key,
            "sequenceNumber": self.sequence_number,
            "commitTimestamp": self.commit_ms,
            "commitNumber": 10_826_208_028_536 + next(_numbers),
            "commitUser": self._user,
            **self._lists(body),
        }
        event = {"replayId": 37_904_280 + next(_numbers), "EventUuid": _opaque_ids.event_uuid()}
        payload = {**body, "ChangeEventHeader": header}
        return {"channel": channel, "data": {"payload": payload, "event": event}}

    @property
    def _origin(self) -> str:
        client = self.said.get("client")
        return self.said.get("origin") or (f"{_API};client={client}" if client else _API)

    @property
    def _user(self) -> str:
        return self.said.get("user") or _USER

    def _lists(self, body: Mapping[str, Any]) -> dict[str, list[str]]:
        named = list(_named(body)) if self.change_type == "UPDATE" else []
        lists: dict[str, Sequence[str] | None] = {
            "changedFields": [name for name, _ in named],
            "nulledFields": [name for name, value in named if value is None],
            "diffFields": [name for name, value in named if _is_diff(value)],
        }
        if "changed_fields" in self.said:
            lists["changedFields"] = self.said["changed_fields"]
        if "nulled_fields" in self.said:
            lists["nulledFields"] = self.said["nulled_fields"]
        if "diff_fields" in self.said:
            lists["diffFields"] = self.said["diff_fields"]
        return {name: list(names) for name, names in lists.items() if names is not None}


def new_record_id(entity: str) -> str:
    """An id as a new record of that entity has it, 18 characters."""
    try:
        known = _catalogue.get(entity)
    except UnknownEntityError:
        known = _catalogue.define(entity, _PREFIXES.get(entity, ""))
    return _record_ids.next(known.prefix)


def _named(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields as the header's lists name them, of a compound field its parts."""
    for name, value in body.items():
        if isinstance(value, Mapping) and not _is_diff(value):
            yield from ((f"{name}.{part}", one) for part, one in value.items())
        else:
            yield name, value


def _is_diff(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"diff"}


def _checked(record_id: str) -> str:
    if not _ID.fullmatch(record_id):
        raise WrongChange(
            f"record_id={record_id!r}: a Salesforce id has 15 or 18 letters and digits; leave it "
            "out for a new one."
        )
    return record_id if len(record_id) == 18 else with_checksum(record_id)


def _check(entity: str, change_type: str, said: Described) -> None:
    what = f"cdc_event({entity!r}, {change_type!r})"
    if unknown := said.keys() - Described.__annotations__.keys():
        known = ", ".join(["record_id", *Described.__annotations__])
        raise WrongChange(f"{what}: there is no {', '.join(sorted(unknown))}; say {known}.")
    if not _ENTITY.fullmatch(entity):
        raise WrongChange(f"{what}: give the object's API name, such as Account or Employee__c.")
    if change_type not in ON and change_type not in GAPS:
        kinds = ", ".join([*_CHANGE_TYPES, *GAPS])
        raise WrongChange(f"{what}: no handler gets such a change; say one of {kinds}.")
    if said.get("source", "stream") not in ("stream", "gap", "reconcile"):
        raise WrongChange(f"{what}: source is stream, gap or reconcile, not {said['source']!r}.")
    if change_type in GAPS and said.get("source", "stream") != "stream":
        raise WrongChange(f"{what}: a gap event itself comes from the stream; leave source out.")
    _check_body(what, change_type, said.get("changed"))


def _check_body(what: str, change_type: str, changed: Mapping[str, Any] | None) -> None:
    if change_type == "DELETE" or change_type in GAPS:
        if changed:
            raise WrongChange(f"{what}: such an event carries no fields; leave changed out.")
        return
    if change_type == "UPDATE":
        if not changed:
            raise WrongChange(
                f"{what}: an update carries the fields that changed; say which, such as "
                'changed={"Name": "New"}.'
            )
        return
    if empty := [name for name, value in (changed or {}).items() if value is None]:
        raise WrongChange(
            f"{what}: it carries only fields that are not empty; leave out {', '.join(empty)}."
        )
