"""The workers' side of control: what a worker answers and obeys, on a thread of its own.

service.py       listens, announces itself, answers
inspecting.py    the commands that ask
commanding.py    the commands that change something
revocations.py   which tasks must not run
"""
