"""Looking a topology over without a broker: what is allowed, and all the same is probably not meant.

A lint is a function from a `Subject` to its advice; those about one noun share a file, and `lints.py` lists them all.
What cannot be at all is found when a file is read (`check.py`).
"""
