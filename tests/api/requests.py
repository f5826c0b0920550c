"""The API's addresses, and minimal request bodies."""

import json
from typing import Any

from rest_framework.test import APIClient

CONNECTIONS = "/api/v1/connections/"
LISTENERS = "/api/v1/listeners/"
MAPPINGS = "/api/v1/handler-mappings/"
AUDIT_LOG = "/api/v1/audit-log/"
DELIVERIES = "/api/v1/deliveries/"
REDELIVERIES = "/api/v1/redeliveries/"
INCIDENTS = "/api/v1/incidents/"
ACTIONS = "/api/v1/actions/"
MIRRORS = "/api/v1/mirrors/"
DESTINATIONS = "/api/v1/destinations/"
STATUS = "/api/v1/status/"
#: Lists of rows, each of which has an address of its own.
EVERYTHING = (
    CONNECTIONS,
    LISTENERS,
    MAPPINGS,
    AUDIT_LOG,
    DELIVERIES,
    REDELIVERIES,
    INCIDENTS,
    ACTIONS,
    MIRRORS,
    DESTINATIONS,
)


def sent(client: APIClient, method: str, address: str, fields: dict[str, Any]) -> Any:
    """Send the fields as JSON; half a surrogate pair is written as its escape."""
    body = json.dumps(fields)
    return client.generic(method.upper(), address, body, content_type="application/json")


def connection(**fields) -> dict[str, Any]:
    return {
        "name": "prod",
        "auth": "client_credentials",
        "base_url": "https://example.my.salesforce.com",
        "client_id": "client",
        "client_secret": "hush",
        **fields,
    }


def proxy(**parts) -> dict[str, Any]:
    return {"host": "proxy.example", "port": 3128, "username": "me", "password": "hush", **parts}
