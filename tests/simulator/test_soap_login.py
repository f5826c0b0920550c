"""The SOAP API's login() works and fails as Salesforce's."""

import re
from collections.abc import Mapping
from typing import Any
from xml.dom.minidom import parseString

import pytest
import requests

from tests.servers import PATIENCE_SECONDS
from tests.simulator.process import SimulatorProcess
from tests.simulator.wire_client import WireClient

pytestmark = pytest.mark.anywhere

ENVELOPE = """<?xml version="1.0" encoding="utf-8"?>
<se:Envelope xmlns:se="http://schemas.xmlsoap.org/soap/envelope/"
    xmlns:x="urn:partner.soap.sforce.com">
  <se:Header><x:CallOptions><x:client>test</x:client></x:CallOptions></se:Header>
  <se:Body><x:login><x:username>{username}</x:username><x:password>{password}</x:password></x:login>
  </se:Body></se:Envelope>"""
OTHER_PREFIXES = """<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>
  <login xmlns="urn:partner.soap.sforce.com">
  <username>{username}</username><password><![CDATA[{password}]]></password></login>
  </Body></Envelope>"""
LAUGHS = """<!DOCTYPE x [<!ENTITY a "aaaa">]>""" + ENVELOPE.partition("?>")[2].strip()
NO_LOGIN = ENVELOPE.replace("x:login", "x:query")
HEADERS = {"Content-Type": "text/xml; charset=UTF-8", "SOAPAction": '""'}
INVALID_LOGIN = "INVALID_LOGIN: Invalid username, password, security token; or user locked out."


def log_in(
    org: SimulatorProcess,
    *,
    envelope: str = ENVELOPE,
    version: str = "64.0",
    headers: Mapping[str, str] = HEADERS,
    **credentials: str,
) -> requests.Response:
    text = envelope.format(**{**org.credentials, **credentials})
    url = f"{org.url}/services/Soap/u/{version}"
    return requests.post(url, data=text.encode(), headers=headers, timeout=PATIENCE_SECONDS)


def text_of(response: requests.Response, name: str) -> str:
    """Return the text of the only element with this name, which includes its prefix."""
    [element] = parseString(response.content).getElementsByTagName(name)
    return str(element.firstChild.nodeValue) if element.firstChild else ""


@pytest.mark.parametrize("envelope", [ENVELOPE, OTHER_PREFIXES])
def test_a_login_gives_a_session_that_works(
    shared_org: SimulatorProcess, shared_client: WireClient, envelope: str
) -> None:
    response = log_in(shared_org, envelope=envelope)

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/xml; charset=UTF-8"
    shared_client.token = text_of(response, "sessionId")
    assert shared_client.get("/services/data/v64.0/limits").status_code == 200
    shared_client.handshake()
    [connected] = shared_client.connect()
    assert connected["successful"]


def test_a_login_returns_the_server_the_org_and_the_user() -> None:
    with SimulatorProcess("--session-seconds", "900") as org:
        response = log_in(org, version="60.0")

    org_id = org.credentials["org_id"]
    assert text_of(response, "serverUrl") == f"{org.url}/services/Soap/u/60.0/{org_id[:15]}"
    assert text_of(response, "metadataServerUrl") == f"{org.url}/services/Soap/m/60.0/{org_id[:15]}"
    assert text_of(response, "organizationId") == org_id
    assert text_of(response, "sessionSecondsValid") == "900"
    assert text_of(response, "userName") == org.credentials["username"]
    assert re.search(r"<result>.*<userId>005\w{15}</userId><userInfo>", response.text)


@pytest.mark.parametrize(
    "wrong", [{"password": "simulator"}, {"username": "nobody@example.com"}, {"username": ""}]
)
def test_wrong_credentials_are_a_fault(shared_org: SimulatorProcess, wrong: dict[str, Any]) -> None:
    response = log_in(shared_org, **wrong)

    assert response.status_code == 500
    assert text_of(response, "faultcode") == "sf:INVALID_LOGIN"
    assert text_of(response, "faultstring") == INVALID_LOGIN
    assert text_of(response, "sf:exceptionCode") == "INVALID_LOGIN"
    assert text_of(response, "sf:exceptionMessage") == INVALID_LOGIN.partition(": ")[2]


@pytest.mark.parametrize(
    ("version", "status"), [("31.0", 200), ("65.0", 500), ("30.0", 500), ("latest", 500)]
)
def test_login_exists_from_version_31_to_64(
    shared_org: SimulatorProcess, version: str, status: int
) -> None:
    response = log_in(shared_org, version=version)

    assert response.status_code == status
    if status == 500:
        assert text_of(response, "faultcode") == "sf:UNSUPPORTED_API_VERSION"


