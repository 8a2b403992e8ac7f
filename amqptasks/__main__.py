"""`python -m amqptasks`: the command line."""

from amqptasks.cli import main

main()
