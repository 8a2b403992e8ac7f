"""How fast amqptasks is, beside others on the same broker in the same run: `python -m benchmarks`.

subjects/    what is measured, one file each
peers/       who is measured, one file each: their clients and their workers
"""
