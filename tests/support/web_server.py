"""A web server at ports 80 and 443 of a private network, and a greeting at 22; run by private_network.sh.

Standard library only: it is started with ``-I``. Serves the files of ``FOLDER/www``, and under ``/echo`` the host that
was asked for. Ends with the process group's leader's parent.
"""

import ctypes
import functools
import http.server
import signal
import socket
import ssl
import sys
import threading


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files, and an echo."""

    def do_GET(self) -> None:
        if not self.path.startswith("/echo"):
            super().do_GET()
            return
        body = f"host {self.headers['Host']} path {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def greet(listener: socket.socket) -> None:
    """What an SSH server says first."""
    while True:
        client, _ = listener.accept()
        with client:
            client.sendall(b"SSH-2.0-private\r\n")
            client.recv(1000)


def main(folder: str) -> None:
    """Serve for ever."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: what was exec'ed in the parent's place is the parent
    handler = functools.partial(Handler, directory=f"{folder}/www")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/cert.pem", f"{folder}/key.pem")
    plain = http.server.ThreadingHTTPServer(("0.0.0.0", 80), handler)
    secure = http.server.ThreadingHTTPServer(("0.0.0.0", 443), handler)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    listener = socket.create_server(("0.0.0.0", 22))
    threading.Thread(target=greet, args=(listener,), daemon=True).start()
    for server in (plain, secure):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(f"{folder}/up", "w", encoding="ascii") as up:
        up.write("up\n")
    threading.Event().wait()


main(sys.argv[1])
