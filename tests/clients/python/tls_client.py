# SPDX-License-Identifier: MIT OR Apache-2.0
"""Python's own `ssl` as a client whose key is a PEM file with a URI: sends a word to a server that returns it reversed.

    OPENSSL_CONF=... tls_client.py PORT VERSION CA CERTIFICATE KEY

VERSION is a name of ssl.TLSVersion. The server is on this host.
"""

import socket
import ssl
import sys


def main() -> None:
    port, version, ca, certificate, key = sys.argv[1:]
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    context.load_cert_chain(certificate, key)
    with context.wrap_socket(socket.create_connection(("localhost", int(port))), server_hostname="localhost") as server:
        server.sendall(b"hello\n")
        answer = server.makefile().readline()
    assert answer == "olleh\n", answer
    print(server.version(), answer.strip())


main()
