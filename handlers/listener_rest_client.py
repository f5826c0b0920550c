"""The REST and Bulk API clients for a listener's org; they use the connection's shared token."""

from __future__ import annotations

from listeners.connections.token_sources import session_for, token_source
from listeners.models import Listener
from listeners.salesforce.bulk.client import BulkClient
from listeners.salesforce.errors import SalesforceError
from listeners.salesforce.http.session import ClientFileMissing
from listeners.salesforce.rest.client import RestClient
from listeners.secrets.encrypted_field import SecretUnavailable

#: Exceptions of `rest_of` and its client's methods: from the org, the login or a secret's source.
CANNOT_READ = (SalesforceError, SecretUnavailable, ClientFileMissing)


def rest_of(listener: Listener) -> RestClient:
    """Return a client for the listener's org and API version.

    Raises SecretUnavailable and ClientFileMissing.
    """
    connection = listener.connection
    tokens = token_source(connection, listener.api_version)
    return RestClient(tokens, listener.api_version, http=session_for(connection))


def bulk_of(listener: Listener, api_version: str) -> BulkClient:
    """Return a client for the listener's org; a job needs the API version of its creation.

    Raises SecretUnavailable and ClientFileMissing.
    """
    connection = listener.connection
    tokens = token_source(connection, listener.api_version)
    return BulkClient(tokens, api_version, http=session_for(connection))
