"""Processes that run plain functions: a task that hangs, leaks or crashes takes nothing else with it.

    node ------- jobs (one datagram each) ------> child        pool.py, child_process.py -> child.py
    node <------ results (a stream) ------------- child
    node <------ orders, births, deaths --------> fork server  children.py -> fork_server.py: one thread, the parent of
                                                               all children
    node <------ a page of memory --------------> child        slots.py: what runs, since when, what interrupts it;
                                                                         from which level on to log

A child holds the one task that it runs. What is sent ahead, so that it need not wait for the node between two short
tasks, stays in its socket, and the node can read there too: each datagram goes to exactly one of them. So a job is
taken back, or given to a child that is idle, without asking; and when a child dies, what is left in its socket had not
begun.
"""
