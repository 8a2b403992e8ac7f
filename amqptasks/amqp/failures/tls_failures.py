"""Why TLS with the broker failed: OpenSSL's own sentence, and the option of the address that helps."""

from __future__ import annotations

import re
import ssl

from amqptasks.errors import TlsError

#: How an error of OpenSSL looks in a text, which is what pika keeps of some: `[SSL: REASON] sentence (_ssl.c:1006)`.
_PRINTED = re.compile(r"\[SSL: (?P<reason>[A-Z0-9_]+)\] (?P<sentence>[^('\"]+)")

#: The wire was cut, by a broker that begins or a proxy before it; TLS itself has said nothing.
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_CUT_REASON = "UNEXPECTED_EOF_WHILE_READING"

#: X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h.
_MISMATCHES = frozenset({62, 64})

#: X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID.
_TIMES = frozenset({9, 10})

#: What OpenSSL says of an answer that is no TLS.
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
)

_AUTHORITY = "cacertfile=FILE in the address names the authority that is trusted"
_NAME = "server_name_indication=NAME in the address gives the name that the certificate is for"
_CLIENT = "certfile=FILE&keyfile=FILE in the address show a certificate that the broker trusts"
_PLAIN = "TLS is not spoken at that port: write amqp://, or the port of TLS (5671)"
_TIME = "the broker needs a new certificate, or a clock is wrong"


def tls_failure(error: BaseException, where: str) -> TlsError | None:
    """The error, where `error` is of TLS, or has one in its text; None for any other, and for a wire that was cut."""
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = {**dict.fromkeys(_MISMATCHES, _NAME), **dict.fromkeys(_TIMES, _TIME)}
        return _described(where, error.verify_message.rstrip("."), advice.get(error.verify_code, _AUTHORITY))
    if isinstance(error, _CUT):
        return None
    printed = _PRINTED.search(str(error))
    if printed is not None:
        reason, sentence = printed["reason"], printed["sentence"].strip()
        return None if reason == _CUT_REASON else _described(where, sentence, _advice(reason))
    if isinstance(error, ssl.SSLError):
        return _described(where, str(error.reason or error), _advice(str(error.reason)))
    return None


def certificate_wanted(where: str) -> TlsError:
    """The error for a broker that asked for a certificate and then closed the connection without a word."""
    return _described(where, "the broker asked for a certificate, and closed the connection", _CLIENT)


def _advice(reason: str) -> str | None:
    """What the other side's last word asks for."""
    if "CERTIFICATE" in reason or "UNKNOWN_CA" in reason or "HANDSHAKE_FAILURE" in reason:
        return _CLIENT if "ALERT" in reason else _AUTHORITY
    return _PLAIN if reason in _NO_TLS else None


def _described(where: str, sentence: str, advice: str | None) -> TlsError:
    return TlsError(f"{where}: TLS failed: {sentence}{f'; {advice}' if advice else ''}")
