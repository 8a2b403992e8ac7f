"""A worker and its broker: reaching it, and what is said when it cannot be reached."""
