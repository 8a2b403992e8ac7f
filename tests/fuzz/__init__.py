"""What comes from outside, drawn at random: nothing may raise, or cost, what its reader does not expect.

targets/      what is fuzzed: a strategy for examples, and a check that raises where something is wrong
corpus/       examples that are tried first, a folder for each target: seeds, and what once went wrong
test_fuzz.py  some hundred examples of each target, in every run of the tests
__main__.py   `make fuzz-long`: minutes for each target
"""
