"""How a worker looks after its objects on the broker.

upkeep.py      the look, once a minute and whenever something is missed; what came early goes back
mending.py     declares what is missing, on a thread of its own, and sends on what was lost
losses.py      what it means for tasks that an object was missing
"""
