# SPDX-License-Identifier: MIT OR Apache-2.0
"""Certificates that the library writes to a chip, compressed, and reads back; and a request that the chip signs
(fact sheet sections 7.1 to 7.4). The certificates are made here, by the standard's rules alone."""

import ctypes
import datetime
import hashlib

import host
from bench import configure, fill, slots
from certdefs import SIGNER, SUCCESS, Buffer, definition, issued, of_certificate, public_point, sized
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from cryptoauthlib.atcacert import atcacert_def_t, atcacert_tm_utc_t
from driver import DATA, Out, Status, call
from layout import padded
from locked import serial_number

DEVICE = definition("g_tflxtls_cert_def_4_device")
ORGANISATION = "Microchip Technology Inc"
SIGNER_ID = bytes.fromhex("C0DE")
ISSUED = datetime.datetime(2026, 2, 3, 4)

# TrustFLEX's slots, as far as certificates need them, between the locks and after (section 6h: still writable).
POLICIES = {0: (0x2085, 0x0053), 10: (0x0F0F, 0x003C), 11: (0x0F0F, 0x0030), 12: (0x0F0F, 0x003C)}


def run(checks, bench):
    with bench.chip() as (chip, server):
        configure(chip, slots(POLICIES))
        checks.run(a_chain_is_written_and_read_back, chip)
        checks.run(the_chip_signs_a_request, chip)


def name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
                      x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def packed_dates(years):
    """Three bytes: year, month, day, hour, years (section 7.1)."""
    value = ISSUED.year - 2000
    for part, bits in ((ISSUED.month, 4), (ISSUED.day, 5), (ISSUED.hour, 5), (years, 5)):
        value = value << bits | part
    return value.to_bytes(3, "big")


def serial_from(point, years):
    """SN source A of section 7.2, 16 bytes."""
    digest = bytearray(hashlib.sha256(point + packed_dates(years)).digest()[:16])
    digest[0] = digest[0] & 0x7F | 0x40
    return int.from_bytes(digest, "big")


def key_of(point):
    return host.point(point)


def certificate(subject, point, issuer, issuer_key, years, extensions):
    """A certificate as section 7.4 has it, with DER by Python's cryptography."""
    # The end is beyond 2049, so the standard wants GeneralizedTime, as the definitions have it.
    builder = x509.CertificateBuilder(issuer_name=name(issuer), subject_name=name(subject), public_key=key_of(point),
                                      serial_number=serial_from(point, years), not_valid_before=ISSUED,
                                      not_valid_after=ISSUED.replace(year=ISSUED.year + years))
    key_ids = ((x509.SubjectKeyIdentifier.from_public_key(key_of(point)), False),
               (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.key.public_key()), False))
    for extension, critical in (*extensions, *key_ids):
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key.key, hashes.SHA256())


def usage(**names):
    return x509.KeyUsage(**{**dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment",
                                             "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
                                             "encipher_only", "decipher_only"), False), **names})


