"""From a live broker to a topology file, as a person would write it.

What `expand` makes of a file is folded back: a guess at what was written, kept only where expanding it gives just what
is on the broker; else the object is written as it stands. So `plan` finds nothing to do.
"""
