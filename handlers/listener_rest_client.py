"""REST and Bulk API clients for an org; they use the connection's shared token."""

from __future__ import annotations

from decimal import Decimal

from listeners.connections.token_sources import session_for, token_source
from listeners.models import Connection, Listener
from listeners.salesforce.bulk.client import BulkClient
from listeners.salesforce.errors import SalesforceError
from listeners.salesforce.http.session import ClientFileMissing
from listeners.salesforce.rest.client import DEFAULT_VERSION, RestClient
from listeners.secrets.encrypted_field import SecretUnavailable

#: Exceptions of `rest_of` and its client's methods: from the org, the login or a secret's source.
CANNOT_READ = (SalesforceError, SecretUnavailable, ClientFileMissing)


def rest_of(listener: Listener, *, number: type[float | Decimal] = float) -> RestClient:
    """Return a client for the listener's org and API version.

    `number` is the type of numbers in records that are not whole: Decimal has all digits.

    Raises SecretUnavailable and ClientFileMissing.
    """
    return _client(listener.connection, listener.api_version, number)


def rest_of_connection(connection: Connection) -> RestClient:
    """Return a client for the connection's org, in the API version of its first listener.

    Raises SecretUnavailable and ClientFileMissing.
    """
    versions = connection.listeners.order_by("pk").values_list("api_version", flat=True)
    return _client(connection, versions.first() or DEFAULT_VERSION)


def bulk_of(listener: Listener, api_version: str) -> BulkClient:
    """Return a client for the listener's org; a job needs the API version of its creation.

    Raises SecretUnavailable and ClientFileMissing.
    """
    connection = listener.connection
    tokens = token_source(connection, listener.api_version)
    return BulkClient(tokens, api_version, http=session_for(connection))


def _client(
    connection: Connection, version: str, number: type[float | Decimal] = float
) -> RestClient:
    tokens = token_source(connection, version)
    return RestClient(tokens, version, http=session_for(connection), number=number)
