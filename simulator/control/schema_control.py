"""Operations on the objects of the org and their fields.

An operation's docstring is its description in `--help` and in the documentation.
"""

from simulator.control.org_control import published
from simulator.control.requests import Body, ControlError
from simulator.org.catalogue import Entity, RollUp
from simulator.org.conversion import convert
from simulator.org.fields import Field
from simulator.org.formulas import Formula
from simulator.org.org import Org
from simulator.org.records import JsonObject
from simulator.simulator import Simulator

ROLLUP_FUNCTIONS = ("count", "sum", "min", "max")


def entities(sim: Simulator, body: Body) -> JsonObject:
    """Add an object, or change its fields, selection and visibility."""
    org = sim.org
    entity = org.catalogue.define(body.text("name"), body.text("prefix", ""))
    entity.selected = body.flag("selected", default=entity.selected)
    entity.visible = body.flag("visible", default=entity.visible)
    entity.replicateable = body.flag("replicateable", default=entity.replicateable)
    entity.has_bulk = body.flag("bulk", default=entity.has_bulk)
    for field, kind in body.mapping("fields", {}).items():
        org.add_field(entity, field, str(kind))
    for field, referred in body.mapping("references", {}).items():
        parent = org.catalogue.get(str(referred)).name
        relationship = field.removesuffix("c") + "r"
        org.define_field(
            entity, Field(field, "reference", refers_to=(parent,), relationship=relationship)
        )
    for field in body.texts("external_ids"):
        org.add_external_id(entity, field)
    for field, definition in body.mapping("formulas", {}).items():
        _add_formula(entity, field, Body(definition, f"the formula {field!r}"))
    for field, definition in body.mapping("rollups", {}).items():
        _add_rollup(org, entity, field, Body(definition, f"the roll-up {field!r}"))
    if body.has("hidden"):
        entity.hidden = body.texts("hidden")
    return {
        "name": entity.name,
        "prefix": entity.prefix,
        "selected": entity.selected,
        "visible": entity.visible,
        "external_ids": list(entity.external_ids),
        "formulas": list(entity.formulas),
        "rollups": list(entity.rollups),
        "hidden": list(entity.hidden),
    }


def _add_formula(entity: Entity, name: str, body: Body) -> None:
    formula = Formula(body.text("formula"), body.text("type", "string"))
    body.done()
    entity.formulas[name] = formula
    entity.added += (
        Field(name, formula.kind, is_calculated=True, is_writable=False, formula=formula.text),
    )


def _add_rollup(org: Org, entity: Entity, field: str, body: Body) -> None:
    rollup = RollUp(
        org.catalogue.get(body.text("entity")).name,
        body.text("reference"),
        body.text("function"),
        body.text("field", ""),
    )
    body.done()
    if rollup.function not in ROLLUP_FUNCTIONS:
        known = ", ".join(ROLLUP_FUNCTIONS)
        raise ControlError(f"unknown function {rollup.function!r}; known are {known}")
    org.define_field(entity, Field(field, "double", is_calculated=True, is_writable=False))
    entity.rollups[field] = rollup


def field_types(sim: Simulator, body: Body) -> JsonObject:
    """Change the type of a field, and convert the values of all records."""
    entity = sim.org.catalogue.get(body.text("entity"))
    changes = convert(sim.org, entity, body.text("field"), body.text("type"))
    body.done()
    return published(sim.org.commit(changes, now=sim.clock.now()))
