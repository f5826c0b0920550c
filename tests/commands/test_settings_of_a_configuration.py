"""Every setting of a connection and of a listener can be given in the YAML file."""

from textwrap import indent

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from listeners.models import Connection, Listener
from listeners.salesforce.http.allowlist import parsed

JWT = """\
connections:
  - name: prod
    auth: jwt_bearer
    base_url: https://example.my.salesforce.com/
    token_url: https://example.my.salesforce.com/services/oauth2/token
    client_id: the-client
    username: me@example.com
    private_key: env:SF_KEY
    audience: https://test.salesforce.com
    is_sandbox: true
    scopes: [api, refresh_token]
    default_token_exp_time: 1800
    clock_skew: 2.5
    optional_params: {device_id: cdc, api_key: "env:SF_API_KEY"}
    credential_bearer: auth_header
    client_config:
      http_version: 1.1
      custom_headers: {X-Team: crm, X-Api-Key: "file:/run/secrets/key"}
      custom_payload: format=json
      connection_timeout: 5
      read_timeout: 7.5
      tls: {ca_bundle: /etc/ca.pem, client_certificate: /etc/me.pem, client_key: /etc/me.key}
    token_store: redis
    proxy_config: {scheme: https, host: proxy.example, port: 3128, username: me, password: hush}
listeners:
  - connection: prod
    channel: AccountChangeEvent/
    keep_alive_interval: 60
    session_timeout: 300
    connection_timeout: 3
    read_timeout: 4
    api_version: 58
    gap_policy: deliver
    transport: pubsub
    pubsub_endpoint: http://localhost:7011
    managed_subscription: CRM_Sync
"""


def pem(key) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_each_setting_lands_in_its_field(file):
    file.apply(JWT)

    connection = Connection.objects.get()
    assert connection.base_url == "https://example.my.salesforce.com"
    assert (connection.audience, connection.is_sandbox) == ("https://test.salesforce.com", True)
    assert connection.scopes == ["api", "refresh_token"]
    assert (connection.default_token_exp_time, connection.clock_skew) == (1800, 2.5)
    assert connection.optional_params == {"device_id": "cdc", "api_key": "env:SF_API_KEY"}
    assert connection.credential_bearer == "auth_header"
    assert connection.client_config["tls"]["client_key"] == "/etc/me.key"
    assert connection.token_store == "redis"
    assert connection.private_key.reference == "env:SF_KEY"
    assert (connection.proxy_scheme, connection.proxy_host) == ("https", "proxy.example")
    assert (connection.proxy_port, connection.proxy_username) == (3128, "me")
    assert connection.proxy_password.reveal() == "hush"
    listener = Listener.objects.get()
    assert listener.channel == "/data/AccountChangeEvent"
    assert (listener.keep_alive_interval, listener.session_timeout) == (60, 300)
    assert (listener.connection_timeout, listener.read_timeout) == (3, 4)
    assert (listener.api_version, listener.gap_policy) == ("58.0", "deliver")
    assert (listener.transport, listener.pubsub_endpoint) == ("pubsub", "http://localhost:7011")
    assert listener.managed_subscription == "CRM_Sync"


@pytest.mark.parametrize(
    ("added", "warning"),
    [
        ("    replay_from: 0x0000000000000a\n", "37: listener salesforceListener: replay_from"),
        ("", None),
    ],
)
def test_a_setting_that_the_transport_ignores_is_reported_at_its_line(file, added, warning):
    output = file.apply(JWT + added)

    assert (warning in output.err) if warning else ("listener" not in output.err)


def test_the_same_file_again_changes_nothing(file):
    file.apply(JWT)

    assert file.apply(JWT).lines == ["= nothing to change"]


def test_what_is_left_out_has_its_default_again(file):
    file.apply(JWT)
    kept = JWT.split("    scopes:", maxsplit=1)[0]

    lines = file.apply(kept).lines

    connection = Connection.objects.get()
    assert (connection.scopes, connection.client_config) == ([], {})
    assert (connection.token_store, connection.proxy_host) == ("database", "")
    assert not connection.proxy_password
    line, kept_listener = lines
    assert kept_listener.startswith("kept: listener ")
    assert "scopes [api, refresh_token] → none" in line
    assert "client_config: changed" in line
    assert "proxy_password: changed" in line
    assert "hush" not in line


SOAP = """\
connections:
  - name: prod
    username: me@example.com
    password: hush
"""


def test_soap_is_the_default_and_warns_that_it_ends(file):
    output = file.apply(SOAP)

    assert Connection.objects.get().auth == "soap"
    assert "Salesforce is retiring SOAP login" in output.err


