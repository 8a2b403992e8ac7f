"""A topology as a picture: `build` makes a graph of it, and each other module writes it down in one format."""
