"""One file a kind of check: pure functions from what was read to what is wrong."""
