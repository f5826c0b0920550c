"""`python -m benchmarks.send_tasks COUNT`: sends empty Celery tasks that nothing tracks."""

from __future__ import annotations

import sys

from cdcproject.celery import app

_BATCH = 1000


def main(count: int) -> None:
    with app.producer_pool.acquire(block=True) as producer, producer.batch(max_size=_BATCH):
        for number in range(count):
            message = app.amqp.as_task_v2(
                f"bench-{number}", "bench.task", kwargs={"delivery_id": number}, ignore_result=True
            )
            app.amqp.send_task_message(producer, "bench.task", message, queue="cdc", retry=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
