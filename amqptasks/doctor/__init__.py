"""What a broker can do, what is wrong on it for a topology, and the line that mends it. Nothing is changed."""
