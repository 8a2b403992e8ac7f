"""A call on its way to the broker: how long it may take, and who connects for it."""