def test_a_setting_that_the_kind_of_login_ignores_is_reported_at_its_line(file):
    output = file.apply(SOAP + "    scopes: [api]\n    client_id: x\n")

    assert "cdc.yaml:5: connection prod: scopes does nothing with soap" in output.err
    assert "cdc.yaml:6: connection prod: client_id does nothing with soap" in output.err


def test_two_connections_with_one_refresh_token_are_warned_of(file):
    file.apply(REFRESH)

    output = file.apply(REFRESH.replace("name: prod", "name: other"))

    assert "connection prod has the same refresh token" in output.err


REFRESH = """\
connections:
  - name: prod
    auth: refresh_token
    base_url: https://example.my.salesforce.com
    client_id: the-client
    client_secret: hush
    refresh_token: 5Aep861
"""


def test_a_rotating_token_in_memory_is_warned_of(file):
    assert "is lost when the process ends" in file.apply(REFRESH + "    token_store: memory\n").err


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("scopes: api", "8: scopes: give a list such as [Phone, Name], not this text"),
        ("scopes: ['a b']", "8: scopes: 'a b' is not a scope: each scope is a single word."),
        ("default_token_exp_time: 0", "8: default_token_exp_time: Ensure this value is greater"),
        ("clock_skew: -1", "8: clock_skew: Ensure this value is greater than or equal to 0."),
        ("clock_skew: soon", "8: clock_skew: give a number, not this text"),
        (
            "optional_params: {grant_type: x}",
            "8: optional_params: The login sets the parameter grant_type itself",
        ),
        (
            "optional_params: {api_key: hush}",
            "8: optional_params: The value of api_key may be a secret: use a reference",
        ),
        ("optional_params: {n: 1}", "8: optional_params: The value of 'n' must be a text."),
        ("credential_bearer: body", "8: credential_bearer: 'body' is not valid; "),
        ("token_store: memcache", "8: token_store: 'memcache' is not valid; "),
        (
            "client_config: {http_versoin: 1.1}",
            "8: client_config: Unknown key 'http_versoin'; did you mean http_version?",
        ),
        (
            "client_config: {http_version: 3}",
            "8: client_config: http_version: use one of 1.0, 1.1, 2.",
        ),
        (
            "client_config: {read_timeout: 0}",
            "8: client_config: read_timeout: enter a number of seconds, up to 3600.",
        ),
        (
            "client_config: {custom_headers: {'X Y': a}}",
            "8: client_config: custom_headers: 'X Y' is not a valid header name.",
        ),
        (
            "client_config: {custom_headers: {Host: a}}",
            "8: client_config: custom_headers: the request sets Host itself; remove it.",
        ),
        (
            "client_config: {custom_headers: {Authorization: hush}}",
            "8: client_config: custom_headers: the value of Authorization may be",
        ),
        (
            "client_config: {custom_payload: nonsense}",
            "8: client_config: custom_payload: enter a text such as name=value&other=value.",
        ),
        (
            "client_config: {tls: {verify: maybe}}",
            "8: client_config: tls.verify: use true or false.",
        ),
        (
            "client_config: {tls: {client_key: /k}}",
            "8: client_config: tls.client_certificate: a client_key needs its certificate.",
        ),
        (
            "client_config: {tls: {verify: false, ca_bundle: /c}}",
            "8: client_config: tls.ca_bundle: has no effect while verify is false",
        ),
        ("proxy_config: proxy.example", "8: proxy_config: give a mapping of scheme, host, port"),
        ("proxy_config: {hots: p}", "8: proxy_config has no key 'hots'; did you mean 'host'?"),
        ("proxy_config: {host: p}", "8: proxy_config.port is missing: Enter the proxy's port."),
        (
            "proxy_config: {host: 'http://p', port: 1}",
            "8: proxy_config.host: Enter only the host, without scheme, user or port.",
        ),
        (
            "proxy_config: {host: p, port: 70000}",
            "8: proxy_config.port: Ensure this value is less than",
        ),
        (
            "proxy_config: {port: 3128}",
            "8: proxy_config.host is missing: The proxy's port is set: enter",
        ),
        (
            "proxy_config: {scheme: socks5, host: p, port: 1}",
            "8: proxy_config.scheme: 'socks5' is not",
        ),
        (
            "proxy_config: {host: p, port: 1, password: hush}",
            "8: proxy_config.username is missing: A proxy password requires a user name.",
        ),
    ],
)
def test_a_wrong_setting_is_said_at_its_line(refusal, lines, expected):
    [line] = refusal(REFRESH + indent(lines, "    ") + "\n")

    assert line.startswith(expected), line
    assert "hush" not in line
    assert not Connection.objects.exists()


