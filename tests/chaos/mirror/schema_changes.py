"""The administrators' changes in the middle of a run: a field is added, one is hidden and shown
again, and two get another type."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulator.control_client import ControlClient

HIDDEN = ("Account", "Website")
#: Fields whose values change without an event: only a verification finds them.
SILENT = {
    "Account": frozenset({"Website", "Score__c", "Is_Key__c"}),
    "Contact": frozenset({"Birthdate"}),
    "Employee__c": frozenset({"Tenure__c"}),
}


class SchemaChanges:
    """Schema changes, each at a given part of the run; `due` makes those that are due.

    No event says that a field is hidden, and no later event carries it. The field is shown again
    only after the mirror has noticed, which `is_noticed` returns.
    """

    def __init__(self, org: ControlClient, is_noticed: Callable[[], bool]) -> None:
        self.done: list[str] = []
        self._org, self._is_noticed = org, is_noticed
        self._left: list[tuple[float, Callable[[], object]]] = [
            (0.35, self.add_fields),
            (0.45, self.hide_a_field),
            (0.55, self.convert_a_number_to_text),
            (0.6, self.convert_a_date_to_a_time),
            (0.75, self.show_the_field_again),
        ]

    def due(self, part: float) -> None:
        while self._left and self._left[0][0] <= part:
            if self._left[0][1] == self.show_the_field_again and not self._is_noticed():
                return
            _, change = self._left.pop(0)
            change()
            self.done.append(change.__name__.replace("_", " "))

    @property
    def is_over(self) -> bool:
        return not self._left

    def add_fields(self) -> None:
        self._org.entity("Account", fields={"Score__c": "double", "Is_Key__c": "boolean"})

    def hide_a_field(self) -> None:
        self._org.entity(HIDDEN[0], hidden=[HIDDEN[1]])

    def show_the_field_again(self) -> None:
        self._org.entity(HIDDEN[0], hidden=[])

    def convert_a_number_to_text(self) -> None:
        self._org.field_type("Employee__c", "Tenure__c", "string")

    def convert_a_date_to_a_time(self) -> None:
        self._org.field_type("Contact", "Birthdate", "datetime")
