"""Requests one kind of answer from a server, and prints the outcome and the peak memory.

It is a program of its own, with a memory limit: ``python -m tests.listeners.salesforce.asking KIND
URL``.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: The memory limit: above it the process gets a MemoryError, before the machine kills it.
MOST_MEMORY = 3 * 1024**3
TOKEN = "00D000000000001!token"


def _login(url: str) -> Any:
    import requests

    from listeners.salesforce.auth.oauth import ClientCredentials

    return ClientCredentials(f"{url}/services/oauth2/token", "id", "secret").login(
        requests.Session()
    )


def _soap(url: str) -> Any:
    import requests

    from listeners.salesforce.auth.soap import Soap

    return Soap(url, "me@example.com", "secret").login(requests.Session())


def _tokens(url: str) -> Any:
    from listeners.salesforce.auth.bearer_token import BearerToken

    return BearerToken(TOKEN, url)


def _cometd(url: str) -> Any:
    from listeners.salesforce.cometd.stream import CometdStream

    return CometdStream(_tokens(url), "/data/ChangeEvents").open("-1")


def _versions(url: str) -> Any:
    from listeners.salesforce.rest.client import RestClient

    return RestClient(_tokens(url)).versions()


def _query(url: str) -> Any:
    from listeners.salesforce.rest.client import RestClient

    return list(RestClient(_tokens(url)).query("SELECT Id FROM Account"))


def _handler(url: str) -> Any:
    from listeners.salesforce.rest.simple_salesforce import TokenSession, rest_client

    tokens = _tokens(url)
    with TokenSession(tokens) as session:
        return rest_client(session, tokens, "67.0").query("SELECT Id FROM Account")


def _post_to_url(url: str) -> Any:
    import os

    os.environ.update(DJANGO_SETTINGS_MODULE="cdcproject.settings", DEBUG="true")
    import django

    django.setup()
    from handlers.cdc_handlers import post_to_url
    from tests.handlers.test_built_in_handlers import event

    return post_to_url(event(url=f"{url}/hook"))


ASK: dict[str, Callable[[str], Any]] = {
    "a login": _login,
    "a SOAP login": _soap,
    "change events": _cometd,
    "the org's versions": _versions,
    "a query": _query,
    "a handler's query": _handler,
    "post_to_url": _post_to_url,
}


def _peak() -> int:
    """Return this program's peak resident memory in MiB; getrusage would include the parent's."""
    status = Path("/proc/self/status").read_text()
    [kibibytes] = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kibibytes) // 1024


def main(kind: str, url: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    try:
        outcome = f"{type(ASK[kind](url)).__name__}: answered"
    except Exception as error:  # noqa: BLE001
        outcome = f"{type(error).__name__}: {error}"
    print(json.dumps({"outcome": outcome, "mebibytes": _peak()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
