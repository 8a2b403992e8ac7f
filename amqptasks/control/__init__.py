"""Asking workers, and telling them: the client's side. The workers' side is `amqptasks.worker.control`.

client.py       `app.control`: one method a command
question.py     one command on its way, and the answers that come
envelope.py     the bytes of both
answers.py      what the answers hold, typed
places.py       the exchange and the streams on the broker
roster.py       which workers there are: who should have answered
revocation.py   what a revocation says, in the stream that keeps it
waiting.py      how many tasks wait in the delay ladder, by due time
"""
