"""A Celery producer, and a worker of ours on its queue: ../topology/celery.yaml. The producer does not know.

It brings its worker along, to be one file; it needs Celery (pip install celery).

python from_celery.py
"""

import os
from pathlib import Path

from celery import Celery

from amqptasks import App

URL = os.environ.get("AMQPTASKS_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672//")

producer = Celery("shop", broker=URL, backend="rpc://")
app = App("shop", URL, topology=Path(__file__).parent.parent / "topology" / "celery.yaml")


@app.task(name="shop.add")
def add(x, y):
    return x + y


@app.task(name="shop.flaky", bind=True)  # the queue's `retry:` waits a second and tries again
def flaky(self):
    if self.request.retries == 0:
        raise ConnectionError("not yet")
    return f"attempt {self.request.retries + 1}"


def main():
    print(f"2 + 3 = {producer.send_task('shop.add', (2, 3)).get(timeout=30)}")
    print(producer.send_task("shop.flaky").get(timeout=30))


if __name__ == "__main__":
    with app.worker(queues=["celery"]):
        main()
