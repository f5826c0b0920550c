"""Make destinations match the file. One that is not in the file is removed only with `--prune`, and
only if no mapping uses it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from consumer.configuration.desired_state import Item, Wanted
from consumer.configuration.errors import Problems
from consumer.configuration.model_diff import Step, row_steps
from consumer.configuration.schema import DESTINATION, DESTINATION_KEY
from handlers.models import Destination, HandlerMapping


class Destinations:
    """The destinations of the file and of the database, by name, as they will be. Locks the stored
    ones, inside the caller's transaction."""

    def __init__(self, wanted: Wanted, problems: Problems) -> None:
        self._wanted = wanted.destinations
        self._problems = problems
        rows = Destination.objects.select_for_update(no_key=True).order_by("id")
        #: By name; those that the file adds are not stored yet.
        self.rows = {row.name: row for row in rows}

    def steps(self) -> list[Step]:
        """Return the steps that add and change destinations, before the mappings that use them."""
        return [
            step
            for name, item in self._wanted.items()
            for step in row_steps(
                self.rows.setdefault(name, Destination(name=name)),
                f"destination {name}",
                DESTINATION,
                item,
                self._problems,
            )
        ]

    def removals(
        self, handlers: Iterable[Item], before: Sequence[Step]
    ) -> tuple[list[Step], list[str]]:
        """Return the steps that remove the destinations that the file does not name, and a line for
        each that is kept because mappings use it. `handlers` are those of the file, and `before`
        are the steps taken first."""
        changed = [step.row for step in before if isinstance(step.row, HandlerMapping)]
        named = {item.values.get(DESTINATION_KEY) for item in handlers}
        steps: list[Step] = []
        kept: list[str] = []
        for name, row in self.rows.items():
            if name in self._wanted:
                continue
            users = row.users(leaving=[m.pk for m in changed if m.pk and m.destination != row])
            if name in named or users:
                used = f"used by {'; '.join(users) or 'the file'}"
                kept.append(
                    f"destination {name} is kept: {used}; apply the file again when nothing does"
                )
            else:
                steps.append(Step(f"- destination {name}", row.delete, row))
        return steps, kept


def as_wanted(wanted: Wanted) -> dict[str, Destination]:
    """Return the destinations of the file, unsaved, by name; without those with errors."""
    return {
        name: Destination(**item.values)
        for name, item in wanted.destinations.items()
        if not item.refused_keys
    }
