"""Every migration of the product, taken one by one with the executor that `migrate` has."""

from dataclasses import dataclass

from django.db import connections
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState

from tests.upgrades.rows import APPS


@dataclass
class Step:
    migration: Migration
    before: ProjectState

    @property
    def is_later(self) -> bool:
        """Whether it is of the product, and changes what an installation has."""
        return self.migration.app_label in APPS and not self.migration.initial

    def __str__(self) -> str:
        return f"{self.migration.app_label}.{self.migration.name}"


class Steps:
    """`state`: as the database is now."""

    def __init__(self, alias: str) -> None:
        self._executor = MigrationExecutor(connections[alias])
        graph = self._executor.loader.graph
        # Each app's first, and all of Django's own, before the product's others: the way back ends
        # there.
        first = [key for app in APPS for key in graph.root_nodes(app)]
        others = [key for key in graph.leaf_nodes() if key[0] not in APPS]
        leaves = [key for app in APPS for key in graph.leaf_nodes(app)]
        plan = self._executor.migration_plan([*first, *others, *leaves])
        self.plan = [migration for migration, _ in plan]
        self.state = ProjectState(real_apps=self._executor.loader.unmigrated_apps)
        # Rendered once: what is made of it is rendered in part.
        self.apps = self.state.apps

    def forwards(self, migration: Migration) -> Step:
        step = Step(migration, self.state.clone())
        self._now(self._executor.apply_migration(self.state, migration))
        return step

    def backwards(self, step: Step) -> None:
        self._executor.unapply_migration(step.before, step.migration)
        self._now(step.before.clone())

    def _now(self, state: ProjectState) -> None:
        self.state, self.apps = state, state.apps
