import pytest
from django.core.management import CommandError
from django.utils import timezone

from audit.models import Throughput
from handlers.models import HandlerMapping
from listeners.models import Connection, Listener, Position
from tests.commands.running import CONNECTION

CONTRACT = """\
connections:
  - name: prod
    auth: client_credentials   # one of three
    base_url: https://example.my.salesforce.com/
    token_url: https://example.my.salesforce.com/services/oauth2/token
    client_id: ${SF_CLIENT_ID}
    client_secret: ${SF_CLIENT_SECRET}
listeners:
  - name: salesforceListener
    connection: prod
    channel: /data/ChangeEvents
    transport: cometd
    replay_from: tip
    enabled: true
    handlers:
      - {on: create, entity: Account, handler: handlers.log_change}
      - {on: update, entity: "*", handler: tests.remember, changed_fields: [Phone],
         ordering: per_record, queue: crm, max_attempts: 5}
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("SF_CLIENT_ID", "the-client")
    monkeypatch.setenv("SF_CLIENT_SECRET", "hush")


def test_the_file_of_the_documentation_makes_every_row(file):
    output = file.apply(CONTRACT)

    assert output.lines == [
        "+ connection prod",
        "+ listener salesforceListener",
        "+ handler of salesforceListener, create Account: handlers.log_change",
        "+ handler of salesforceListener, update *: tests.remember",
        "+ handler of salesforceListener, delete *: recorded only",
        "+ handler of salesforceListener, restore *: recorded only",
    ]
    connection = Connection.objects.get()
    assert connection.client_id == "the-client"
    assert connection.client_secret.reveal() == "hush"
    assert "hush" not in connection.client_secret.stored
    update = HandlerMapping.objects.get(on="update")
    assert (update.changed_fields, update.queue, update.max_attempts) == (["Phone"], "crm", 5)


def test_a_second_run_touches_no_row(file):
    file.apply(CONTRACT)
    stamps = [Connection.objects.get().updated_at, Listener.objects.get().updated_at]
    mappings = list(HandlerMapping.objects.values())

    output = file.apply(CONTRACT)

    assert output.lines == ["= nothing to change"]
    assert [Connection.objects.get().updated_at, Listener.objects.get().updated_at] == stamps
    assert list(HandlerMapping.objects.values()) == mappings


def test_a_dry_run_says_what_a_beginning_at_earliest_costs(file):
    earliest = (
        CONNECTION
        + """\
listeners:
  - {name: cheap, connection: prod}
  - {name: costly, connection: prod, replay_from: earliest}
  - {name: resting, connection: prod, replay_from: earliest, enabled: false}
"""
    )
    assert "costly starts at earliest" in file.apply(earliest, "--dry-run").err
    file.apply(earliest)
    Throughput.objects.create(
        listener=Listener.objects.get(name="costly"), minute=timezone.now(), events=77
    )

    [note] = file.apply(earliest, "--dry-run").err.splitlines()

    assert "listener costly starts at earliest. " in note
    assert "about 77 or more" in note
    assert "daily limit is unknown" in note
    Position.objects.create(listener=Listener.objects.get(name="costly"), replay_id="7")
    assert not file.apply(earliest, "--dry-run").err
    assert not file.apply(earliest).err


def test_a_dry_run_says_the_same_and_changes_nothing(file):
    output = file.apply(CONTRACT, "--dry-run")

    assert "+ connection prod" in output.lines
    assert output.lines[-1] == "dry run: nothing was changed"
    assert not Connection.objects.exists()
    assert not Listener.objects.exists()


def test_a_change_is_shown_with_both_values(file):
    file.apply(CONTRACT)

    output = file.apply(
        CONTRACT.replace("/data/ChangeEvents", "/data/AccountChangeEvent").replace(
            "enabled: true", "enabled: false"
        )
    )

    assert output.lines == [
        "~ listener salesforceListener: channel /data/ChangeEvents → /data/AccountChangeEvent, "
        "enabled true → false"
    ]
    assert Listener.objects.get().channel == "/data/AccountChangeEvent"


def test_a_changed_secret_is_never_shown(file, monkeypatch):
    file.apply(CONTRACT)
    monkeypatch.setenv("SF_CLIENT_SECRET", "louder")

    output = file.apply(CONTRACT)

    assert output.lines == ["~ connection prod: client_secret: changed"]
    assert Connection.objects.get().client_secret.reveal() == "louder"


def test_a_reference_to_a_secret_is_kept_as_one(file):
    file.apply(CONNECTION.replace("hush", "env:NOT_SET_YET"))

    assert Connection.objects.get().client_secret.reference == "env:NOT_SET_YET"


def test_what_is_left_out_goes_back_to_its_default(file):
    file.apply(CONTRACT.replace("replay_from: tip", "replay_from: 42\n    read_timeout: 5"))

    output = file.apply(CONTRACT.replace("    replay_from: tip\n", ""))

    assert output.lines == [
        "~ listener salesforceListener: replay_from 42 → tip, read_timeout 5 → 30"
    ]


def test_a_change_of_a_listener_leaves_its_connection_untouched(file):
    file.apply(CONTRACT)
    before = Connection.objects.get().updated_at

    file.apply(CONTRACT.replace("enabled: true", "enabled: false"))

    assert Connection.objects.get().updated_at == before


def test_values_may_be_written_in_their_natural_types(file):
    file.apply(
        CONNECTION
        + """\
