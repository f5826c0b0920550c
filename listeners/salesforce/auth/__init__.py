"""The kinds of login, one module for each value of a connection's ``auth``.

To add a kind, follow "A kind of login" in CONTRIBUTING.md. A module holds a grant: a frozen
dataclass with ``login``, ``refresh_token`` and ``with_refresh_token``, whose ``repr`` shows no
secrets. A bearer token is entered, not requested, so ``bearer_token`` holds a token source instead.
The OAuth grants share ``endpoint``: the request to the token endpoint, and its errors.
"""
