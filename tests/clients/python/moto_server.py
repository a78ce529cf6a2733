#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""moto (PyPI; a server that simulates AWS) on one port of loopback, for tests/clients/aws-setup.sh.

Always: moto's own setting iot.use_valid_cert, with which a certificate's id is the SHA-256 of its DER form, as AWS has it (without it
moto hashes the PEM text).

With --sign-requests CA: one defect of moto 5.2.5 is repaired. Its CreateCertificateFromCsr makes an RSA key of its own and a
certificate for that one, so nobody could use the answer; here, as AWS does, the certificate is for the request's key, signed by a
CA, whose certificate is written to the file CA.
"""

import argparse
import datetime

from moto.settings import default_user_config

default_user_config["iot"] = {"use_valid_cert": True}

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from moto.iot.models import IoTBackend  # noqa: E402
from moto.server import main  # noqa: E402


def certificate(subject, key, issuer, issuer_key, is_ca):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )


def sign_requests(ca_file):
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "moto, as AWS IoT")])
    ca = certificate(ca_name, ca_key.public_key(), ca_name, ca_key, True)
    with open(ca_file, "wb") as file:
        file.write(ca.public_bytes(serialization.Encoding.PEM))

    def create_certificate_from_csr(self, csr, set_as_active):
        request = x509.load_pem_x509_csr(csr.encode())
        assert request.is_signature_valid
        made = certificate(request.subject, request.public_key(), ca_name, ca_key, False)
        pem = made.public_bytes(serialization.Encoding.PEM).decode()
        return self.register_certificate(pem, ca_certificate_pem=None, set_as_active=set_as_active, status="INACTIVE")

    IoTBackend.create_certificate_from_csr = create_certificate_from_csr


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--port", required=True)
parser.add_argument("--sign-requests", metavar="CA")
arguments = parser.parse_args()
if arguments.sign_requests:
    sign_requests(arguments.sign_requests)
main(["-H", "127.0.0.1", "-p", arguments.port])
