"""Queues on every node of a cluster: ../topology/high-availability.yaml. It runs on one node as well.

It brings its worker along, to be one file.

python high_availability.py
"""

from pathlib import Path

from amqptasks import App

# On a cluster, name all nodes, with commas between them: AMQPTASKS_BROKER_URL=amqp://one/,amqp://two/,amqp://three/
app = App("orders", topology=Path(__file__).parent.parent / "topology" / "high-availability.yaml")


@app.task(name="orders.place")
def place(number):
    return f"order {number} placed"


@app.task(name="orders.pay", ignore_result=True)  # to orders and to invoices
def pay(number):
    return number


def main():
    for result in [place.delay(number) for number in (1, 2, 3)]:
        print(result.get(timeout=30))
    queue = app.topology.queue("orders")
    print(f"{queue.initial_group_size} nodes hold each queue, where there are so many")


if __name__ == "__main__":
    with app.worker(queues=["orders", "invoices"]):
        main()
