"""Listeners, checks and handlers give the reason of each kind of failed login, and no secret."""

from __future__ import annotations

import asyncio

import pytest

from handlers.models import Delivery, DeliveryAttempt, HandlerMapping
from listeners.models import Connection, Position
from tests.commands.running import record
from tests.sample_data import change, lease_of
from tests.secrecy import broken
from tests.secrecy.connections import map_to, org_with_secrets, plant_what_was_sent
from tests.secrecy.scene import Scene
from tests.servers import free_port, wait_for
from tests.settings_on_the_wire.loop_server import LoopServer

pytestmark = pytest.mark.anywhere

_REFUSAL = (
    b"HTTP/1.1 407 Proxy Authentication Required\r\n"
    b'Proxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'
)
ENDED = ["succeeded", "skipped", "dead"]


class RefusingProxy(LoopServer):
    """A proxy that refuses every request."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(_REFUSAL)
        await writer.drain()


def test_no_secret_is_left_anywhere(processes, store, tap, planted, tmp_path):
    references, environment = broken.wrong_references(planted, tmp_path)
    away = f"redis://:{planted.plain('password of REDIS_URL')}@127.0.0.1:{free_port()}/0"
    with org_with_secrets(planted) as org, RefusingProxy() as proxy, tap:
        kinds = {
            **broken.wrong_credentials(org),
            **broken.unreachable(org),
            **broken.refused_by_the_proxy(proxy.host, proxy.port),
            **references,
        }
        listeners = broken.store(org, planted, kinds)
        broken.spoil(planted)
        for listener in listeners:
            map_to(listener, "secrecy.unknown_record")
            record(listener, change())
            Position.objects.release(lease_of(listener))
        HandlerMapping.objects.update(max_attempts=1)
        scene = Scene(processes, planted, tmp_path, DEBUG="true", REDIS_URL=away, **environment)

        process = scene.start("listener", "manage.py", "run_cdc_listener")
        scene.worker()
        names = set(Connection.objects.values_list("name", flat=True))
        wait_for(lambda: not names - excused(), what="a reason for each")
        wait_for(lambda: Delivery.objects.exclude(state__in=ENDED).count() == 0)
        said = scene.commands(
            *(["check_cdc_connection", name] for name in names),
            ["cdc_status"],
            ["cdc_status", "--format", "json"],
            ["export_audit_log", "--format", "jsonl"],
            ["export_audit_log", "--format", "csv"],
        )
        scene.look(store)
        process.terminate()
        plant_what_was_sent(org, planted)

    assert said.count("CommandError: ") >= len(names) - 2
    assert "Traceback" not in said
    assert DeliveryAttempt.objects.exclude(traceback="").count() == len(listeners)
    assert len(scene.logged_as_json()) > len(names)
    assert scene.leaks(tap.heard) == []


def excused() -> set[str]:
    """Return the connections whose listener gives a reason for not receiving."""
    silent = Position.objects.exclude(reason="")
    return set(silent.values_list("listener__connection__name", flat=True))
