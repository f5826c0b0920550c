"""The URL of the Redis for tokens and rate limits, in the form of redis-py."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import redis

from cdcproject.conf.environment import broker_addresses, check_address, stop

#: Options of a broker URL that redis-py understands too.
_SHARED = (
    "db",
    "username",
    "password",
    "protocol",
    "client_name",
    "health_check_interval",
    "virtual_host",
)
_OF_TLS = ("ssl_",)
_CELERYS_WORDS = {"CERT_NONE": "none", "CERT_OPTIONAL": "optional", "CERT_REQUIRED": "required"}


def redis_address(url: str, broker_url: str) -> str:
    """Return REDIS_URL, else the broker's URL when it is one Redis, else an empty text."""
    check_address("REDIS_URL", url)
    broker, *others = broker_addresses(broker_url)
    if not url and (others or "redis" not in broker.partition("://")[0]):
        return ""
    address = url or _of_broker(broker)
    if not address.startswith(("redis://", "rediss://", "unix://")):
        stop("REDIS_URL must start with redis://, rediss:// or unix://.")
    try:
        redis.ConnectionPool.from_url(address).make_connection()
    except (TypeError, ValueError, redis.RedisError):  # their messages may hold the password
        name = "REDIS_URL" if url else "CELERY_BROKER_URL"
        stop(f"{name}: an option in its query (after the ?) is unknown to redis-py, or wrong.")
    return address


def _of_broker(url: str) -> str:
    """Return a broker URL without Celery's options, which redis-py refuses."""
    base, _, query = url.replace("redis+socket://", "unix://", 1).partition("?")
    wanted = (*_SHARED, *(_OF_TLS if base.startswith("rediss:") else ()))
    options = [
        ("db" if name == "virtual_host" else name, _CELERYS_WORDS.get(value, value))
        for name, value in parse_qsl(query)
        if name.startswith(wanted)
    ]
    return f"{base}?{urlencode(options)}" if options else base
