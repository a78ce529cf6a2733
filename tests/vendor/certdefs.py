# SPDX-License-Identifier: MIT OR Apache-2.0
"""The library's certificate functions and its definitions of Trust&GO's and TrustFLEX's certificates."""

import ctypes
import subprocess

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptoauthlib.atcacert import atcacert_def_t
from cryptoauthlib.library import get_cryptoauthlib

from driver import Status, call

SIGNER = atcacert_def_t.in_dll(get_cryptoauthlib(), "g_tngtls_cert_def_1_signer")
ROOM = 1024

SUCCESS, VERIFY_FAILED = Status(0), Status(12)


class Buffer(ctypes.Structure):
    """cal_buffer: bytes that the library reads, or room that it fills."""
    _fields_ = [("length", ctypes.c_size_t), ("pointer", ctypes.c_void_p)]

    def __init__(self, content):
        self.room = ctypes.create_string_buffer(content, len(content)) if isinstance(content, bytes) else \
            ctypes.create_string_buffer(content)
        super().__init__(len(self.room), ctypes.addressof(self.room))

    def bytes(self):
        return self.room.raw[:self.length]


def definition(name):
    return atcacert_def_t.in_dll(get_cryptoauthlib(), name)


def sized(function, *arguments, before=(), after=()):
    """What a function puts into a certificate buffer, or its Status."""
    room, size = ctypes.create_string_buffer(ROOM), ctypes.c_size_t(ROOM)
    status = Status(call(function, *before, *arguments, room, ctypes.byref(size), *after))
    return status if status else room.raw[:size.value]


def read_cert(cert_def, issuer_key):
    """The certificate that the library rebuilds from the chip."""
    return sized("atcacert_read_cert", ctypes.byref(cert_def), ctypes.byref(Buffer(issuer_key)))


def verify_on_chip(chip, cert_def, cert, issuer_key):
    """Whether the chip verifies the certificate's signature."""
    return Status(call("atcacert_verify_cert_hw", chip.device(), ctypes.byref(cert_def), cert,
                       ctypes.c_size_t(len(cert)), ctypes.byref(Buffer(issuer_key))))


def known_size(function):
    size = ctypes.c_size_t(0)
    status = Status(call(function, ctypes.byref(size)))
    return status if status else size.value


def of_certificate(function, cert_def, cert, size):
    """Bytes that the library finds in a certificate."""
    room = ctypes.create_string_buffer(size)
    status = Status(call(function, ctypes.byref(cert_def), cert, ctypes.c_size_t(len(cert)), room))
    return status if status else room.raw


def simulated_root():
    pem = subprocess.run(["atecc608-sim", "root"], check=True, capture_output=True).stdout
    return x509.load_pem_x509_certificate(pem)


def public_point(certificate):
    return certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def issued(certificate, issuer_point):
    """Whether the certificate is signed by this key: a software verification of the bytes as they are."""
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + issuer_point)
    try:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes,
                   ec.ECDSA(certificate.signature_hash_algorithm))
    except InvalidSignature:
        return False
    return True
