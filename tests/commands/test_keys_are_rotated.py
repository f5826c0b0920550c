"""Key rotation re-encrypts stored secrets with the first key, also when it is interrupted."""

import io

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from handlers.models import Destination
from listeners import key_rotation
from listeners.key_rotation import encrypted_fields, rotate
from listeners.models import Connection, KeptTokens, TokenState
from listeners.salesforce.tokens.store import StoredTokens
from listeners.secrets.encrypted_field import Secret
from listeners.token_stores.redis import RedisStore
from tests.sample_data import make_listener


@pytest.fixture
def keys(settings):
    """The old key, the only one in use, and the new one."""
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    settings.CDC_ENCRYPTION_KEYS = [old]
    return old, new


@pytest.fixture
def connection(keys, db):
    connection = make_listener().connection
    connection.password = "env:SF_PASSWORD"
    connection.save()
    KeptTokens.objects.create(connection=connection, seed="seed", kept='{"seed": "seed"}')
    return connection


def run(**options) -> str:
    out = io.StringIO()
    call_command("rotate_cdc_keys", stdout=out, stderr=out, **options)
    return out.getvalue()


def stored(connection) -> dict[str, str]:
    row = Connection.objects.get(pk=connection.pk)
    kept = KeptTokens.objects.get(connection=connection).kept
    return {
        "secret": row.client_secret.stored,
        "password": row.password.stored,
        "kept": kept.stored,
    }


def test_afterwards_the_old_key_can_go(connection, keys, settings):
    old, new = keys
    before = Connection.objects.get().updated_at
    settings.CDC_ENCRYPTION_KEYS = [new, old]

    said = run()

    settings.CDC_ENCRYPTION_KEYS = [new]
    assert "re-encrypted: 2" in said
    assert "can be removed" in said
    row = Connection.objects.get()
    assert row.client_secret.reveal() == "secret of the client"
    assert row.password.stored == "env:SF_PASSWORD"
    assert KeptTokens.objects.get().kept.reveal() == '{"seed": "seed"}'
    assert row.updated_at == before  # no listener restarts
    assert "re-encrypted: 0" in run()


def test_a_dry_run_counts_and_changes_nothing(connection, keys, settings):
    settings.CDC_ENCRYPTION_KEYS = [keys[1], keys[0]]
    before = stored(connection)

    assert "to be re-encrypted: 2" in run(dry_run=True)
    assert stored(connection) == before


def test_one_that_was_killed_midway_has_cost_nothing(connection, keys, settings, monkeypatch):
    settings.CDC_ENCRYPTION_KEYS = [keys[1], keys[0]]

    class Killed(BaseException):
        pass

    real, done = key_rotation._in_database, []

    def until_killed(*args, **kwargs):
        if done:
            raise Killed
        done.append(real(*args, **kwargs))
        return done[-1]

    with monkeypatch.context() as patch:
        patch.setattr(key_rotation, "_in_database", until_killed)
        with pytest.raises(Killed):
            rotate(dry_run=False)

    Connection.objects.get().client_secret.reveal()
    KeptTokens.objects.get().kept.reveal()
    said = run()
    assert "already encrypted with the first key: 1" in said
    assert "re-encrypted: 1" in said


def test_tokens_stored_during_the_rotation_stay(connection, keys, settings, monkeypatch):
    settings.CDC_ENCRYPTION_KEYS = [keys[1], keys[0]]
    real = Secret.encrypted_anew

    def and_somebody_writes(secret):
        KeptTokens.objects.update(kept='{"seed": "newer"}')
        return real(secret)

    monkeypatch.setattr(Secret, "encrypted_anew", and_somebody_writes)
    found = rotate(dry_run=False)

    assert KeptTokens.objects.get().kept.reveal() == '{"seed": "newer"}'
    assert found.counts[key_rotation.Outcome.UNREADABLE] == 0


def test_a_secret_whose_key_is_gone_is_named_and_the_keys_are_kept(connection, keys, settings):
    settings.CDC_ENCRYPTION_KEYS = [keys[1]]

    with pytest.raises(CommandError, match="Keep all keys") as refused:
        run()

    assert refused.value.returncode == 1


def test_tokens_in_redis_are_rotated_too(connection, keys, settings, broker):
    store = RedisStore(connection.pk)
    fence = store.lock("this test", 600)
    store.save(fence, StoredTokens(seed="seed", refresh_token="rotated"))
    settings.CDC_ENCRYPTION_KEYS = [keys[1], keys[0]]

    assert "re-encrypted: 3" in run()

    settings.CDC_ENCRYPTION_KEYS = [keys[1]]
    assert store.load("seed").refresh_token == "rotated"


def test_tokens_in_redis_that_change_during_the_rotation_stay(connection, keys, broker):
    store = RedisStore(connection.pk)
    store.save(store.lock("this test", 600), StoredTokens(seed="seed", refresh_token="newer"))

    assert not store.replace("seed", Secret("what was read"), Secret("what was made of it"))
    assert store.load("seed").refresh_token == "newer"


def test_redis_that_is_away_is_said(connection, keys, settings):
    TokenState.objects.create(connection=connection)
    settings.REDIS_URL = "redis://127.0.0.1:1"

    with pytest.raises(CommandError, match="run the command again"):
        run()


def test_every_encrypted_field_is_found():
    found = {f"{model.__name__}.{name}" for model, name in encrypted_fields()}

    of_settings = {
        f"{model.__name__}.{name}" for model in (Connection, Destination) for name in model.SECRETS
    }
    assert of_settings | {"KeptTokens.kept"} == found
