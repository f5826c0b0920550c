"""Schemas by their ids, which are fingerprints of what they say: one for a whole process."""

from __future__ import annotations

import threading
from collections import OrderedDict

from listeners.salesforce.pubsub.schemas import Schema

MOST = 500
MOST_CHARACTERS = 64 * 1024 * 1024  # of their JSON texts


class SchemaCache:
    """Of each org the schemas that were used last. Thread-safe."""

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
