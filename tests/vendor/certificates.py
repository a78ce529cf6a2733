# SPDX-License-Identifier: MIT OR Apache-2.0
"""Chips that come with keys and certificates: Trust&GO, its first version, and TrustFLEX, read and used with the
library's own definitions (fact sheet sections 5.10, 6c, 6d and 7)."""

import ctypes
import hashlib
import os

import host
from certdefs import (ROOM, SIGNER, SUCCESS, VERIFY_FAILED, Buffer, definition, issued, known_size, of_certificate,
                      public_point, read_cert, simulated_root, sized, verify_on_chip)
from cryptography import x509
from cryptoauthlib.library import get_cryptoauthlib
from driver import CONFIG, DATA, EXECUTION, OK, OTP, Out, Status, call
from locked import serial_number

# Profile, address, OTP code, the library's definition, the device's common name, an extension with the EUI.
SOLD = (("tngtls", 0x35, b"x6tjuZMy", "g_tngtls_cert_def_3_device", "sn{}", True),
        ("tngtls-early", 0x35, b"wdNxAjae", "g_tngtls_cert_def_2_device", "{} ATECC", False),
        ("tflxtls", 0x36, b"MKMwyhP1", "g_tflxtls_cert_def_4_device", "sn{}", False))


class Sold:
    def __init__(self, profile, code, name, common_name, has_eui):
        self.profile, self.code, self.name = profile, code, name
        self.definition, self.common_name, self.has_eui = definition(name), common_name, has_eui
        self.root = public_point(simulated_root())


# Microchip Root CA 002 (section 7.4): what the library brings along.
VENDOR_ROOT_SIZE = 501
VENDOR_ROOT_KEY = bytes.fromhex("BD54E66DE3875484006B53AE1580D50AA069E78ADF5578D85CE2D54DD5B83029"
                                "6BFFDD6E6F7256FBD99EF1A116B11D33AD49103AA1858739DCFAE437E19D634E")


def run(checks, bench):
    checks.run(the_library_brings_the_vendors_root)
    for profile, address, *facts in SOLD:
        with bench.chip(profile, address) as (chip, server):
            print(profile)
            sold = Sold(profile, *facts)
            for topic in (it_is_locked_and_says_what_it_is, its_certificates_chain_to_the_root,
                          the_library_knows_the_certificates_parts, it_proves_its_identity,
                          its_keys_do_what_they_are_for,
                          its_attestation_key_signs_internal_messages_only):
                checks.run(topic, chip, sold)


def the_library_brings_the_vendors_root(checks):
    root, key = sized("tng_atcacert_root_cert"), Out(64)
    checks.equal("the root's size", (known_size("tng_atcacert_root_cert_size"), len(root)), (VENDOR_ROOT_SIZE,) * 2)
    call("tng_atcacert_root_public_key", key.bytes)
    checks.equal("the root's key", (bytes(key.bytes), public_point(x509.load_der_x509_certificate(root))),
                 (VENDOR_ROOT_KEY,) * 2)
    checks.true("no simulated chip has that root", public_point(simulated_root()) != VENDOR_ROOT_KEY)


def it_is_locked_and_says_what_it_is(checks, chip, sold):
    checks.equal("configuration is locked", chip("atcab_is_config_locked", Out(1)), b"\1")
    checks.equal("data is locked", chip("atcab_is_data_locked", Out(1)), b"\1")
    checks.equal("OTP says what it is", chip("atcab_read_bytes_zone", OTP, 0, 0, Out(64), 64),
                 sold.code.ljust(64, b"\0"))
    serial = serial_number(chip)
    checks.equal("its serial number is one of a Trust chip", (serial[:2], serial[8:]), (b"\x01\x23", b"\x01"))
    found = ctypes.c_void_p()
    status = Status(call("tng_get_device_cert_def", ctypes.byref(found)))
    wanted = ctypes.addressof(ctypes.c_uint8.in_dll(get_cryptoauthlib(), sold.name))
    checks.equal("the library finds its definition by the code", (status, found.value), (SUCCESS, wanted))
    with chip.second_device() as device:
        status = Status(call("tng_get_device_cert_def_ext", device, ctypes.byref(found)))
        checks.equal("also with the device named", (status, found.value), (SUCCESS, wanted))


