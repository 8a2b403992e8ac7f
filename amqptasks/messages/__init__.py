"""Messages as they come from outside: bounds on what they say, text made fit to print, secrets masked."""
