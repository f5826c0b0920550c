"""`login()` and `logout()` of the SOAP API: parse the envelope, and write the responses. No I/O.

Faults are TokenErrors whose `error` is the exception code, or `soapenv:Client` for a request that
is not a login.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from simulator.auth.credentials import INVALID_LOGIN, TokenError
from simulator.org.catalogue import PROFILE_ID
from simulator.org.ids import ORG_ID, USER_ID

CLIENT = "soapenv:Client"
OLDEST, NEWEST = 31.0, 64.0
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
PARTNER = "urn:partner.soap.sforce.com"
NO_ACTION = (CLIENT, "SOAPAction HTTP header missing")
NO_SESSION = (
    "INVALID_SESSION_ID",
    "Invalid Session ID found in SessionHeader: Illegal Session. Session not found, missing "
    "session key",
)
UNSUPPORTED = ("UNSUPPORTED_API_VERSION", "Invalid Api version specified on URL")


@dataclass(frozen=True, slots=True)
class Login:
    """The arguments of a login()."""

    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Logout:
    """The session that a logout() ends."""

    session_id: str


def read_request(version: str, headers: Mapping[str, str], body: bytes) -> Login | Logout:
    """Parse the operation of a request. Raises TokenError."""
    if "SOAPAction" not in headers:
        raise TokenError(*NO_ACTION)
    root = _parse(body)
    operation = root.find(f"{{{ENVELOPE}}}Body/*")
    if root.tag != f"{{{ENVELOPE}}}Envelope" or operation is None:
        raise TokenError(CLIENT, "the request is not a SOAP 1.1 envelope with a body")
    if operation.tag == f"{{{PARTNER}}}logout":
        session = root.findtext(
            f"{{{ENVELOPE}}}Header/{{{PARTNER}}}SessionHeader/{{{PARTNER}}}sessionId"
        )
        return Logout((session or "").strip())
    _check_version(version)
    if operation.tag != f"{{{PARTNER}}}login":
        raise TokenError(CLIENT, f"No operation available for request {operation.tag}")
    return Login(_text(operation, "username").strip(), _text(operation, "password"))


def as_fault(error: TokenError) -> TokenError:
    """Return an OAuth refusal as a SOAP fault; a SOAP fault is returned unchanged."""
    is_fault = error.error.isupper() or error.error.startswith("soapenv:")
    return error if is_fault else TokenError(*INVALID_LOGIN)


def fault_xml(fault: TokenError) -> str:
    text, code = escape(fault.description), escape(fault.error)
    if fault.error == CLIENT:
        inner = f"<faultcode>{CLIENT}</faultcode><faultstring>{text}</faultstring>"
    else:
        kind = "LoginFault" if fault.error == "INVALID_LOGIN" else "UnexpectedErrorFault"
        inner = (
            f"<faultcode>sf:{code}</faultcode><faultstring>{code}: {text}</faultstring>"
            f'<detail><sf:{kind} xsi:type="sf:{kind}"><sf:exceptionCode>{code}</sf:exceptionCode>'
            f"<sf:exceptionMessage>{text}</sf:exceptionMessage></sf:{kind}></detail>"
        )
    fault_space = 'xmlns:sf="urn:fault.partner.soap.sforce.com"'
    return _envelope(fault_space, f"<soapenv:Fault>{inner}</soapenv:Fault>")


def login_xml(*, base_url: str, version: str, username: str, token: str, seconds: int) -> str:
    where = f"{base_url}/services/Soap/{{}}/{version}/{ORG_ID[:15]}"
    result = {
        "metadataServerUrl": where.format("m"),
        "passwordExpired": "false",
        "sandbox": "false",
        "serverUrl": where.format("u"),
        "sessionId": token,
        "userId": USER_ID,
    }
    user = _elements(_user_info(username, seconds))
    inner = f"{_elements(result)}<userInfo>{user}</userInfo>"
    response = f"<loginResponse><result>{inner}</result></loginResponse>"
    return _envelope(f'xmlns="{PARTNER}"', response)


def logout_xml() -> str:
    return _envelope(f'xmlns="{PARTNER}"', "<logoutResponse/>")


def _user_info(username: str, seconds: int) -> dict[str, str | None]:
    return {
        "accessibilityMode": "false",
        "chatterExternal": "false",
        "currencySymbol": "$",
        "orgAttachmentFileSizeLimit": "5242880",
        "orgDefaultCurrencyIsoCode": "USD",
        "orgDefaultCurrencyLocale": "en_US",
        "orgDisallowHtmlAttachments": "false",
        "orgHasPersonAccounts": "false",
        "organizationId": ORG_ID,
        "organizationMultiCurrency": "false",
        "organizationName": "Simulator",
        "profileId": PROFILE_ID,
        "roleId": None,
        "sessionSecondsValid": str(seconds),
        "userDefaultCurrencyIsoCode": None,
        "userEmail": username,
        "userFullName": "Integration User",
        "userId": USER_ID,
        "userLanguage": "en_US",
        "userLocale": "en_US",
        "userName": username,
        "userTimeZone": "America/Los_Angeles",
        "userType": "Standard",
        "userUiSkin": "Theme3",
    }


def _check_version(version: str) -> None:
    try:
        supported = OLDEST <= float(version) <= NEWEST
    except ValueError:
        supported = False
    if not supported:
        raise TokenError(*UNSUPPORTED)


def _parse(body: bytes) -> Element:
    if b"<!DOCTYPE" in body:  # it could define entities
        raise TokenError(CLIENT, "DOCTYPE is not allowed")
    try:
        return ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError) as error:
        raise TokenError(CLIENT, f"malformed XML: {error}") from None


def _text(operation: Element, name: str) -> str:
    return operation.findtext(f"{{{PARTNER}}}{name}") or operation.findtext(name) or ""


def _elements(values: Mapping[str, str | None]) -> str:
    return "".join(
        f'<{name} xsi:nil="true"/>' if value is None else f"<{name}>{escape(value)}</{name}>"
        for name, value in values.items()
    )


def _envelope(namespace: str, inner: str) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="{ENVELOPE}" '
        f'{namespace} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>"
    )
