"""Replacing a queue whose arguments cannot be changed in place, while publishers and workers stay up.

marks      what stands on the broker meanwhile, and how others see it
run        which stages are left, from the broker's state alone
stages     what each of them does
mover      messages from one queue to another, confirmed
figures    is a queue empty, for certain
"""