listeners:
  - connection: prod
    replay_from: 12345
    api_version: 66.0
    connection_timeout: 5
    enabled: false
"""
    )

    listener = Listener.objects.get()
    assert listener.name == "salesforceListener"
    assert (listener.replay_from, listener.api_version) == ("12345", "66.0")
    assert (listener.connection_timeout, listener.enabled) == (5.0, False)


def test_a_new_listener_without_handlers_has_the_four_empty_ones(file):
    file.apply(CONNECTION + "listeners:\n  - connection: prod\n")

    mappings = HandlerMapping.objects.values_list("on", "entity", "handler")
    assert list(mappings) == [(on, "*", "") for on in HandlerMapping.On.values]


def test_a_handler_that_is_not_registered_is_refused_with_the_closest_name(file):
    with pytest.raises(CommandError) as refused:
        file.apply(CONTRACT.replace("tests.remember", "tests.rememmber"))

    assert f"{file.path}:17: handler: no handler is registered under the name" in str(refused.value)
    assert "did you mean 'tests.remember'?" in str(refused.value)
    assert "--allow-unknown-handlers" in str(refused.value)
    assert not Connection.objects.exists()


def test_it_is_stored_with_a_warning_when_that_is_asked_for(file):
    text = CONTRACT.replace("tests.remember", "my.module.sync")

    output = file.apply(text, "--allow-unknown-handlers")

    assert HandlerMapping.objects.filter(handler="my.module.sync").exists()
    assert output.err.startswith(f"warning: {file.path}:17: No handler is registered under")
    assert "wait until one is" in output.err


def test_variables_are_replaced_inside_a_value_and_can_be_escaped(file, monkeypatch):
    monkeypatch.setenv("ORG", "example")
    monkeypatch.setenv("ON", "false")

    file.apply(
        """\
        connections:
          - name: prod
            auth: client_credentials
            base_url: https://${ORG}.my.salesforce.com
            client_id: $${ORG}
            client_secret: "a${ORG}b$c"
        listeners:
          - connection: prod
            enabled: ${ON}
        """
    )

    connection = Connection.objects.get()
    assert connection.base_url == "https://example.my.salesforce.com"
    assert connection.client_id == "${ORG}"
    assert connection.client_secret.reveal() == "aexampleb$c"
    assert Listener.objects.get().enabled is False


def test_anchors_and_merges_work_and_numbers_keep_their_digits_as_text(file):
    file.apply(
        """\
        connections:
          - &base
            name: prod
            auth: client_credentials
            base_url: https://example.my.salesforce.com
            client_id: 0123
            client_secret: 007
          - <<: *base
            name: second
        """
    )

    assert [c.client_id for c in Connection.objects.all()] == ["0123", "0123"]
    assert Connection.objects.get(name="second").client_secret.reveal() == "007"


def test_a_listener_may_refer_to_a_connection_that_is_only_in_the_database(file):
    file.apply(CONNECTION)

    file.apply("listeners:\n  - connection: prod\n")

    assert Listener.objects.get().connection.name == "prod"
