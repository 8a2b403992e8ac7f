"""A shop with routes, priorities and retries, all in ../topology/shop.yaml. Start a worker, then run this file:

amqptasks -A shop worker -Q emails,payments,reports,stock
python shop.py

The queue `audit` gets copies of payments and orders; it is there for another program, with tasks of its own.
"""

from pathlib import Path

from amqptasks import App

app = App("shop", topology=Path(__file__).parent.parent / "topology" / "shop.yaml")


@app.task(name="shop.email.reset")  # a route gives it priority 9: it overtakes the newsletter
def send_password_reset(address):
    return f"reset link for {address}"


@app.task(name="shop.email.newsletter")
def send_newsletter(address):
    return f"newsletter for {address}"


@app.task(name="shop.payment.charge", bind=True)  # its queue retries: 1 s, 2 s, 4 s, ... up to 10 minutes
def charge(self, order, amount):
    if self.request.retries == 0:
        raise ConnectionError("the bank does not answer")
    return f"order {order}: charged {amount} on attempt {self.request.retries + 1}"


@app.task(name="shop.report.monthly")
def monthly_report(month):
    return f"report of {month}"


@app.task(name="shop.order.placed", ignore_result=True)  # a fanout: `stock` gets one, and `audit`
def order_placed(order):
    print(f"order {order} placed")


def main():
    mails = [send_newsletter.delay(f"{name}@example.org") for name in ("ada", "grace")]
    mails.append(send_password_reset.delay("alan@example.org"))
    payment = charge.delay(1, 25)
    report = monthly_report.apply_async(["2026-05"], countdown=1)
    order_placed.delay(1)
    for result in (*mails, report, payment):
        print(result.get(timeout=30))


if __name__ == "__main__":
    main()
