"""What takes a password over HTTP to the address it is meant for, and nowhere else.

`urllib.request.urlopen` would send the same headers on to wherever an answer redirects it, and through the proxy that
the environment names. Here a redirect is an answer like others, and no proxy is asked.
"""

from __future__ import annotations

import ssl
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    UnknownHandler,
)


def opener(base: str, tls: ssl.SSLContext | None) -> OpenerDirector:
    """For addresses that begin with `base`. `tls` is the context where that is https; None: the system's authorities
    count."""
    found = OpenerDirector()
    found.add_handler(HTTPSHandler(context=tls) if base.startswith("https:") else HTTPHandler())
    for handler in (HTTPErrorProcessor(), HTTPDefaultErrorHandler(), UnknownHandler()):
        found.add_handler(handler)
    return found
