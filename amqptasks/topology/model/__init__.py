"""The topology file, typed: what may stand where, one part of it a file. Needs pydantic; what comes out of it,
`topology.py`, does not."""
