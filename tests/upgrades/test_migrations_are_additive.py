"""A migration leaves what an older version of the product needs, or says when that stopped."""

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from audit.index_operations import AddFieldAtOnce, AddIndexOnline
from tests.upgrades.additive import findings
from tests.upgrades.rows import APPS

#: What is refused otherwise, by migration: each finding with the release whose code stopped using
#: what it takes away.
LISTED: dict[str, dict[str, str]] = {
    "handlers.0017_mapping_names": {
        "Create constraint mapping_name_once_a_listener on model handlermapping: what an older "
        "version writes may break it": "an older version writes no names",
    },
}
#: No installation of a release has an older version beside these.
BEFORE_THE_FIRST_RELEASE = {
    *("listeners.0002_settings", "listeners.0003_nothing_lost", "listeners.0004_pubsub"),
    *("listeners.0005_sensitive_fields", "audit.0003_nothing_lost", "audit.0004_audit_log_search"),
    *("audit.0008_indexes_for_writing", "handlers.0001_initial"),
    *("audit.0010_incidents_of_no_listener", "audit.0012_found_out_index"),
    "handlers.0002_mapping_conditions",
    *("handlers.0003_nothing_lost", "handlers.0012_indexes_for_writing"),
    "handlers.0019_remove_delivery_shares",
}


def _found() -> dict[str, list[str]]:
    loader = MigrationLoader(None)
    leaves = [key for app in APPS for key in loader.graph.leaf_nodes(app)]
    plan = loader.graph._generate_plan(leaves, at_end=True)
    state, found = ProjectState(), {}
    for key in plan:
        migration = loader.graph.nodes[key]
        if migration.app_label in APPS:
            found[".".join(key)] = list(findings(migration, state))
        state = migration.mutate_state(state, preserve=False)
    return found


def test_no_migration_takes_from_older_versions_what_they_need():
    new = [
        f"{key}: {finding}"
        for key, found in _found().items()
        for finding in found
        if key not in BEFORE_THE_FIRST_RELEASE and finding not in LISTED.get(key, {})
    ]

    assert not new, "\n".join(new)


def test_what_is_listed_is_there():
    found = _found()

    assert {key: sorted(found[key]) for key in LISTED} == {
        key: sorted(listed) for key, listed in LISTED.items()
    }
    assert {key for key in BEFORE_THE_FIRST_RELEASE if not found.get(key)} == set()


def _delivery(**fields) -> ProjectState:
    state = ProjectState()
    columns = {"id": models.BigAutoField(primary_key=True), **fields}
    options = {"constraints": [models.UniqueConstraint(fields=["id"], name="delivery_once")]}
    state.add_model(ModelState("handlers", "Delivery", list(columns.items()), options))
    return state


def _migration(*operations, atomic=True):
    made = migrations.Migration("0099_made", "handlers")
    made.operations, made.atomic = list(operations), atomic
    return made


_CODE = models.CharField(max_length=9, unique=True)
_NAME = models.CharField(max_length=20, null=True, choices=[("a", "A"), ("b", "B")])
_ENTRY = models.ForeignKey("audit.auditlogentry", models.CASCADE, null=True)
_INDEX = models.Index(fields=["name"], name="delivery_name")
_CHECK = models.CheckConstraint(condition=models.Q(name="a"), name="delivery_named")


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (migrations.RemoveField("delivery", "name"), "still asks"),
        (migrations.RenameField("delivery", "name", "title"), "still asks"),
        (migrations.DeleteModel("Delivery"), "still asks"),
        (migrations.AlterModelTable("delivery", "other"), "still asks"),
        (migrations.AddField("delivery", "more", models.IntegerField(default=0)), "db_default"),
        (
            migrations.AlterField("delivery", "name", models.CharField(max_length=20, default="")),
            "NULL",
        ),
        (
            migrations.AlterField("delivery", "name", models.CharField(max_length=9, null=True)),
            "shorter",
        ),
        (migrations.AlterField("delivery", "name", models.TextField(null=True)), "another type"),
        (
            migrations.AlterField(
                "delivery",
                "name",
                models.CharField(max_length=20, null=True, choices=[("a", "A")]),
            ),
            "may write b",
        ),
        (
            migrations.AlterField(
                "delivery", "name", models.CharField(max_length=20, null=True, unique=True)
            ),
            "twice",
        ),
        (migrations.AlterField("delivery", "code", models.CharField(max_length=9)), "ON CONFLICT"),
        (migrations.AddConstraint("delivery", _CHECK), "may break it"),
        (migrations.RemoveConstraint("delivery", "delivery_once"), "ON CONFLICT"),
        (migrations.RunSQL("DROP TABLE one", "CREATE TABLE one (id int)"), "not seen here"),
        (migrations.SeparateDatabaseAndState(), "not seen here"),
        (migrations.AddIndex("delivery", _INDEX), "AddIndexOnline"),
        (
            migrations.AddField(
                "delivery", "more", models.IntegerField(db_default=0, db_index=True)
            ),
            "its index holds",
        ),
        (migrations.AddField("delivery", "entry", _ENTRY), "partitioned"),
        (migrations.CreateModel("New", [("entry", _ENTRY)]), "partitioned"),
        (migrations.RunPython(print), "taken back"),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, str) else one,
)
def test_what_takes_something_away_is_found(operation, why):
    found = list(findings(_migration(operation), _delivery(name=_NAME, code=_CODE)))

    assert [one for one in found if why in one], found


@pytest.mark.parametrize("add", [migrations.AddField, AddFieldAtOnce])
def test_outside_a_transaction_each_step_needs_one(add):
    adding = add("delivery", "more", models.IntegerField(db_default=0))

    found = list(findings(_migration(adding, atomic=False), _delivery(name=_NAME)))

    assert bool(found) == (add is migrations.AddField)


def test_what_only_adds_is_not_found():
    harmless = [
        AddFieldAtOnce("delivery", "more", models.IntegerField(db_default=0)),
        AddIndexOnline("delivery", _INDEX),
        migrations.CreateModel("New", [("id", models.BigAutoField(primary_key=True))]),
        migrations.AddField("new", "name", models.CharField(max_length=20)),
        migrations.AlterField("delivery", "name", models.CharField(max_length=30, null=True)),
    ]

    assert list(findings(_migration(*harmless), _delivery(name=_NAME))) == []
