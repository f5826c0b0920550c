"""The ways to log in, by the name a connection's ``auth`` gives them.

To add one, copy a slice: a frozen dataclass with ``login``, ``refresh_token`` and
``with_refresh_token``, secrets out of its ``repr``, and a line in ``listeners.logins``. A bearer
token is none: it is not fetched.
"""