def a_chain_is_written_and_read_back(checks, chip):
    root, signer_key = host.SoftwareKey(), host.SoftwareKey()
    own = chip("atcab_genkey", 0, Out(64))
    signer_name = "Crypto Authentication Signer " + SIGNER_ID.hex().upper()
    signer = certificate(signer_name, signer_key.public, "Crypto Authentication Root CA 002", root, 31,
                         ((usage(digital_signature=True, key_cert_sign=True, crl_sign=True), True),
                          (x509.BasicConstraints(True, 0), True)))
    device = certificate("sn" + serial_number(chip).hex().upper(), own, signer_name, signer_key, 28,
                         ((x509.BasicConstraints(False, None), True),
                          (usage(digital_signature=True, key_agreement=True), True)))
    signer_der, device_der = (cert.public_bytes(serialization.Encoding.DER) for cert in (signer, device))
    size = ctypes.c_size_t(len(signer_der))
    checks.equal("the signer's certificate is written",
                 Status(call("atcacert_write_cert", ctypes.byref(SIGNER), signer_der,
                                                                   size)), SUCCESS)
    size = ctypes.c_size_t(len(device_der))
    checks.equal("the device's, with the device named", Status(call("atcacert_write_cert_ext", chip.device(),
                                                                   ctypes.byref(DEVICE), device_der, size)), SUCCESS)
    fill(chip, {})
    for cert, der, cert_def, number, years, issuer, template in (
            (signer, signer_der, SIGNER, 12, 31, root, 0x10), (device, device_der, DEVICE, 10, 28, signer_key, 0x30)):
        packed = chip("atcab_read_bytes_zone", DATA, number, 0, Out(72), 72)
        checks.equal(f"slot {number} holds dates, signer id, template and source of the serial number",
                     packed[64:], packed_dates(years) + SIGNER_ID + bytes([template, 0xA0, 0]))
        checks.equal("atcacert_get_comp_cert packs it the same",
                     of_certificate("atcacert_get_comp_cert", cert_def, der, 72),
                     packed)
        back = sized("atcacert_read_cert_ext", ctypes.byref(cert_def), ctypes.byref(Buffer(issuer.public)),
                     before=(chip.device(),))
        checks.equal("read back, it is the same, byte by byte", back, der)
        for function, first in (("atcacert_read_cert_size", ()), ("atcacert_read_cert_size_ext", (chip.device(),))):
            size = ctypes.c_size_t(0)
            status = Status(call(function, *first, ctypes.byref(cert_def), ctypes.byref(size)))
            checks.equal("and its size was known", (status, size.value), (SUCCESS, len(der)))
        digest = Buffer(32)
        call("atcacert_get_tbs_digest", ctypes.byref(cert_def), der, ctypes.c_size_t(len(der)), ctypes.byref(digest))
        checks.equal("what is signed", digest.bytes(), hashlib.sha256(cert.tbs_certificate_bytes).digest())
        key = Buffer(64)
        call("atcacert_get_subj_public_key", ctypes.byref(cert_def), der, ctypes.c_size_t(len(der)), ctypes.byref(key))
        checks.equal("its key", key.bytes(), public_point(cert))
        checks.equal("the signer's id", of_certificate("atcacert_get_signer_id", cert_def, der, 2), SIGNER_ID)
        for function, wanted in (("atcacert_get_issue_date", ISSUED),
                                 ("atcacert_get_expire_date", ISSUED.replace(year=ISSUED.year + years))):
            found = atcacert_tm_utc_t(0, 0, 0, 1, 0, 0)
            call(function, ctypes.byref(cert_def), der, ctypes.c_size_t(len(der)), ctypes.byref(found))
            checks.equal(function,
                         datetime.datetime(1900 + found.tm_year, found.tm_mon + 1, found.tm_mday, found.tm_hour),
                         wanted)
    checks.equal("slot 11 holds the signer's key", chip("atcab_read_bytes_zone", DATA, 11, 0, Out(72), 72),
                 padded(signer_key.public))
    checks.true("and the chain is one", issued(signer, root.public) and issued(device, signer_key.public))


def the_chip_signs_a_request(checks, chip):
    filler = host.SoftwareKey()
    template = x509.CertificateSigningRequestBuilder().subject_name(name("a chip")).sign(filler.key, hashes.SHA256())
    der = template.public_bytes(serialization.Encoding.DER)
    body = template.tbs_certrequest_bytes
    request = atcacert_def_t()
    request.private_key_slot = 0
    request.public_key_dev_loc.zone = 2
    request.public_key_dev_loc.is_genkey = 1
    request.public_key_dev_loc.count = 64
    request.tbs_cert_loc.offset, request.tbs_cert_loc.count = der.index(body), len(body)
    for element, offset, count in ((0, der.index(filler.public), 64),
                                   (1, der.rindex(template.signature) - 3, len(template.signature) + 3)):
        request.std_cert_elements[element].offset, request.std_cert_elements[element].count = offset, count
    room = (ctypes.c_uint8 * len(der)).from_buffer_copy(der)
    request.cert_template, request.cert_template_size = ctypes.cast(room, ctypes.POINTER(ctypes.c_uint8)), len(der)
    for function, load in (("atcacert_create_csr", x509.load_der_x509_csr),
                           ("atcacert_create_csr_pem", x509.load_pem_x509_csr)):
        csr = load(sized(function, ctypes.byref(request)))
        checks.true(f"{function}: the request verifies", csr.is_signature_valid)
        checks.equal("its key is slot 0's", public_point(csr), chip("atcab_get_pubkey", 0, Out(64)))