def its_certificates_chain_to_the_root(checks, chip, sold):
    signer_der = sized("tng_atcacert_read_signer_cert")
    signer = x509.load_der_x509_certificate(signer_der)
    signer_key = chip("atcab_read_pubkey", 11, Out(64))
    checks.true("the signer's certificate, rebuilt, is signed by the simulators' root", issued(signer, sold.root))
    checks.equal("its key is in slot 11", public_point(signer), signer_key)
    checks.equal("its issuer is the root", signer.issuer, simulated_root().subject)
    checks.true("it is a certification authority for one step",
                extension(signer, x509.BasicConstraints) == x509.BasicConstraints(True, 0))
    device_der = sized("tng_atcacert_read_device_cert", after=(None,))
    device = x509.load_der_x509_certificate(device_der)
    checks.true("the device's certificate, rebuilt, is signed by the signer", issued(device, signer_key))
    checks.equal("its issuer is the signer", device.issuer, signer.subject)
    checks.equal("the library rebuilds the same beside the signer's certificate",
                 sized("tng_atcacert_read_device_cert", after=(signer_der,)), device_der)
    checks.equal("and with the definition named", read_cert(sold.definition, signer_key), device_der)
    checks.equal("its key is slot 0's", public_point(device), chip("atcab_get_pubkey", 0, Out(64)))
    name = sold.common_name.format(serial_number(chip).hex().upper())
    checks.equal("its common name is the serial number",
                 device.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value,
                 name)
    eui = chip("atcab_read_bytes_zone", DATA, 5, 0, Out(12), 12) if sold.has_eui else b""
    checks.equal("the EUI-48 of slot 5 is in it", (b"eui48_" + eui if eui else b"eui48_") in device_der, sold.has_eui)
    for what, cert_def, cert, issuer in (("signer", SIGNER, signer_der, sold.root),
                                         ("device", sold.definition, device_der, signer_key)):
        checks.equal(f"the chip verifies the {what}'s certificate", verify_on_chip(chip, cert_def, cert, issuer),
                     SUCCESS)
        checks.equal("and not with another key", verify_on_chip(chip, cert_def, cert, host.SoftwareKey().public),
                     VERIFY_FAILED)
        forged = cert[:300] + bytes([cert[300] ^ 1]) + cert[301:]
        checks.equal("nor after a bit was changed", verify_on_chip(chip, cert_def, forged, issuer), VERIFY_FAILED)
    checks.equal("the library makes the same of its template alone", read_cert(SIGNER, VENDOR_ROOT_KEY), signer_der)
    checks.equal("the root's key identifier is the one that the template names",
                 extension(signer, x509.AuthorityKeyIdentifier).key_identifier,
                 extension(simulated_root(), x509.SubjectKeyIdentifier).digest)


