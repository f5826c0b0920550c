"""Logins over HTTP/2 leak no secret in the logs of the libraries that they use."""

import pytest

from listeners.models import Connection
from tests.secrecy.scene import Scene
from tests.settings_on_the_wire.http2_server import Http2Server
from tests.simulator.certificates import Authority

pytestmark = pytest.mark.anywhere


def test_no_secret_is_logged(processes, planted, tmp_path):
    authority = Authority(tmp_path)
    secret, header = planted.special("client_secret"), planted.plain("custom header")
    parameter = planted.special("optional parameter")
    with Http2Server(authority.issue("server")) as org:
        Connection.objects.create(
            name="prod",
            auth="client_credentials",
            base_url=org.url,
            client_id="the-client",
            client_secret=secret,
            credential_bearer="auth_header",
            optional_params={"device_key": "env:CDC_TEST_PARAMETER"},
            client_config={
                "http_version": "2",
                "custom_headers": {"X-Api-Key": "env:CDC_TEST_HEADER"},
                "tls": {"ca_bundle": str(authority.cert)},
            },
        )
        scene = Scene(
            processes, planted, tmp_path,
            CDC_TEST_HEADER=header, CDC_TEST_PARAMETER=parameter,
        )  # fmt: skip
        said = scene.commands(["check_cdc_connection", "prod"])

    assert "login: accepted" in said
    assert org.asked[0].headers["x-api-key"] == header
    assert scene.leaks() == []
    assert "Encoded header block" not in said, "which holds the Authorization header, packed"
