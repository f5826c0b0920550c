"""The simulator serves HTTPS, also with client certificates."""

from pathlib import Path

import pytest
import requests

from tests.servers import PATIENCE_SECONDS
from tests.simulator.certificates import Authority
from tests.simulator.process import SimulatorProcess
from tests.simulator.test_process import run

pytestmark = pytest.mark.anywhere


def token(org: SimulatorProcess, **options):
    form = {name: org.credentials[name] for name in ("client_id", "client_secret")}
    url = f"{org.url}/services/oauth2/token"
    data = {"grant_type": "client_credentials", **form}
    return requests.post(url, data=data, timeout=PATIENCE_SECONDS, **options).json()


def test_https_is_served_with_a_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server")
    options = ("--tls-cert", str(server.cert), "--tls-key", str(server.key))
    with SimulatorProcess(*options, ca=authority.cert) as org:
        answer = token(org, verify=str(authority.cert))
        with pytest.raises(requests.exceptions.SSLError):
            token(org, verify=str(Authority(tmp_path, "stranger").cert))

    assert org.url == f"https://localhost:{org.port}"
    assert answer["instance_url"] == org.url
    assert answer["id"].startswith(org.url)


def test_a_client_certificate_can_be_demanded(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client")
    stranger = Authority(tmp_path, "stranger").issue("other")
    options = ("--tls-cert", str(server.cert), "--tls-key", str(server.key))
    mutual = ("--tls-client-ca", str(authority.cert))
    shown = (client.cert, client.key)
    with SimulatorProcess(*options, *mutual, ca=authority.cert, client_cert=shown) as org:
        trusted = {"verify": str(authority.cert)}
        good = token(org, **trusted, cert=(str(client.cert), str(client.key)))
        with pytest.raises(requests.exceptions.ConnectionError):
            token(org, **trusted)
        with pytest.raises(requests.exceptions.ConnectionError):
            token(org, **trusted, cert=(str(stranger.cert), str(stranger.key)))
        records = org.state()["record_count"]

    assert good["instance_url"] == org.url
    assert records == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--tls-key", "x"), "--tls-key and --tls-client-ca need --tls-cert"),
        (("--tls-cert", "/nowhere"), "cannot use the TLS files /nowhere"),
        (("--jwt-public-key", "/nowhere"), "--jwt-public-key /nowhere"),
        (("--jwt-public-key", __file__), "--jwt-public-key"),
        (("--token-seconds", "-1"), "--token-seconds must not be negative"),
        (("--lock-after", "-1"), "--lock-after must not be negative"),
        (("--query-batch-size", "0"), "--query-batch-size must be greater than 0"),
    ],
)
def test_wrong_options_are_named(options: tuple[str, ...], message: str) -> None:
    result = run(*options)

    assert result.returncode == 2
    assert message in result.stderr
