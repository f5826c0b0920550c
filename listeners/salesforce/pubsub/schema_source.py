"""The schemas of one subscription's events: known ones, or asked for when first seen."""

from __future__ import annotations

from concurrent.futures import CancelledError

from listeners.salesforce.errors import StreamClosed
from listeners.salesforce.pubsub.calls import Calls
from listeners.salesforce.pubsub.failures import Failure
from listeners.salesforce.pubsub.loop import LOOP
from listeners.salesforce.pubsub.schema_cache import SCHEMAS
from listeners.salesforce.pubsub.schemas import Schema, missing_schema, parse_schema


class SchemaSource:
    """Used on the thread that polls."""

    def __init__(self, org_id: str, calls: Calls) -> None:
        self._org_id = org_id
        self._calls = calls
        # They may be known later: the next subscription asks anew.
        self._missing: dict[str, Schema] = {}

    def get(self, schema_id: str) -> Schema:
        """One that Salesforce does not know has a flaw. Raises what else goes wrong."""
        known = self._missing.get(schema_id) or SCHEMAS.get(self._org_id, schema_id)
        if known is not None:
            return known
        text = self._fetched(schema_id)
        if isinstance(text, Failure):
            why = f"{text.details} ({text.code})" if text.code else text.details
            return self._missing.setdefault(schema_id, missing_schema(schema_id, why))
        schema = parse_schema(schema_id, text)
        SCHEMAS.put(self._org_id, schema_id, schema)
        return schema

    def _fetched(self, schema_id: str) -> str | Failure:
        try:
            return LOOP.submit(self._calls.schema(schema_id)).result()
        except CancelledError:
            raise StreamClosed from None
