"""No secret is in a message, a repr, a traceback with its locals' reprs, or a chained exception."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from listeners.salesforce.auth.endpoint import CredentialBearer, OAuthOptions
from listeners.salesforce.auth.oauth import (
    ClientCredentials,
    JwtBearer,
    Password,
    RefreshToken,
)
from listeners.salesforce.auth.soap import Soap
from listeners.salesforce.cometd.stream import CometdStream
from listeners.salesforce.errors import SalesforceError
from listeners.salesforce.protocol import StreamOptions
from listeners.salesforce.rest.client import RestClient
from listeners.salesforce.tokens.source import TokenSource
from listeners.salesforce.tokens.tokens import Grant, LoginResult, Token
from tests.kinds_of_login import KINDS_WITH_A_LOGIN, kinds_of
from tests.listeners.salesforce.messages import CHANNEL, CONNECT, HANDSHAKE, refused
from tests.listeners.salesforce.scripted import TOKEN_PATH, Reply, ScriptedOrg, of_json, plain_http

pytestmark = pytest.mark.slow

HUSH = "hush-hush"
KEY = (
    rsa.generate_private_key(65537, 2048)
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)
LINE_OF_KEY = KEY.splitlines()[5]


def everything_said(failure: SalesforceError) -> str:
    """Return message, repr, attributes and the whole traceback, with every chained exception."""
    chained: list[str] = []
    inner: BaseException | None = failure
    while inner is not None:
        chained += [str(inner), repr(inner), repr(vars(inner)), repr(inner.args)]
        inner = inner.__cause__ or inner.__context__
    return "\n".join([*chained, *traceback.format_exception(failure)])


def failure_of(call: Callable[[], object]) -> SalesforceError:
    with pytest.raises(SalesforceError) as caught:
        call()
    return caught.value


def grants(url: str) -> dict[str, Grant]:
    """Return grants of every kind of login, by the kind's name and a distinguishing word."""
    options = OAuthOptions(timeout=(20, 20))
    header = replace(options, bearer=CredentialBearer.AUTH_HEADER)
    user = "me@example.com"
    return {
        "client_credentials": ClientCredentials(url, "the-client", HUSH, options=options),
        "client_credentials in header": ClientCredentials(url, "the-client", HUSH, options=header),
        "password": Password(url, "the-client", HUSH, user, f"pass-{HUSH}", options=options),
        "refresh_token": RefreshToken(url, "the-client", HUSH, f"refresh-{HUSH}", options=options),
        "jwt_bearer": JwtBearer(
            url, "the-client", HUSH, user, KEY, "https://x.example", options=options
        ),
        "soap": Soap(url, user, f"pass-{HUSH}", timeout=options.timeout),
    }


def test_there_is_a_grant_of_each_kind() -> None:
    assert kinds_of(grants("")) == set(KINDS_WITH_A_LOGIN)


OAUTH_ANSWERS = (
    of_json({"error": "invalid_grant", "error_description": "authentication failure"}, 400),
    Reply(b"", 503),
    Reply(b"<html>"),
    of_json({"access_token": HUSH + "\n", "instance_url": "https://x.example"}),
    of_json({"access_token": HUSH}),
    Reply(b"{", missing=10),
)
SOAP_ANSWERS = (
    Reply(b"<e><faultcode>INVALID_LOGIN</faultcode></e>", 500),
    Reply(b"", 503),
    Reply(b"<html>"),
    Reply(f"<e><serverUrl>https://x/</serverUrl><sessionId>{HUSH}\nx</sessionId></e>".encode()),
    Reply(f"<e><sessionId>{HUSH}</sessionId></e>".encode()),
    Reply(b"<", missing=10),
)


@pytest.mark.parametrize("which", grants(""))
def test_a_login_that_fails_in_any_way_says_no_secret(org: ScriptedOrg, which: str) -> None:
    with ScriptedOrg() as gone:
        nobody = gone.url
    grant = grants(org.url if which == "soap" else org.url + TOKEN_PATH)[which]
    is_soap = which == "soap"
    answers = SOAP_ANSWERS if is_soap else OAUTH_ANSWERS
    org.tell("/services/Soap/u/64.0" if is_soap else TOKEN_PATH, *answers)

    failures = [failure_of(lambda: grant.login(plain_http())) for _ in answers]
    for url in (nobody, "http://x.invalid/t", f"http://me:{HUSH}@x.invalid/t"):
        failures.append(failure_of(partial(grants(url)[which].login, plain_http())))

    assert len({str(failure) for failure in failures}) == 9
    for failure in failures:
        assert HUSH not in everything_said(failure)
        assert LINE_OF_KEY not in everything_said(failure)
    assert HUSH not in repr(grant)
    assert LINE_OF_KEY not in repr(grant)


def test_a_stream_or_rest_call_that_fails_in_any_way_says_no_token(org: ScriptedOrg) -> None:
    class Fixed:
        def login(self, http: Any) -> LoginResult:
            return LoginResult(Token(HUSH, org.url), f"refresh-{HUSH}")

        refresh_token = ""

        def with_refresh_token(self, refresh_token: str) -> Fixed:
            return self

    tokens = TokenSource(Fixed(), http=plain_http())
    stream = CometdStream(tokens, CHANNEL, StreamOptions(read_timeout=0.2))
    rest = RestClient(tokens, http=plain_http(), timeout=(2, 0.2))
    org.tell(
        HANDSHAKE,
        [refused(HANDSHAKE, "401::Authentication invalid")],
        [refused(HANDSHAKE, "401::Authentication invalid")],
        Reply(b"", 503),
        Reply(b"nonsense"),
        Reply(b"[", missing=10),
    )
    org.hold("/services/data/v67.0/limits/")

    failures = [failure_of(lambda: stream.open("-1")) for _ in range(4)]
    failures.append(failure_of(rest.limits))

    for failure in failures:
        assert HUSH not in everything_said(failure)
    for thing in (tokens, stream, rest, tokens.get(), Fixed().login(None)):
        assert HUSH not in repr(thing)


def test_a_netrc_entry_does_not_take_the_place_of_the_token(
    org: ScriptedOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login someone password {HUSH}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    grant = ClientCredentials(org.url + TOKEN_PATH, "the-client", HUSH)

    stream = CometdStream(TokenSource(grant), CHANNEL)
    stream.open("-1")
    stream.close()

    assert "Authorization" not in org.asked(TOKEN_PATH)[0].headers
    assert {call.headers["Authorization"] for call in org.asked("/cometd/67.0")} == {
        "Bearer token-1"
    }
    assert org.asked(CONNECT)
