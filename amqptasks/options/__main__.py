"""`python -m amqptasks.options`: print docs/options.md."""

from amqptasks.options.documentation import page

print(page(), end="")
