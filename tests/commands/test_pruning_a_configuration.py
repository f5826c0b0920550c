from handlers.models import HandlerMapping
from listeners.models import Connection, Listener
from tests.commands.running import CONNECTION, record
from tests.sample_data import change, make_listener


def with_history(**fields: str) -> Listener:
    listener = make_listener(**fields)
    record(listener, change())
    return listener


def test_what_is_not_in_the_file_is_left_alone_without_prune(file):
    listener = make_listener()

    file.apply(CONNECTION)

    assert Listener.objects.filter(pk=listener.pk).exists()


def test_prune_deletes_listeners_and_then_their_connections(file):
    listener = make_listener(name="old")

    output = file.apply(CONNECTION, "--prune")

    assert output.lines == [
        "+ connection prod",
        "- listener old",
        f"- connection {listener.connection.name}",
    ]
    assert not Listener.objects.exists()
    assert [connection.name for connection in Connection.objects.all()] == ["prod"]
    assert not HandlerMapping.objects.exists()


def test_a_listener_with_a_history_is_disabled_and_its_connection_stays(file):
    listener = with_history(name="old")

    output = file.apply(CONNECTION, "--prune")

    assert output.lines == [
        "+ connection prod",
        "~ listener old: enabled true → false (it has a history)",
    ]
    kept = f"warning: connection {listener.connection.name} is kept: used by old\n"
    assert output.err == kept
    listener.refresh_from_db()
    assert not listener.enabled


def test_a_second_prune_finds_nothing_to_change(file):
    with_history()
    file.apply(CONNECTION, "--prune")

    output = file.apply(CONNECTION, "--prune")

    assert output.lines == ["= nothing to change"]


def test_a_connection_that_the_file_refers_to_is_kept(file):
    listener = make_listener(name="stays")

    output = file.apply(
        f"listeners:\n  - name: stays\n    connection: {listener.connection.name}\n"
        "    replay_from: earliest\n",
        "--prune",
    )

    assert output.lines == ["= nothing to change"]
    assert "is kept: used by stays" in output.err


def test_a_dry_run_prunes_nothing(file):
    make_listener(name="old")

    output = file.apply(CONNECTION, "--prune", "--dry-run")

    assert "- listener old" in output.lines
    assert Listener.objects.filter(name="old").exists()
