"""No kind of login leaks a secret while changes arrive, handlers fail and tokens are renewed."""

from __future__ import annotations

import json

import requests

from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from listeners.models import Connection, Listener, Position
from tests.kinds_of_login import KINDS_WITH_A_LOGIN
from tests.sample_data import make_mapping
from tests.secrecy import places
from tests.secrecy.connections import (
    map_to,
    of_every_kind,
    org_with_secrets,
    plant_what_is_kept,
    plant_what_was_sent,
)
from tests.secrecy.scene import Scene
from tests.servers import free_port, wait_for
from tests.settings_on_the_wire.counting_proxy import CountingProxy

FAILING = (
    "secrecy.crash",
    "secrecy.unknown_record",
    "secrecy.bad_query",
    "secrecy.bad_write",
    "secrecy.not_now",
)
CONFIGURATION = """\
connections:
  - name: soap
    auth: soap
    login_url: {url}
    username: me@example.com
    password: ${{CDC_TEST_CLIENT_SECRET}}
  - name: from-the-file
    auth: jwt_bearer
    base_url: {url}
    client_id: app
    username: me@example.com
    private_key: file:/nowhere
    proxy_config: {{host: proxy, port: 1, username: me, password: {proxy_password}}}
"""


def test_no_secret_is_left_anywhere(processes, store, tap, planted, tmp_path):
    secret = planted.add("proxy_password", planted.special("proxy_password").replace("é", "e"))
    hook = {"url": f"http://127.0.0.1:{free_port()}/hook", "secret": "env:CDC_TEST_HOOK"}
    port = str(free_port())
    with org_with_secrets(planted) as org, CountingProxy(login=f"me:{secret}") as proxy, tap:
        through = {
            "proxy_host": proxy.host,
            "proxy_port": proxy.port,
            "proxy_username": "me",
            "proxy_password": secret,
        }
        listeners, environment = of_every_kind(org, planted, tmp_path, through)
        for listener in listeners:
            map_to(listener, *FAILING, "tests.call_back")
            map_to(listener, "handlers.post_to_url", **hook)
            make_mapping(listener, "create", "", task="elsewhere.task", track=False)
        hooks = HandlerMapping.objects.filter(handler="handlers.post_to_url")
        hooks.update(max_attempts=1)
        scene = Scene(
            processes, planted, tmp_path,
            DEBUG="true", CDC_TEST_HOOK=planted.special("webhook secret"), **environment,
        )  # fmt: skip

        process = scene.start("listener", "manage.py", "run_cdc_listener", "--metrics-port", port)
        wait_for(lambda: receiving() == len(listeners), what="receiving")
        org.create("Account", Name="Acme")
        wait_for(lambda: store.llen("cdc") >= len(listeners), what="messages")
        scene.look(store)
        scene.worker()
        inspected = places.of_inspection()
        wait_for(lambda: ended() == 8 * len(listeners), what="the deliveries")

        org.fault("revoke_tokens")
        org.create("Account", Name="Later")
        gone = sum(one.connection.auth == "bearer_token" for one in listeners)  # not renewed
        wait_for(lambda: ended() == 8 * (2 * len(listeners) - gone), what="the others")
        probes = {
            path: requests.get(f"http://127.0.0.1:{port}/{path}", timeout=10).text
            for path in ("healthz/live", "healthz/ready", "metrics", "nowhere")
        }
        said = scene.commands(*commands(org.url, secret, tmp_path))
        scene.look(store)
        process.terminate()
        plant_what_was_sent(org, planted)

    assert plant_what_is_kept(planted, store) == sum(keeps_tokens(one) for one in listeners)
    assert all(word in said for word in ("login: accepted", "jsonl", "dry run"))
    assert DeliveryAttempt.objects.exclude(traceback="").count() > 4 * len(listeners)
    for column, stored in places.encrypted_columns().items():
        assert all(is_hidden(one) for one in stored), column
    assert any("exception" in line for line in scene.logged_as_json())
    assert scene.leaks(tap.heard, inspected, probes) == []


def keeps_tokens(listener: Listener) -> bool:
    connection = listener.connection
    return connection.auth in KINDS_WITH_A_LOGIN and connection.token_store != "memory"


def receiving() -> int:
    return Position.objects.filter(state=Position.State.RECEIVING).count()


def ended() -> int:
    return Delivery.objects.filter(state__in=["succeeded", "dead", "sent"]).count()


def is_hidden(stored: str) -> bool:
    """Return whether the value is ciphertext, a reference or empty."""
    return not stored or stored.startswith(("gAAAAA", "env:", "file:"))


def commands(url: str, secret: str, folder) -> list[list[str]]:
    names = list(Connection.objects.values_list("name", flat=True))
    file = folder / "cdc.yaml"
    file.write_text(CONFIGURATION.format(url=url, proxy_password=json.dumps(secret)))
    return [
        *(["check_cdc_connection", name] for name in names),
        ["cdc_status"],
        ["cdc_status", "--format", "json"],
        ["export_audit_log", "--format", "jsonl"],
        ["export_audit_log", "--format", "csv"],
        ["apply_cdc_config", str(file), "--dry-run"],
        ["apply_cdc_config", str(file)],
        ["cdc_status"],
    ]
