"""Users who may edit a connection cannot make the server send its own secrets to another host."""

from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from cdcproject.egress_policy import Readable
from handlers.cdc_handlers import check_post_options
from listeners.models import Connection
from listeners.secrets.encrypted_field import Secret, SecretUnavailable
from listeners.secrets.reference_rules import OWN_VARIABLES


@pytest.fixture
def site(settings, tmp_path):
    """The folder whose files may be referenced, in an installation that other machines reach."""
    folder = tmp_path / "meant"
    folder.mkdir()
    settings.CDC_SECRETS_READABLE = Readable(("SF_*", "CRM_KEY"), (folder,))
    return folder


def is_refused(reference: str) -> bool:
    try:
        Secret(reference).reveal()
    except SecretUnavailable as unavailable:
        return "is not allowed as a reference" in str(unavailable)
    return False


@pytest.mark.parametrize("name", sorted(OWN_VARIABLES))
def test_the_servers_own_variables_are_never_read(name, monkeypatch):
    monkeypatch.setenv(name, "the server's")

    assert is_refused(f"env:{name}")


def test_where_only_this_machine_is_served_other_variables_and_files_are_read(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("ANY_NAME", "value")
    (tmp_path / "any").write_text("text\n")

    assert Secret("env:ANY_NAME").reveal() == "value"
    assert Secret(f"file:{tmp_path}/any").reveal() == "text"


def test_a_site_reads_what_is_meant_for_connections(site, monkeypatch):
    for name in ("SF_SECRET", "CRM_KEY", "CRM_KEY_2", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "value")

    assert Secret("env:SF_SECRET").reveal() == Secret("env:CRM_KEY").reveal() == "value"
    assert is_refused("env:CRM_KEY_2")
    assert is_refused("env:AWS_SECRET_ACCESS_KEY")
    assert is_refused("env:NOT_THERE")  # the error does not reveal whether the file exists


def test_no_path_leads_out_of_the_folders(site, tmp_path):
    (site / "secret").write_text("meant")
    (tmp_path / "other").write_text("not meant")
    (site / "link").symlink_to(tmp_path / "other")
    (site / "loop").symlink_to(site / "loop")

    assert Secret(f"file:{site}/secret").reveal() == "meant"
    outside = ("/etc/passwd", "secret", f"{site}/../other", f"{site}/link", f"{site}x/secret")
    for path in outside:
        assert is_refused(f"file:{path}"), path
    with pytest.raises(SecretUnavailable):
        Secret(f"file:{site}/loop").reveal()


@pytest.mark.parametrize("path", ["/proc/self/environ", "/proc/1/environ", "/dev/stdin", "/sys/x"])
def test_the_systems_folders_are_never_read(path):
    assert is_refused(f"file:{path}")


def test_files_that_hold_the_servers_secrets_are_never_read(settings, monkeypatch, tmp_path):
    key = tmp_path / "key"
    key.write_text("the server's")
    monkeypatch.setenv("SECRET_KEY_FILE", str(key))

    assert is_refused(f"file:{key}")
    assert is_refused(f"file:{settings.VAR_DIR}/encryption_keys")


SECRET = {"password": "env:DATABASE_URL"}
SHOWN = [
    {"optional_params": {"hint": "env:DATABASE_URL"}},
    {"client_config": {"custom_headers": {"X-Key": "env:DATABASE_URL"}}},
    {"client_config": {"custom_payload": "a=b&key=env:DATABASE_URL"}},
    {"refresh_config": {"client_config": {"custom_headers": {"X-Key": "file:/proc/self/environ"}}}},
]


@pytest.mark.parametrize("fields", [SECRET, *SHOWN])
def test_a_connection_with_such_a_reference_is_not_saved(db, fields):
    connection = Connection(
        name="org", auth="password", base_url="https://org.example", username="ann",
        **{"password": "hush", **fields},
    )  # fmt: skip

    with pytest.raises(ValidationError) as refused:
        connection.full_clean()

    [(field, [message])] = refused.value.message_dict.items()
    assert field == next(iter(fields))
    assert "is not allowed as a reference" in message
    assert "CDC_SECRET_" in message


def test_a_handlers_secret_is_held_to_the_same():
    with pytest.raises(ValueError, match="secret: the environment variable SECRET_KEY is not"):
        check_post_options({"url": "https://example.com", "secret": "env:SECRET_KEY"})


def test_no_folder_means_no_file(settings, tmp_path):
    settings.CDC_SECRETS_READABLE = Readable((), ())
    Path(tmp_path / "x").write_text("")

    assert is_refused(f"file:{tmp_path}/x")
    assert is_refused("env:PATH")
