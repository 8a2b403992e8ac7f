"""`amqptasks demo`: real tasks through real queues, counted and measured."""
