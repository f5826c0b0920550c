"""An org over HTTPS that accepts clients with a certificate of its authority."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.simulator.certificates import Authority, Pair
from tests.simulator.process import SimulatorProcess


@dataclass(frozen=True)
class SecureOrg:
    org: SimulatorProcess
    authority: Authority
    client: Pair

    @property
    def url(self) -> str:
        return self.org.url

    @property
    def credentials(self) -> dict[str, str]:
        return self.org.credentials

    @property
    def tls(self) -> dict[str, str]:
        """The client's TLS settings, with which the org accepts its connections."""
        return {
            "ca_bundle": str(self.authority.cert),
            "client_certificate": str(self.client.cert),
            "client_key": str(self.client.key),
        }


@contextmanager
def secure_org(folder: Path, hold: str) -> Iterator[SecureOrg]:
    authority = Authority(folder)
    server, client = authority.issue("server"), authority.issue("client")
    options = ("--tls-cert", str(server.cert), "--tls-key", str(server.key))
    mutual = ("--tls-client-ca", str(authority.cert), "--connect-timeout", hold)
    shown = (client.cert, client.key)
    with SimulatorProcess(
        *options, *mutual, ca=authority.cert, client_cert=shown, grpc=True
    ) as running:
        yield SecureOrg(running, authority, client)
