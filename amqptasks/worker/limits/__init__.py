"""What a worker holds tasks to: how long they run, how often, and how many at once."""
