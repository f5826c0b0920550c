"""Rotating refresh tokens do not leak while the org answers 503, nonsense or half an answer."""

from __future__ import annotations

import pytest

from audit.models import Incident, Quarantined
from listeners.models import Connection, KeptTokens, Position, SpentToken
from listeners.salesforce.tokens.store import Trouble
from listeners.secrets.encrypted_field import Secret
from tests.kinds_of_login import KINDS_WITH_A_LOGIN
from tests.secrecy.connections import (
    listener_of,
    map_to,
    org_with_secrets,
    plant_what_is_kept,
    plant_what_was_sent,
)
from tests.secrecy.scene import Scene
from tests.servers import wait_for

pytestmark = pytest.mark.anywhere


@pytest.mark.parametrize("token_store", ["database", "redis"])
def test_no_secret_is_left_anywhere(processes, store, tap, planted, tmp_path, token_store):
    with org_with_secrets(planted, "--rotate-refresh-tokens") as org, tap:
        planted.add_key("private_key", org.credentials["private_key"])
        for kind in KINDS_WITH_A_LOGIN:
            listener = listener_of(kind, org, {"token_store": token_store})
            map_to(listener, "tests.call_back")
        scene = Scene(processes, planted, tmp_path)
        process = scene.start("listener", "manage.py", "run_cdc_listener")
        scene.worker()
        wait_for(lambda: receiving() == len(KINDS_WITH_A_LOGIN), what="receiving")
        plant_what_is_kept(planted, store)

        for target in ("token", "cometd", "rest"):
            org.fault("http_status", target=target, status=503, times=2)
            org.fault("malformed", target=target, times=2)
            org.fault("close", target=target, times=2)
        org.fault("refuse_login", error="invalid_grant", error_description="retry your request")
        org.fault("revoke_tokens")
        org.create("Account", Name="Acme")
        wait_for(Quarantined.objects.exists, what="a malformed answer")
        plant_what_is_kept(planted, store)
        spoil_tokens(store)
        org.fault("revoke_tokens")
        org.create("Account", Name="Later")
        scene.look(store)
        wait_for(SpentToken.objects.exists, what="a refresh")

        # Another client uses the refresh token that is due: its reuse revokes all tokens.
        org.new_refresh_token()
        org.fault("revoke_tokens")
        revoked = Incident.objects.filter(kind=Incident.Kind.LOGIN, key=Trouble.REVOKED)
        wait_for(revoked.exists, what="the refusal of the revoked token")
        said = scene.commands(
            *(["check_cdc_connection", kind] for kind in KINDS_WITH_A_LOGIN),
            ["cdc_status"],
            ["export_audit_log"],
        )
        scene.look(store)
        process.terminate()
        plant_what_was_sent(org, planted)

    plant_what_is_kept(planted, store)
    assert "revoked" in said
    assert scene.leaks(tap.heard) == []


def receiving() -> int:
    return Position.objects.filter(state=Position.State.RECEIVING).count()


def spoil_tokens(store) -> None:
    """Truncate the stored tokens of a connection that can log in again."""
    for row in KeptTokens.objects.filter(connection__auth="soap"):
        KeptTokens.objects.filter(pk=row.pk).update(kept=Secret(row.kept.stored[:-8]))
    key = Connection.objects.get(auth="soap").token_state.key
    for name in store.scan_iter(f"*{key}*:kept"):
        for seed, kept in store.hgetall(name).items():
            store.hset(name, seed, kept[:-8])
