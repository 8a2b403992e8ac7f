"""The smallest app. Start a worker, then run this file:

amqptasks -A hello worker -Q default -c 4 -P threads
python hello.py
"""

from amqptasks import App

app = App("hello", broker="amqp://guest:guest@localhost/")


@app.task
def add(x, y):
    return x + y


if __name__ == "__main__":
    print(add.delay(2, 3).get(timeout=10))
