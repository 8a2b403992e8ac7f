"""Many calls at once: `publish_many` keeps the pipeline to the broker full and tells how far it is.

It brings its worker along, to be one file.

python many.py
"""

import sys
from pathlib import Path

from rich.progress import Progress

from amqptasks import App

app = App("many", topology=Path(__file__).parent.parent / "topology" / "minimal.yaml")

COUNT = 2000


@app.task
def square(number):
    return number * number


def main():
    with Progress(disable=not sys.stdout.isatty()) as bar:
        line = bar.add_task("publishing", total=COUNT)
        calls = ((number,) for number in range(COUNT))  # a generator: drawn from as the broker confirms
        results = square.publish_many(calls, progress=lambda confirmed: bar.advance(line, confirmed))
    print(f"{len(results)} published, each confirmed")
    print(f"sum of squares: {sum(result.get(timeout=30) for result in results)}")


if __name__ == "__main__":
    with app.worker(queues=["default"]):
        main()
