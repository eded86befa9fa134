"""The listening socket, taken before anything is loaded."""

from __future__ import annotations

import errno
import os
import socket
import stat

from api.errors import StartupError

_BACKLOG = 2048


def open_socket(host: str, port: int) -> socket.socket:
    """Returns a listening socket; connections wait in its backlog. Raises StartupError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise StartupError(f"cannot listen on {host!r}: {error.strerror}") from error
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two servers share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _notice_dead_peers(sock)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise StartupError(_explain(error, host, port)) from error
    return sock


def open_unix_socket(path: str) -> socket.socket:
    """Returns a listening socket at ``path``, where one that nobody listens on is replaced.

    Who may connect is up to the file's rights, as the umask makes them. Raises StartupError.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_abandoned(path)
        sock.bind(path)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise StartupError(f"cannot listen on the Unix socket {path!r}: {reason}") from error
    return sock


def _remove_abandoned(path: str) -> None:
    """A server that was killed leaves its socket behind; whatever else stands there stays."""
    if not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)


def _notice_dead_peers(sock: socket.socket) -> None:
    """Accepted sockets inherit it: a machine that has vanished without a word is asked for, and missed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)  # Linux, macOS
    for option, value in ((idle, 60), (getattr(socket, "TCP_KEEPINTVL", None), 20)):
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; choose another one with --port"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights; choose one above 1023 with --port"
    return f"cannot listen on {host}:{port}: {error.strerror}"


def url_of(sock: socket.socket, scheme: str = "http") -> str:
    """The URL to type on this machine."""
    if sock.family == getattr(socket, "AF_UNIX", None):
        return f"{scheme}+unix://{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
