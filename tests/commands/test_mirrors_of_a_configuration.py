import pytest

from audit.models import OperatorAction
from handlers.models import HandlerMapping
from listeners.models import Listener
from mirror.models import Mirror
from tests.commands.running import CONNECTION

LISTENER = f"""{CONNECTION}
listeners:
  - name: crm
    connection: prod
"""
MIRRORS = f"""{LISTENER}
mirrors:
  - model: crm.Account
    listener: crm
"""
AT = len(MIRRORS.splitlines())


def test_a_new_mirror_has_mappings_and_its_first_load(file):
    output = file.apply(MIRRORS)

    assert output.lines[-1] == "+ mirror crm.Account by crm"
    mirror = Mirror.objects.get()
    assert (mirror.salesforce_object, mirror.deletes, mirror.verify) == ("Account", "soft", "daily")
    assert mirror.runs.get().kind == "load"
    added = OperatorAction.objects.filter(action="add", object_type="mirror")
    assert added.count() == 1


def test_applied_again_it_changes_nothing_and_lists_no_mapping_of_a_mirror(file):
    file.apply(MIRRORS)

    assert file.apply(MIRRORS).lines == ["= nothing to change"]
    pruned = file.apply(
        MIRRORS.replace("    connection: prod\n", "    connection: prod\n    handlers: []\n"),
        "--prune",
    )
    assert pruned.lines == ["= nothing to change"]
    assert HandlerMapping.objects.filter(managed=True).count() == 4


def test_deletes_and_verify_change(file):
    file.apply(MIRRORS)

    output = file.apply(MIRRORS + "    deletes: hard\n    verify: hourly\n")

    assert output.lines == ["~ mirror crm.Account: deletes soft → hard, verify daily → hourly"]
    assert Mirror.objects.get().verify == "hourly"


def test_it_is_removed_only_with_prune(file):
    file.apply(MIRRORS)

    assert file.apply(LISTENER).lines == [
        "= nothing to change",
        "kept: mirror crm.Account: not in the file; --prune removes it",
    ]
    dry = file.apply(LISTENER, "--prune", "--dry-run")
    assert dry.lines[0] == "- mirror crm.Account (its table stays)"
    assert Mirror.objects.exists()
    file.apply(LISTENER, "--prune")
    assert not Mirror.objects.exists()
    assert not HandlerMapping.objects.filter(managed=True).exists()


@pytest.mark.parametrize("listener", ["    listener: crm\n", ""])
def test_prune_keeps_the_listener_of_a_mirror_of_the_file(file, listener):
    file.apply(MIRRORS)
    mirrors = f"{CONNECTION}mirrors:\n  - model: crm.Account\n{listener}"

    output = file.apply(mirrors, "--prune")

    assert output.lines == ["= nothing to change"]
    assert "warning: listener crm is kept: a mirror of the file uses it" in output.err
    assert Mirror.objects.get().listener.enabled


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("    deletes: gently", AT + 1, "deletes: 'gently' is not valid"),
        ("    database: shop", AT + 1, "database: There is no database 'shop'"),
        ("    modle: x", AT + 1, "a mirror has no key 'modle'; did you mean 'model'?"),
        ("  - model: crm.Account\n    listener: crm", AT + 1, "duplicate mirror crm.Account"),
        ("  - model: crm.Contact", AT + 1, "a mirror needs a listener; name one"),
        ("  - {model: crm.Contact, listener: cmr}", AT + 1, "there is no listener 'cmr'"),
        ("  - {model: crm.Nothing, listener: crm}", AT + 1, "There is no model 'crm.Nothing'"),
        ("  - listener: crm", AT + 1, "a mirror needs a model"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(refusal, text, line, message):
    [found] = refusal(f"{MIRRORS}{text}\n")

    assert found.startswith(f"{line}: ")
    assert message in found


def test_another_listener_or_database_is_refused_with_what_to_do(file, refusal):
    file.apply(MIRRORS)
    other = LISTENER + "  - {name: b, connection: prod}\n"

    [found] = refusal(f"{other}mirrors:\n  - {{model: crm.Account, listener: b}}\n")

    assert "keeps its listener; remove it first: manage.py mirror remove crm.Account" in found
    assert Mirror.objects.get().listener == Listener.objects.get(name="crm")


def test_a_handler_runs_after_a_mirror_of_the_same_file(file):
    handlers = (
        "    connection: prod\n    handlers:\n"
        "      - {on: update, entity: Account, handler: tests.remember, after: mirror}\n"
    )

    file.apply(MIRRORS.replace("    connection: prod\n", handlers))

    assert HandlerMapping.objects.get(after="mirror").handler == "tests.remember"


FOLLOWED = MIRRORS.replace(
    "    connection: prod\n",
    "    connection: prod\n    handlers:\n"
    "      - {on: update, entity: Account, handler: tests.remember, after: mirror}\n",
)


@pytest.mark.parametrize("options", [["--prune"], ["--prune", "--dry-run"]])
def test_a_mirror_that_a_handler_follows_is_not_removed_nor_said_to_be(file, refusal, options):
    file.apply(FOLLOWED)

    [found] = refusal(LISTENER, *options)

    assert "crm.Account is used by handlers that run after the mirror" in found
    assert Mirror.objects.exists()


def test_a_dry_run_removes_a_mirror_whose_handler_the_file_removes_too(file):
    file.apply(FOLLOWED)
    without = LISTENER + "    handlers: []\n"

    dry = file.apply(without, "--prune", "--dry-run")

    assert "- mirror crm.Account (its table stays)" in dry.lines
    assert Mirror.objects.exists()
    assert HandlerMapping.objects.filter(after="mirror").exists()
    assert file.apply(without, "--prune").lines == dry.lines[:-1]


def test_a_dry_run_adds_no_mirror(file):
    dry = file.apply(MIRRORS, "--dry-run")

    assert dry.lines[-2] == "+ mirror crm.Account by crm"
    assert not Mirror.objects.exists()
    assert not Listener.objects.exists()