@pytest.mark.parametrize(
    ("refresh_config", "expected"),
    [
        ("{refresh_url: nonsense}", "refresh_url: Enter a URL such as"),
        ("{scope: [api]}", "Unknown key 'scope'; did you mean scopes?"),
        ("{credential_bearer: x}", "credential_bearer: use one of auth_header, post_body."),
        (
            "{client_config: {tls: {}}}",
            "client_config.tls: TLS settings apply to the whole connection",
        ),
    ],
)
def test_a_wrong_refresh_config_is_said_at_its_line(refusal, refresh_config, expected):
    text = SOAP + "    auth: password\n    base_url: https://a.example\n"

    [line] = refusal(f"{text}    refresh_config: {refresh_config}\n")

    assert line.startswith(f"7: refresh_config: {expected}"), line


@pytest.mark.parametrize("secret", ["hush", "another kind"])
def test_a_private_key_must_be_rsa_in_pem(refusal, secret, tmp_path):
    if secret == "another kind":
        secret = pem(ec.generate_private_key(ec.SECP256R1()))
    key = JWT.split("listeners:", maxsplit=1)[0].replace(
        "private_key: env:SF_KEY", "private_key: |\n" + indent(secret, "      ")
    )

    [line] = refusal(key)

    assert line.startswith("8: private_key: Enter an RSA private key in PEM")
    assert secret.splitlines()[-2:][0] not in line


def test_an_rsa_key_is_taken_and_not_shown(file):
    key = pem(rsa.generate_private_key(65537, 2048))
    output = file.apply(
        JWT.replace("private_key: env:SF_KEY", "private_key: |\n" + indent(key, "      "))
    )

    assert Connection.objects.get().private_key.reveal() == key.rstrip("\n")
    assert key.splitlines()[1] not in output.out + output.err


def test_what_a_kind_has_no_use_for_in_the_client_is_warned_of(file):
    output = file.apply(BEARER)

    assert "cdc.yaml:6: connection prod: http_version does nothing with bearer_token" in output.err
    assert "tls does nothing" not in output.err


BEARER = """\
connections:
  - name: prod
    auth: bearer_token
    base_url: https://example.my.salesforce.com
    token: hush
    client_config: {http_version: 1.0, tls: {verify: false}}
"""


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://me:hush@example.com", "base_url: Enter a URL such as"),
        ("https://example.com?token=hush", "base_url: Enter the URL without a query"),
        ("https://example.com/#hush", "base_url: Enter the URL without a query"),
        ("https://example.com/path", "base_url: Enter only the scheme and host, without a path."),
        ("ftp://example.com", "base_url: Enter a URL such as"),
        ("https://example.com:0", "base_url: Enter a URL such as"),
        ("https://exa mple.com", "base_url: Enter a URL such as"),
    ],
)
def test_an_address_holds_no_secret_and_nothing_that_paths_cannot_follow(refusal, url, expected):
    [line] = refusal(BEARER.replace("https://example.my.salesforce.com", f"'{url}'"))

    assert line.startswith(f"4: {expected}")
    assert "hush" not in line


@pytest.mark.parametrize("url", ["http://simulator:8080", "https://10.0.0.1", "http://[::1]:80/"])
def test_hosts_of_an_intranet_are_taken_where_they_are_allowed(file, url, settings):
    settings.CDC_OUTBOUND = parsed(["simulator", "private", "loopback"])

    file.apply(BEARER.replace("https://example.my.salesforce.com", f"'{url}'"))

    assert Connection.objects.get().base_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("keep_alive_interval: 86400", "keep_alive_interval: Ensure this value is less than"),
        ("session_timeout: 1.0e300", "session_timeout: Ensure this value is less than"),
        ("connection_timeout: 1.0e300", "connection_timeout: Ensure this value is less than"),
        ("replay_from: '١٢٣'", "replay_from: Use tip, earliest, or a replay id"),
    ],
)
def test_a_listener_setting_out_of_range_is_said_at_its_line(refusal, lines, expected):
    [line] = refusal(REFRESH + f"listeners:\n  - connection: prod\n    {lines}\n")

    assert line.startswith(f"10: {expected}")


@pytest.mark.parametrize("version", ["36.0", "67.55", "v67.0", "67.", ".5"])
def test_an_api_version_has_its_form_and_is_37_or_later(refusal, version):
    [line] = refusal(REFRESH + f"listeners:\n  - connection: prod\n    api_version: '{version}'\n")

    assert line.startswith("10: api_version: ")
