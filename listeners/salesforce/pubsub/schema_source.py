"""Schemas of a subscription's events: cached, or requested on first use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import CancelledError

from listeners.salesforce.errors import StreamClosed
from listeners.salesforce.pubsub.event_loop import LOOP
from listeners.salesforce.pubsub.rpc import Calls
from listeners.salesforce.pubsub.rpc_errors import CallFailed
from listeners.salesforce.pubsub.schemas import Schema, missing_schema, parse_schema


class SchemaSource:
    """The schemas of a subscription. For use on the polling thread only."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        # Not cached for longer, because Salesforce may know these schemas later.
        self._missing: dict[str, Schema] = {}

    def get(self, schema_id: str) -> Schema:
        """Return a schema, with a ``flaw`` if Salesforce does not know it.

        Raises ``SalesforceError`` for any other failure.
        """
        known = self._missing.get(schema_id) or SCHEMAS.get(self._calls.org_id, schema_id)
        if known is not None:
            return known
        try:
            text = LOOP.submit(self._calls.schema(schema_id)).result()
        except CancelledError:
            raise StreamClosed from None
        if isinstance(text, CallFailed):
            why = f"{text.details} ({text.code})" if text.code else text.details
            return self._missing.setdefault(schema_id, missing_schema(schema_id, why))
        schema = parse_schema(schema_id, text)
        SCHEMAS.put(self._calls.org_id, schema_id, schema)
        return schema


MOST = 500
MOST_CHARACTERS = 64 * 1024 * 1024  # of JSON text


class SchemaCache:
    """A cache of the most recently used schemas of all orgs. Thread-safe."""

    def __init__(self, most: int = MOST, most_characters: int = MOST_CHARACTERS) -> None:
        self._most = most
        self._most_characters = most_characters
        self._characters = 0
        self._guard = threading.Lock()
        self._schemas: OrderedDict[tuple[str, str], Schema] = OrderedDict()

    def get(self, org_id: str, schema_id: str) -> Schema | None:
        with self._guard:
            schema = self._schemas.get((org_id, schema_id))
            if schema is not None:
                self._schemas.move_to_end((org_id, schema_id))
            return schema

    def put(self, org_id: str, schema_id: str, schema: Schema) -> None:
        with self._guard:
            self._forget(self._schemas.pop((org_id, schema_id), None))
            self._schemas[org_id, schema_id] = schema
            self._characters += len(schema.text or "")
            while len(self._schemas) > self._most or (
                self._characters > self._most_characters and len(self._schemas) > 1
            ):
                self._forget(self._schemas.popitem(last=False)[1])

    def _forget(self, schema: Schema | None) -> None:
        self._characters -= len(schema.text or "") if schema else 0


SCHEMAS = SchemaCache()
