import pytest
from django.core.management import CommandError

from listeners.models import Connection
from tests.commands.running import CONNECTION, run

LISTENER = CONNECTION + "listeners:\n  - connection: prod\n"


def connection(extra: str = "", **changed: str) -> str:
    fields = {
        "name": "prod",
        "base_url": "https://example.my.salesforce.com",
        "client_id": "the-client",
        "client_secret": "hush",
        "auth": "client_credentials",
        **changed,
    }
    lines = [f"    {key}: {value}" for key, value in fields.items()]
    return "\n".join(["connections:", "  -", *lines, extra])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            CONNECTION + "    client_secert: x\n",
            "7: a connection has no key 'client_secert'; did you mean 'client_secret'?",
        ),
        ("connection: []\n", "1: the file has no key 'connection'; did you mean 'connections'?"),
        (
            LISTENER + "    chanel: x\n",
            "9: a listener has no key 'chanel'; did you mean 'channel'",
        ),
        (
            LISTENER + "    pubsub_endpoint: x\n",
            "9: pubsub_endpoint: Enter host and port, such as api.pubsub.salesforce.com:7443",
        ),
        (
            LISTENER + "    transport: pubsub\n    managed_subscription: CRM Sync\n",
            "10: managed_subscription: Enter the developer name of a managed event subscription",
        ),
        (LISTENER + "    gap_policy: fech\n", "9: gap_policy: 'fech' is not valid; did you mean"),
        (
            LISTENER + "    transport: pubsubb\n",
            "9: transport: 'pubsubb' is not valid; did you mean 'pubsub'?",
        ),
        (connection(auth="saop"), "7: auth: 'saop' is not valid; did you mean 'soap'?"),
        (connection(auth="pasword"), "7: auth: 'pasword' is not valid; did you mean 'password'?"),
        (
            CONNECTION + "    client_id: again\n",
            "7: 'client_id' is a duplicate key, first in line",
        ),
        (
            CONNECTION + "  - {name: prod, base_url: 'https://a.example', client_id: a, "
            "client_secret: b}\n",
            "7: duplicate connection prod, first in line 2; choose another name",
        ),
        (LISTENER + "  - connection: prod\n", "9: duplicate listener salesforceListener, first"),
        ("connections:\n  - client_id: x\n    base_url: y\n", "2: a connection needs a name"),
        ("listeners:\n  - name: x\n", "2: a listener needs a connection; name one"),
        (
            LISTENER.replace("connection: prod", "connection: prot"),
            "8: connection: there is no connection 'prot'; did you mean 'prod'?",
        ),
        (
            "connections:\n  - {name: prod, auth: client_credentials, base_url: 'https://a.example'}\n",
            "2: client_id is missing: OAuth 2.0 client credentials requires this field.",
        ),
        (connection(client_secret='""'), "6: client_secret is empty: OAuth 2.0 client credentials"),
        (connection(client_secret="[hush]"), "6: client_secret: give text, not a list"),
        (connection(client_secret="true"), "6: client_secret: give text; put true in quotes"),
        (connection(base_url="example.com"), "4: base_url: Enter a URL such as"),
        (LISTENER + "    enabled: 1\n", "9: enabled: write true or false, not this number"),
        (LISTENER + "    read_timeout: soon\n", "9: read_timeout: give a number, not this text"),
        (LISTENER + "    read_timeout: .inf\n", "9: read_timeout: give a finite number"),
        (LISTENER + "    read_timeout: 0\n", "9: read_timeout: Ensure this value is greater than"),
        (LISTENER + "    api_version: summer\n", "9: api_version: write a version such as 67.0"),
        (LISTENER + "    api_version: 20.0\n", "9: api_version: Use version 37.0 or later"),
        (LISTENER + "    replay_from: -3\n", "9: replay_from: Use tip, earliest, or a replay id"),
        (
            LISTENER + "    channel: /data/accountchangeevent\n",
            "9: channel: '/data/accountchangeevent' is not a change event channel: did you mean",
        ),
        (
            LISTENER + "    handlers: log\n",
            "9: handlers: give a list; begin each entry with a",
        ),
        (LISTENER + "    handlers: [log]\n", "9: handlers: each entry must be a mapping"),
        (
            LISTENER + "    handlers:\n      - {handler: x}\n",
            "10: a handler needs on: create",
        ),
        (
            LISTENER + "    handlers:\n      - {on: undelete, handler: x}\n",
            "10: on: 'undelete' is not valid; did you mean 'delete'?",
        ),
        (
            LISTENER + "    handlers:\n      - {on: create, handler: a, task: b}\n",
            "10: Choose a handler or a task, not both.",
        ),
        (
            LISTENER + "    handlers:\n      - {on: create, changed_fields: [Phone]}\n",
            "10: changed_fields: Only updates have changed fields; leave this empty.",
        ),
        (
            LISTENER + "    handlers:\n      - {on: update, changed_fields: Phone}\n",
            "10: changed_fields: give a list such as [Phone, Name], not this text",
        ),
        (
            LISTENER + "    handlers:\n      - {on: update, max_attempts: 0}\n",
            "10: max_attempts: Ensure this value is greater than or equal to 1.",
        ),
        (
            LISTENER + "    handlers:\n      - on: create\n        handler: handlers.post_to_url\n"
            "        options: {url: ftp://x}\n",
            "12: options: url is needed and begins with https:// or http://",
        ),
        (
            LISTENER + "    handlers:\n      - {on: create, handler: handlers.post_to_url}\n",
            "10: options: url is needed and begins with https:// or http://",
        ),
        (
            connection(client_id="${NOT_SET_HERE}"),
            "5: the environment variable NOT_SET_HERE is",
        ),
        (connection(client_id="a${"), "5: ${ begins a variable: write ${NAME}, or $${ for"),
        (
            connection(client_secret="|\n      one\n      ${NOT_SET_HERE}"),
            "8: the environment variable NOT_SET_HERE is not set",
        ),
        (connection(client_id='"a\\0"'), "5: text cannot contain a NUL or an unpaired surrogate"),
        (
            connection(client_id='"a\\ud800"'),
            "5: text cannot contain a NUL or an unpaired surrogate",
        ),
        (connection(client_id="!secret x"), "5: YAML tags (!…) are not supported here"),
        ("connections: &a [*a]\n", "1: an anchor cannot contain itself"),
        ("", "1: the file is empty"),
        ("# only a comment\n", "1: the file is empty"),
        ("- name: x\n", "1: the file must begin with connections: or listeners:"),
        ("just words\n", "1: the file must begin with connections: or listeners:"),
        ("connections:\n\t- name: x\n", "2: not YAML: found character '\\t' that cannot start"),
        ("connections:\n  - name: x: y\n", "2: not YAML: mapping values are not allowed here"),
        ("connections: [1\n", "1: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n---\nb: 2\n", "2: not YAML: but found another document"),
        ("connections:\n  - {name: ${X}}\n", "2: not YAML: expected ',' or '}', but got '{'; betw"),
        ("connections: \x01\n", "1: not YAML: special characters are not allowed"),
    ],
)
def test_each_mistake_is_named_with_its_line(refusal, text, expected):
    problems = refusal(text)

    assert [problem for problem in problems if problem.startswith(expected)], problems
    assert not Connection.objects.exists()