def extension(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def the_library_knows_the_certificates_parts(checks, chip, sold):
    signer_key = Out(64)
    status = Status(call("tng_atcacert_signer_public_key", signer_key.bytes, None))
    checks.equal("the signer's public key", (status, bytes(signer_key.bytes)),
                 (SUCCESS, chip("atcab_read_pubkey", 11, Out(64))))
    own = chip("atcab_get_pubkey", 0, Out(64))
    for function, more in (("tng_get_device_pubkey", ()), ("tng_atcacert_device_public_key", (None,))):
        key = Out(64)
        status = Status(call(function, key.bytes, *more))
        checks.equal(function, (status, bytes(key.bytes)), (SUCCESS, own))
    der = sized("tng_atcacert_read_device_cert", after=(None,))
    cert = x509.load_der_x509_certificate(der)
    key_id = hashlib.sha1(b"\4" + own).digest()
    checks.equal("subject key id is SHA-1 of the point",
                 of_certificate("atcacert_get_subj_key_id", sold.definition, der, 20),
                 key_id)
    checks.equal("authority key id is that of the signer",
                 of_certificate("atcacert_get_auth_key_id", sold.definition, der, 20),
                 hashlib.sha1(b"\4" + bytes(signer_key.bytes)).digest())
    room = Out(20)
    status = Status(call("atcacert_read_subj_key_id", ctypes.byref(sold.definition), room.bytes))
    checks.equal("atcacert_read_subj_key_id from the chip", (status, bytes(room.bytes)), (SUCCESS, key_id))
    packed = chip("atcab_read_bytes_zone", DATA, 10, 0, Out(72), 72)
    serial, size = ctypes.create_string_buffer(32), ctypes.c_size_t(32)
    call("atcacert_get_cert_sn", ctypes.byref(sold.definition), der, ctypes.c_size_t(len(der)), serial,
         ctypes.byref(size))
    wanted = bytearray(hashlib.sha256(own + packed[64:67]).digest()[:16])
    wanted[0] = wanted[0] & 0x7F | 0x40
    checks.equal("serial number is the hash of key and dates", serial.raw[:size.value], bytes(wanted))
    checks.equal("as the certificate has it", cert.serial_number, int.from_bytes(wanted, "big"))
    signer = Buffer(64)
    status = Status(call("atcacert_get_signature", ctypes.byref(sold.definition), der, ctypes.c_size_t(len(der)),
                         ctypes.byref(signer)))
    checks.equal("the signature is that of slot 10", (status, signer.bytes()), (SUCCESS, packed[:64]))
    status = Status(call("atcacert_read_subj_key_id_ext", chip.device(), ctypes.byref(sold.definition), room.bytes))
    checks.equal("with the device named", (status, bytes(room.bytes)), (SUCCESS, key_id))
    for function, cert_size in (("tng_atcacert_max_device_cert_size", len(der)),
                                ("tng_atcacert_max_signer_cert_size", len(sized("tng_atcacert_read_signer_cert")))):
        size = known_size(function)
        checks.true(f"{function} is room enough", isinstance(size, int) and cert_size <= size < ROOM, size)



def it_proves_its_identity(checks, chip, sold):
    challenge, response = Buffer(32), Buffer(64)
    checks.equal("a challenge", Status(call("atcacert_gen_challenge_hw", chip.device(), ctypes.byref(challenge))),
                 SUCCESS)
    checks.equal("the response", Status(call("atcacert_get_response", ctypes.c_uint16(0), ctypes.byref(challenge),
                                             ctypes.byref(response))), SUCCESS)
    own = chip("atcab_get_pubkey", 0, Out(64))
    checks.true("verifies in software", host.verifies(own, challenge.bytes(), response.bytes()))
    for key, wanted in ((own, SUCCESS), (host.SoftwareKey().public, VERIFY_FAILED)):
        checks.equal("on the chip", Status(call("atcacert_verify_response_hw", chip.device(), ctypes.byref(Buffer(key)),
                                                ctypes.byref(challenge), ctypes.byref(response))), wanted)


def its_keys_do_what_they_are_for(checks, chip, sold):
    digest, peer = os.urandom(32), host.SoftwareKey()
    public = chip("atcab_get_pubkey", 0, Out(64))
    checks.true("slot 0 signs", host.verifies(public, digest, chip("atcab_sign", 0, digest, Out(64))))
    checks.equal("slot 0: ECDH", chip("atcab_ecdh", 0, peer.public, Out(32)), peer.ecdh(public))
    for slot in (0, 1):
        checks.equal(f"slot {slot} is permanent: GenKey(create)", chip("atcab_genkey", slot, Out(64)), EXECUTION)
        checks.equal("Lock(slot)", chip("atcab_lock_data_slot", slot), EXECUTION)
    for slot in (2, 3, 4):
        new = chip("atcab_genkey", slot, Out(64))
        checks.true(f"slot {slot}: GenKey(create)", host.on_curve(new), new)
        checks.true("signs", host.verifies(new, digest, chip("atcab_sign", slot, digest, Out(64))))
        checks.equal("ECDH", chip("atcab_ecdh", slot, peer.public, Out(32)), peer.ecdh(new))
    checks.equal("slot 4 is lockable", chip("atcab_lock_data_slot", 4), OK)
    checks.equal("and then permanent", chip("atcab_genkey", 4, Out(64)), EXECUTION)
    for slot in (10, 11, 12):
        checks.equal(f"slot {slot}, certificates, is not written",
                     chip("atcab_write_zone", DATA, slot, 0, 0, digest, 32),
                     EXECUTION)
    checks.equal("slot 8 is written", chip("atcab_write_zone", DATA, 8, 0, 0, digest, 32), OK)
    checks.equal("and read", chip("atcab_read_zone", DATA, 8, 0, 0, Out(32), 32), digest)
    checks.equal("the IO key is written", chip("atcab_write_zone", DATA, 6, 0, 0, digest, 32), OK)
    checks.equal("not read", chip("atcab_read_zone", DATA, 6, 0, 0, Out(32), 32), EXECUTION)
    checks.equal("and hides the secret of ECDH", chip("atcab_ecdh_ioenc", 0, peer.public, Out(32), digest),
                 peer.ecdh(public))
    aes = os.urandom(32)
    checks.equal("the AES key is written", chip("atcab_write_zone", DATA, 9, 0, 0, aes, 32), OK)
    checks.equal("and encrypts", chip("atcab_aes_encrypt", 9, 0, digest[:16], Out(16)),
                 host.aes_encrypt(aes[:16], digest[:16]))


def its_attestation_key_signs_internal_messages_only(checks, chip, sold):
    serial, config, digest = serial_number(chip), chip("atcab_read_config_zone", Out(128)), os.urandom(32)
    attest = chip("atcab_get_pubkey", 1, Out(64))
    checks.equal("slot 1: Sign(external)", chip("atcab_sign", 1, digest, Out(64)), EXECUTION)
    checks.equal("slot 1: ECDH", chip("atcab_ecdh", 1, attest, Out(32)), EXECUTION)
    public = chip("atcab_get_pubkey", 2, Out(64))
    number = os.urandom(20)
    temp_key = host.nonce(host.TempKey(), 0, 0, number, chip("atcab_nonce_rand", number, Out(32)))
    checks.equal("GenKey(public, digest) of slot 2", chip("atcab_genkey_base", 0x08, 2, None, Out(64)), public)
    host.gen_key_digest(temp_key, 0x08, 2, public, None, serial)
    signature = chip("atcab_sign_internal", 1, 0, 1, Out(64))
    message, _ = host.sign_internal(temp_key, 0x40, 1, config, serial)
    checks.true("Sign(internal) attests slot 2's key, as atcah_sign_internal_msg has it",
                host.verifies(attest, message, signature), signature)
    block = chip("atcab_read_zone", DATA, 8, 0, 0, Out(32), 32)
    temp_key = host.nonce(host.TempKey(), 0, 0, number, chip("atcab_nonce_rand", number, Out(32)))
    checks.equal("GenDig of slot 8", chip("atcab_gendig", DATA, 8, None, 0), OK)
    host.gen_dig(temp_key, DATA, 8, block, serial)
    signature = chip("atcab_sign_internal", 1, 0, 0, Out(64))
    message, _ = host.sign_internal(temp_key, 0, 1, config, serial)
    checks.true("Sign(internal) attests what is in slot 8", host.verifies(attest, message, signature), signature)
    chip("atcab_nonce_rand", number, Out(32))
    checks.equal("GenDig of the configuration", chip("atcab_gendig", CONFIG, 2, None, 0), OK)
    checks.equal("is of no slot: Sign(internal) is refused (strict)", chip("atcab_sign_internal", 1, 0, 0, Out(64)),
                 EXECUTION)
