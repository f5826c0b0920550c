"""The kinds of login, by a connection's ``auth``.

To add a kind, follow "A kind of login" in CONTRIBUTING.md. A grant is a frozen dataclass whose
``repr`` shows no secrets. A bearer token is entered, not requested, so ``bearer_token`` holds a
token source instead. The OAuth grants share ``endpoint``: the request to the token endpoint, and
its errors.
"""
