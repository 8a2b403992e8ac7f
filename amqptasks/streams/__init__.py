"""Streams of our own: logs on the broker that everybody can read again, each bounded by age and size.

stream.py     what a stream is called and how it is declared
reader.py     reads one from an offset, to its end or along with it, through every kind of break
position.py   where a reader is: the last record that it applied
result_streams.py  the streams of results, which are many, with two exchanges
liveness.py   how a reader notices that it hears nothing any more: it compares, probes, or waits for a tick
"""

from amqptasks.streams.reader import Reader, close_all
from amqptasks.streams.stream import Stream

__all__ = ["Reader", "Stream", "close_all"]
