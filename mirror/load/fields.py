"""The fields of an object that a load reads, by the object's description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mirror.runs import RunFailed

#: Types that Bulk API refuses: compounds, whose components are fields of their own, and values that
#: are no text.
_NOT_READ = frozenset({"address", "location", "base64", "complexvalue", "json", "junctionidlist"})
#: Times of the last modification, the best first.
_MODSTAMPS = ("SystemModstamp", "LastModifiedDate", "CreatedDate")
#: Longer queries are refused in a URL.
LONGEST_QUERY = 8_000


@dataclass(frozen=True)
class ReadFields:
    """The fields to read, `Id` first, and the types of all of the object's fields."""

    entity: str
    names: Sequence[str]
    types: Mapping[str, str]

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> ReadFields:
        """Return the readable fields of a described object. Raises RunFailed."""
        entity = str(description.get("name", ""))
        types = {
            str(field["name"]): str(field.get("type", "string"))
            for field in description["fields"]
            if isinstance(field, dict) and "name" in field
        }
        if "Id" not in types:
            raise RunFailed(
                f"{entity} has no field Id that the connection's user may read. Objects without "
                "ids cannot be mirrored."
            )
        names = sorted(
            name
            for name, kind in types.items()
            if kind.lower() not in _NOT_READ and name not in ("Id", "JunctionIdList")
        )
        return cls(entity, ["Id", *names], types)

    @property
    def fingerprint(self) -> str:
        """A text that differs when the object's fields or their types do."""
        text = json.dumps(sorted(self.types.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def modstamp(self) -> str | None:
        """The field by which modified records are found."""
        return next((name for name in _MODSTAMPS if name in self.types), None)

    @property
    def query(self) -> str:
        return f"SELECT {', '.join(self.names)} FROM {self.entity}"

    @property
    def has_archive(self) -> bool:
        """Whether the object can have archived records, which only queryAll returns (Task and
        Event)."""
        return {"IsArchived", "IsDeleted"} <= self.types.keys()

    @property
    def live_query(self) -> str:
        """The query of all records that are not deleted; for queryAll if there is an archive."""
        return f"{self.query} WHERE IsDeleted = FALSE" if self.has_archive else self.query

    @property
    def key_query(self) -> str:
        """The query of the fields that every row needs, for objects with many fields."""
        wanted = ("Id", "IsDeleted", "LastModifiedDate", self.modstamp)
        names = dict.fromkeys(name for name in wanted if name is not None and name in self.types)
        return f"SELECT {', '.join(names)} FROM {self.entity}"

    @property
    def is_wide(self) -> bool:
        """Whether the query of all fields does not fit in a URL."""
        return len(self.query) > LONGEST_QUERY
