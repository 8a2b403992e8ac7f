"""The workers' side of control: what a worker answers and obeys, on a thread of its own.

service.py              listens, announces itself, answers
inspecting.py           the commands that ask
commanding.py           the commands that change something
revocations.py          which tasks must not run
revocation_reader.py    keeps up with them, from the start on and after a break
record_thread.py        reads their records off the link's thread
sweep.py                drops what is held and must not run
"""
