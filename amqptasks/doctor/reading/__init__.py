"""Asking the broker: what only reads, and changes nothing."""
