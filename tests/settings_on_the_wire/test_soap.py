"""The SOAP login goes to the configured address, in the configured version, with the
credentials."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from listeners.connections.token_sources import token_source
from listeners.salesforce.errors import LoginUnavailable
from tests.listeners.salesforce.scripted import Reply, ScriptedOrg
from tests.settings_on_the_wire.counting_proxy import CountingProxy
from tests.settings_on_the_wire.orgs import only_login
from tests.settings_on_the_wire.stored import failures, findings, listening, stored
from tests.simulator.process import SimulatorProcess

pytestmark = pytest.mark.anywhere

LOGIN = "/services/Soap/u/64.0"
PARTNER = "{urn:partner.soap.sforce.com}"
AWKWARD = """<o'm&m>"@x.y]]>"""


def welcome(server_url: str) -> Reply:
    result = f"<serverUrl>{server_url}</serverUrl><sessionId>00D!session</sessionId>"
    return Reply(
        f'<Envelope><Body><loginResponse xmlns="{PARTNER[1:-1]}"><result>{result}</result>'
        "</loginResponse></Body></Envelope>".encode()
    )


def test_the_login_goes_to_the_login_url_and_requests_to_the_server_it_names(
    scripted: ScriptedOrg,
) -> None:
    scripted.tell(LOGIN, welcome("https://instance.example/services/Soap/u/64.0/00D"))

    token = token_source(stored(scripted, "soap")).get()

    assert [call.path for call in scripted.calls] == [LOGIN]
    assert scripted.calls[0].headers["Content-Type"] == "text/xml; charset=UTF-8"
    assert "SOAPAction" in scripted.calls[0].headers
    assert token.instance_url == "https://instance.example"


@pytest.mark.parametrize(
    ("is_sandbox", "host"),
    [(False, "login.salesforce.com:443"), (True, "test.salesforce.com:443")],
)
def test_without_a_login_url_it_goes_to_salesforces_own_page_for_the_kind_of_org(
    org: SimulatorProcess, *, is_sandbox: bool, host: str
) -> None:
    with CountingProxy(forbids=True) as proxy:
        through = {"proxy_host": proxy.host, "proxy_port": proxy.port}
        connection = stored(org, "soap", login_url="", is_sandbox=is_sandbox, **through)

        with pytest.raises(LoginUnavailable):
            token_source(connection).get()

    assert [(passed.method, passed.host) for passed in proxy.passed] == [("CONNECT", host)]


def test_username_and_password_survive_the_xml(scripted: ScriptedOrg) -> None:
    scripted.tell(LOGIN, welcome("https://instance.example/x"))

    token_source(stored(scripted, "soap", username=AWKWARD, password=f"pä{AWKWARD}")).get()

    login = ElementTree.fromstring(scripted.calls[0].body).find(f".//{PARTNER}login")
    assert login is not None
    assert login.findtext(f"{PARTNER}username") == AWKWARD
    assert login.findtext(f"{PARTNER}password") == f"pä{AWKWARD}"


def test_an_awkward_password_is_let_in() -> None:
    with SimulatorProcess("--username", AWKWARD, "--password", f"pä{AWKWARD}") as org:
        assert failures(stored(org, "soap")) == []


@pytest.mark.parametrize(
    ("api_version", "login_version"), [("67.0", "64.0"), ("64.0", "64.0"), ("60.0", "60.0")]
)
def test_the_version_of_the_listener_is_that_of_the_login_up_to_the_last_one_that_has_it(
    org: SimulatorProcess, api_version: str, login_version: str
) -> None:
    connection = stored(org, "soap")

    assert failures(connection, listening(connection, api_version=api_version)) == []

    assert only_login(org)["path"] == f"/services/Soap/u/{login_version}"


def test_a_fault_that_passes_is_not_taken_for_wrong_credentials(org: SimulatorProcess) -> None:
    fault: dict[str, Any] = {
        "error": "SERVER_UNAVAILABLE",
        "error_description": "The service is temporarily unavailable",
    }
    org.fault("refuse_login", **fault)

    with pytest.raises(LoginUnavailable, match="SERVER_UNAVAILABLE"):
        token_source(stored(org, "soap")).get()


def test_the_check_says_that_salesforce_retires_it(org: SimulatorProcess) -> None:
    first, *_ = findings(stored(org, "soap"))

    assert "Salesforce is retiring SOAP login" in first.text
