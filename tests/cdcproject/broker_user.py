"""A process that uses the embedded broker until its input ends.

python -m tests.cdcproject.broker_user
"""

import sys

import django


def main() -> None:
    django.setup()

    from cdcproject.celery import app
    from cdcproject.process.embedded_broker import ensure_embedded_broker

    ensure_embedded_broker()
    with app.connection_for_write() as connection:
        print(connection.default_channel.client.incr("uses"), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
