"""OAuth scopes: what Salesforce knows, and what the connected app was granted."""

from simulator.token_errors import TokenError

GRANTED = ("refresh_token", "api")
KNOWN = frozenset(
    (
        *("address", "api", "cdp_api", "cdp_ingest_api", "cdp_profile_api", "cdp_query_api"),
        *("chatter_api", "content", "custom_permissions", "eclair_api", "email", "full"),
        *("id", "lightning", "offline_access", "openid", "pardot_api", "phone", "profile"),
        *("refresh_token", "sfap_api", "visualforce", "wave_api", "web"),
    )
)


def granted(asked: str) -> str:
    """The scope of the answer: what was asked for and is granted, or all that is granted.

    Raises TokenError for a scope that does not exist, and if nothing asked for is granted.
    """
    names = asked.split()
    if not names:
        return " ".join(GRANTED)
    if any(name not in KNOWN for name in names):
        raise TokenError("invalid_scope", "the requested scope is invalid, unknown, or malformed")
    allowed = [name for name in names if name in GRANTED]
    if not allowed:
        raise TokenError("invalid_scope", "the requested scope is not allowed")
    return " ".join(allowed)
