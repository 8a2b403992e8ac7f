"""Events: what happens to tasks and workers, told to whoever listens, and kept for a while.

    event.py      the names, and the bytes: Celery's, so that its tools can read them
    places.py     the exchange and the stream on the broker
    emitter.py    sends them in batches, and drops them rather than hold anything up
    reader.py     reads them: live, or from the past

Off unless asked for: `App(events=True)`, `worker -E`.
"""
