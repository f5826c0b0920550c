"""Schemas by their ids, which are fingerprints of what they say: one for a whole process."""

from __future__ import annotations

import threading
from collections import OrderedDict

from listeners.salesforce.pubsub.schemas import Schema

MOST = 500


class SchemaCache:
    """Of each org the schemas that were used last. Thread-safe."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
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
            self._schemas[org_id, schema_id] = schema
            self._schemas.move_to_end((org_id, schema_id))
            while len(self._schemas) > self._most:
                self._schemas.popitem(last=False)


SCHEMAS = SchemaCache()
