"""A broker for whoever has none: one file a way to it, tried in the order of `search.ORDER`."""
