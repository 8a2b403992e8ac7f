"""Probes over HTTP, for platforms that ask whether a worker lives."""
