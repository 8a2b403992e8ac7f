"""A task that fails, comes back after a delay and succeeds; and one that ends in the dead-letter queue.

It brings its worker along, to be one file.

python retries.py
"""

import time

from amqptasks import App
from amqptasks.dead_letters import queue as dead_letters

app = App("retries")


@app.task(bind=True, autoretry_for=(ConnectionError,), max_retries=3, retry_backoff=0.5, retry_jitter=False)
def fetch(self, url):
    if self.request.retries < 2:
        raise ConnectionError(f"{url} does not answer")
    return f"{url} answered on attempt {self.request.retries + 1}"


@app.task(autoretry_for=(ConnectionError,), max_retries=1, default_retry_delay=0.2, retry_jitter=False)
def give_up(url):
    raise ConnectionError(f"{url} does not answer")


def main():
    began = time.monotonic()
    print(fetch.delay("https://example.org").get(timeout=30))
    print(f"waited half a second, then one: {time.monotonic() - began >= 1.5}")

    lost = give_up.delay("https://example.com")
    try:
        lost.get(timeout=30)
    except ConnectionError as error:
        print(f"given up: {error}")
    with app.session() as session:
        for letter in dead_letters.letters(session, "default.dead"):
            if letter.id == lost.id:
                print(f"in default.dead: {letter.task}, {letter.exception}, {letter.attempts} attempts")


if __name__ == "__main__":
    with app.worker(queues=["default"]):
        main()