def test_all_mistakes_are_reported_at_once_in_the_order_of_lines(refusal):
    problems = refusal(
        """\
        connections:
          - name: prod
            auth: password
            base_url: nowhere
            usrname: x
            password: ${NOT_SET_HERE}
        listeners:
          - connection: prot
            read_timeout: soon
            handlers:
              - {on: never}
        """
    )

    lines = [int(problem.partition(":")[0]) for problem in problems]
    assert lines == [2, 4, 5, 6, 8, 9, 11], problems


def test_no_refusal_shows_a_secret(refusal):
    for text in (
        connection(client_secret="*hush-hush"),
        connection(client_secret="@hush-hush"),
        connection(client_secret="!hush-hush x"),
        connection(client_secret="[hush-hush]"),
        connection(client_secret="{hush-hush"),
        connection(client_secret="hush-hush: x"),
        connection(client_secret="a${hush-hush}"),
        connection(client_secret="'hush-hush"),
        connection(client_secret="%hush-hush"),
        connection(client_secret="&hush-hush"),
    ):
        assert "hush" not in "\n".join(refusal(text)), text


def test_a_secret_that_cannot_be_decrypted_is_replaced(file, settings):
    file.apply(CONNECTION)
    settings.CDC_ENCRYPTION_KEYS = ["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="]

    output = file.apply(CONNECTION)

    assert output.lines == ["~ connection prod: client_secret: changed"]


def test_a_file_in_another_encoding_is_refused_with_its_line(file, refusal, monkeypatch):
    monkeypatch.setattr(
        type(file), "write", lambda self, text: self.path.write_bytes(text.encode("latin-1"))
    )

    assert refusal("connections:\n  - name: é\n") == [
        "2: not UTF-8; save the file in that encoding"
    ]


def test_a_byte_order_mark_is_no_mistake(file):
    output = file.apply("\ufeff" + CONNECTION)

    assert output.lines == ["+ connection prod"]


@pytest.mark.django_db
def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        CommandError, match=r"missing\.yaml:1: the file cannot be read: No such file"
    ):
        run("apply_cdc_config", str(tmp_path / "missing.yaml"))
