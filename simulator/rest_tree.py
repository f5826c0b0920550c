"""`/composite/tree/{Entity}`: records and their children created together, or none of them."""

from dataclasses import dataclass

from simulator.clock import Clock
from simulator.org import Org
from simulator.records import JsonObject
from simulator.rest_errors import RestError
from simulator.rest_messages import RestAnswer, RestRequest, objects_of
from simulator.rest_records import Records, changed_id

MAX_RECORDS = 200


class _Refused(Exception):
    """A record of the tree cannot be created."""


@dataclass(frozen=True, slots=True)
class Trees:
    """The resource."""

    org: Org
    clock: Clock

    def create(self, request: RestRequest) -> RestAnswer:
        """`POST`."""
        records = objects_of(request.json(), "records")
        if not 0 < len(records) <= MAX_RECORDS:
            raise RestError("LIMIT_EXCEEDED", f"a tree has 1 to {MAX_RECORDS} records at its top")
        growth = _Growth(Records(self.org, request.version), self.org, self.clock.now(), request)
        try:
            with self.org.all_or_none(now=growth.now, writer=request.writer):
                for record in records:
                    growth.add(record, {})
                if growth.refused:
                    raise _Refused
        except _Refused:
            return RestAnswer({"hasErrors": True, "results": growth.refused}, 400)
        return RestAnswer({"hasErrors": False, "results": growth.made}, 201)


class _Growth:
    """Goes through a tree from its top, parents before their children."""

    def __init__(self, records: Records, org: Org, now: int, request: RestRequest) -> None:
        self._records = records
        self._org = org
        self._writer = request.writer
        self.now = now
        self.made: list[JsonObject] = []
        self.refused: list[JsonObject] = []

    def add(self, record: JsonObject, parent: JsonObject) -> None:
        """Create a record, and what hangs on it."""
        attributes = record.get("attributes")
        told = attributes if isinstance(attributes, dict) else {}
        entity, reference = str(told.get("type", "")), str(told.get("referenceId", ""))
        fields = {name: one for name, one in record.items() if not _has_children(one)}
        try:
            change = self._records.creation(entity, {**fields, **parent})
        except RestError as refused:
            self.refused.append({"referenceId": reference, "errors": [refused.line()]})
            return
        self._org.commit([change], now=self.now, writer=self._writer)
        self.made.append({"referenceId": reference, "id": changed_id(change)})
        for children in filter(_has_children, record.values()):
            for child in objects_of(children, "records"):
                self.add(child, {f"{entity}Id": changed_id(change)})


def _has_children(value: object) -> bool:
    return isinstance(value, dict) and "records" in value
