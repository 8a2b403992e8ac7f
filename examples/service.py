"""An asyncio service that calls tasks: publishing and waiting for results never block its loop.

It brings its worker along, to be one file; yours would run elsewhere (amqptasks -A service worker).

python service.py
"""

import asyncio

from amqptasks import App

app = App("service")


@app.task
async def price(article):
    await asyncio.sleep(0.05)  # an `async def` task runs on an event loop of the worker
    return 10 * article


async def answer(article):
    """What a request handler would do."""
    result = await price.adelay(article)  # returns once the broker has stored the task
    async with asyncio.timeout(10):
        return await result


async def main():
    answers = await asyncio.gather(*(answer(article) for article in range(1, 6)))
    print(f"prices: {answers}")
    later = await price.aapply_async([7], countdown=0.5)
    print(f"half a second later: {await later}")


if __name__ == "__main__":
    with app.worker(queues=["default"]):
        asyncio.run(main())