@pytest.mark.parametrize(
    ("envelope", "problem"),
    [
        ("<login", "malformed XML"),
        ("", "malformed XML"),
        ("<login/>", "not a SOAP 1.1 envelope"),
        (LAUGHS, "DOCTYPE is not allowed"),
        (NO_LOGIN, "No operation available for request {urn:partner.soap.sforce.com}query"),
    ],
)
def test_what_is_no_login_is_the_clients_fault(
    shared_org: SimulatorProcess, envelope: str, problem: str
) -> None:
    response = log_in(shared_org, envelope=envelope)

    assert response.status_code == 500
    assert text_of(response, "faultcode") == "soapenv:Client"
    assert problem in text_of(response, "faultstring")


def test_a_soap_action_is_needed(shared_org: SimulatorProcess) -> None:
    response = log_in(shared_org, headers={"Content-Type": "text/xml"})

    assert (response.status_code, text_of(response, "faultcode")) == (500, "soapenv:Client")
    assert text_of(response, "faultstring") == "SOAPAction HTTP header missing"


def test_a_password_is_read_as_it_was_before_it_was_escaped() -> None:
    with SimulatorProcess("--password", "a<&>\"'ü b ") as org:
        response = log_in(org, password="a&lt;&amp;&gt;&quot;&apos;&#252; b ")

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "sf:INVALID_LOGIN"),
        ({"error": "API_DISABLED_FOR_ORG", "error_description": "x"}, "sf:API_DISABLED_FOR_ORG"),
    ],
)
def test_a_login_can_be_refused_for_a_while(
    shared_org: SimulatorProcess, options: dict[str, str], code: str
) -> None:
    shared_org.fault("refuse_login", **options)

    refused, good = log_in(shared_org), log_in(shared_org)

    assert text_of(refused, "faultcode") == code
    assert (refused.status_code, good.status_code) == (500, 200)


def test_the_faults_of_the_token_endpoint_hit_logins_too(shared_org: SimulatorProcess) -> None:
    shared_org.fault("http_status", target="token", status=503, retry_after=7)
    shared_org.fault("malformed", target="token")
    shared_org.fault("close", target="token")

    unavailable, malformed = log_in(shared_org), log_in(shared_org)

    assert (unavailable.status_code, unavailable.headers["Retry-After"]) == (503, "7")
    assert not malformed.text.endswith("Envelope>")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        log_in(shared_org)


def test_logins_are_logged_without_the_password(org: SimulatorProcess) -> None:
    log_in(org)
    log_in(org, password="wrong", version="63.0")
    log_in(org, envelope="<")

    good, wrong, malformed = org.token_requests()

    assert good["form"] == {"username": org.credentials["username"], "version": "64.0"}
    assert (good["grant_type"], good["outcome"]) == ("soap", "ok")
    assert good["path"] == "/services/Soap/u/64.0"
    assert wrong["outcome"] == INVALID_LOGIN
    assert malformed["outcome"].startswith("soapenv:Client: malformed XML")


def test_a_logout_ends_its_session_alone(shared_org: SimulatorProcess) -> None:
    ended, other = (text_of(log_in(shared_org), "sessionId") for _ in range(2))

    first, second = (log_out(shared_org, ended) for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 500)
    assert text_of(second, "faultcode") == "sf:INVALID_SESSION_ID"
    for session_id, status in ((ended, 401), (other, 200)):
        answer = shared_org.http.get(
            f"{shared_org.url}/services/data/v60.0/limits",
            headers={"Authorization": f"Bearer {session_id}"},
            timeout=PATIENCE_SECONDS,
        )
        assert answer.status_code == status


def log_out(org: SimulatorProcess, session_id: str | None) -> requests.Response:
    envelope = f"""<se:Envelope xmlns:se="http://schemas.xmlsoap.org/soap/envelope/">
      <se:Header><SessionHeader xmlns="urn:partner.soap.sforce.com">
        <sessionId>{session_id}</sessionId>
      </SessionHeader></se:Header>
      <se:Body><logout xmlns="urn:partner.soap.sforce.com"/></se:Body>
    </se:Envelope>"""
    return org.http.post(
        f"{org.url}/services/Soap/u/60.0",
        data=envelope,
        headers={"Content-Type": "text/xml", "SOAPAction": '""'},
        timeout=PATIENCE_SECONDS,
    )
