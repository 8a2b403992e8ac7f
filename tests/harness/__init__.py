"""What the tests stand on: real brokers, a proxy to cut the wire, worker processes, and waiting with a deadline."""
