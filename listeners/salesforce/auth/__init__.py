"""The kinds of authentication, one module for each value of a connection's ``auth``.

To add a kind, copy a module: a frozen dataclass with ``login``, ``refresh_token`` and
``with_refresh_token``, whose ``repr`` shows no secrets. Then add a case to
``listeners.connections.token_sources.grant_of``. A bearer token is not a grant, because it is
entered, not requested.
"""
