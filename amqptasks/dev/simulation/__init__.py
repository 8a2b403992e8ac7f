"""What becomes of a task, without a broker and without waiting: the broker in memory, a clock that jumps, and the
worker's own steps around a task that fails as often as it is told to."""
