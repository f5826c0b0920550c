"""Records as the integration user sees them: without hidden fields, with formulas."""

from simulator.org.catalogue import SETUP, Catalogue
from simulator.org.description import hidden_names
from simulator.org.records import JsonObject, Record
from simulator.org.relations import Relations
from simulator.org.rest_form import record_json


class View:
    """Shows records in the form of the REST API."""

    def __init__(self, catalogue: Catalogue, relations: Relations) -> None:
        self._catalogue = catalogue
        self._relations = relations

    def row(self, record: Record, version: str, *, deleted: bool = False) -> JsonObject:
        """Return all fields of the record that the user may see."""
        shown = record_json(record, version, deleted=deleted)
        entity = self._catalogue.entities.get(record.entity) or SETUP.get(record.entity)
        if entity is None:
            return shown
        for name, formula in entity.formulas.items():
            shown[name] = formula.value(lambda path: self._value(record, shown, path))
        if entity.hidden:
            hidden = hidden_names(entity)
            return {name: value for name, value in shown.items() if name not in hidden}
        return shown

    def _value(self, record: Record, shown: JsonObject, path: str) -> object:
        relationship, _, name = path.rpartition(".")
        if not relationship:
            return shown.get(name)
        parent = self._relations.parent(record, relationship)
        return record_json(parent, "").get(name) if parent else None
