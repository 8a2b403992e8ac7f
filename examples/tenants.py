"""Queues for each tenant, made from a template: ../topology/tenants.yaml. One task, a routing key for each tenant.

It brings its worker along, to be one file.

python tenants.py
"""

from pathlib import Path

from amqptasks import App

app = App("tenants", topology=Path(__file__).parent.parent / "topology" / "tenants.yaml")

TENANTS = ("acme", "globex", "initech")


@app.task(name="report", bind=True)
def report(self, month):
    return f"{month} in {self.request.queue}"


def main():
    results = [
        report.apply_async(["2026-05"], exchange="tenants", routing_key=f"{tenant}.report.monthly")
        for tenant in TENANTS
    ]
    for result in results:
        print(result.get(timeout=30))


if __name__ == "__main__":
    with app.worker(queues=[f"{tenant}.reports" for tenant in TENANTS]):
        main()
