"""The error that an org returns for a refused login.

TokenError: sent as JSON with status 400 by the token endpoint, as a fault by the SOAP API.
"""

from simulator.org.records import JsonObject


class TokenError(Exception):
    """A refused login. The client reads `error` and `error_description`."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description

    def body(self) -> JsonObject:
        """Return the JSON of the response."""
        return {"error": self.error, "error_description": self.description}


UNSUPPORTED_GRANT = ("unsupported_grant_type", "grant type not supported")
UNKNOWN_CLIENT = ("invalid_client_id", "client identifier invalid")
WRONG_SECRET = ("invalid_client", "invalid client credentials")
WRONG_PASSWORD = ("invalid_grant", "authentication failure")
EXPIRED = ("invalid_grant", "expired access/refresh token")
BUSY = ("invalid_grant", "token request is already being processed")
NO_RUN_AS_USER = ("invalid_grant", "no client credentials user enabled")
INVALID_LOGIN = (
    "INVALID_LOGIN",
    "Invalid username, password, security token; or user locked out.",
)
