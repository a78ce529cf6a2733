# SPDX-License-Identifier: MIT OR Apache-2.0
"""The other side of every computation: the library's own host functions (atcah_*), and Python's cryptography."""

import ctypes
import hashlib
import hmac

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from driver import call

Bytes = ctypes.c_char_p


class TempKey(ctypes.Structure):
    """atca_temp_key_t; its bit fields as the two bytes they are in."""
    _fields_ = [("value", ctypes.c_uint8 * 64), ("flags", ctypes.c_uint8), ("valid", ctypes.c_uint8),
                ("is_64", ctypes.c_uint8), ("padding", ctypes.c_uint8)]

    def bytes(self):
        return bytes(self.value)[:32]


class NonceInOut(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("zero", ctypes.c_uint16), ("num_in", Bytes), ("rand_out", Bytes),
                ("temp_key", ctypes.POINTER(TempKey))]


class GenKeyInOut(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("key_id", ctypes.c_uint16), ("public_key", Bytes),
                ("public_key_size", ctypes.c_size_t), ("other_data", Bytes), ("sn", Bytes),
                ("temp_key", ctypes.POINTER(TempKey))]


class SignInternalInOut(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("key_id", ctypes.c_uint16), ("slot_config", ctypes.c_uint16),
                ("key_config", ctypes.c_uint16), ("use_flag", ctypes.c_uint8), ("update_count", ctypes.c_uint8),
                ("is_slot_locked", ctypes.c_bool), ("for_invalidate", ctypes.c_bool), ("sn", Bytes),
                ("temp_key", ctypes.POINTER(TempKey)), ("message", ctypes.c_void_p),
                ("verify_other_data", ctypes.c_void_p), ("digest", ctypes.c_void_p)]


class VerifyMac(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("key_id", ctypes.c_uint16), ("signature", Bytes), ("other_data", Bytes),
                ("msg_dig_buf", Bytes), ("io_key", Bytes), ("sn", Bytes), ("temp_key", ctypes.POINTER(TempKey)),
                ("mac", ctypes.c_void_p)]


class IoDecrypt(ctypes.Structure):
    _fields_ = [("io_key", Bytes), ("out_nonce", Bytes), ("data", ctypes.c_void_p), ("data_size", ctypes.c_size_t)]


class MacInOut(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("key_id", ctypes.c_uint16), ("challenge", Bytes), ("key", Bytes),
                ("otp", Bytes), ("sn", Bytes), ("response", ctypes.c_void_p), ("temp_key", ctypes.POINTER(TempKey))]


class CheckMacInOut(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("key_id", ctypes.c_uint16), ("sn", Bytes), ("client_chal", Bytes),
                ("client_resp", ctypes.c_void_p), ("other_data", Bytes), ("otp", Bytes), ("slot_key", Bytes),
                ("target_key", Bytes), ("temp_key", ctypes.POINTER(TempKey))]


class GenDigInOut(ctypes.Structure):
    _fields_ = [("zone", ctypes.c_uint8), ("key_id", ctypes.c_uint16), ("slot_conf", ctypes.c_uint16),
                ("key_conf", ctypes.c_uint16), ("slot_locked", ctypes.c_uint8), ("counter", ctypes.c_uint32),
                ("is_key_nomac", ctypes.c_bool), ("sn", Bytes), ("stored_value", Bytes), ("other_data", Bytes),
                ("temp_key", ctypes.POINTER(TempKey))]


# The library returns the size of each: a changed layout is detected before it is used.
LAYOUTS = [("atca_temp_key_t", TempKey), ("atca_nonce_in_out_t", NonceInOut), ("atca_gen_key_in_out_t", GenKeyInOut),
           ("atca_sign_internal_in_out_t", SignInternalInOut), ("atca_verify_mac_in_out_t", VerifyMac),
           ("atca_io_decrypt_in_out_t", IoDecrypt), ("atca_mac_in_out_t", MacInOut),
           ("atca_check_mac_in_out_t", CheckMacInOut), ("atca_gen_dig_in_out_t", GenDigInOut)]


def layout_sizes(name, structure):
    """The sizes in the library, and those here."""
    return call(name + "_size", restype=ctypes.c_size_t), ctypes.sizeof(structure)


def atcah(function, *arguments):
    status = call(function, *arguments)
    if status:
        raise RuntimeError(f"{function}: {status}")


def nonce(temp_key, mode, zero, num_in, rand_out=None):
    """TempKey as the library says that Nonce leaves it."""
    parameters = NonceInOut(mode, zero, num_in, rand_out, ctypes.pointer(temp_key))
    atcah("atcah_nonce", ctypes.byref(parameters))
    return temp_key


def gen_key_digest(temp_key, mode, slot, public_key, other_data, serial):
    """TempKey as the library says that GenKey leaves it in its digest modes."""
    parameters = GenKeyInOut(mode, slot, public_key, 64, other_data, serial, ctypes.pointer(temp_key))
    atcah("atcah_gen_key_msg", ctypes.byref(parameters))
    return temp_key


def sign_internal(temp_key, mode, slot, config, serial, for_invalidate=False):
    """(digest, OtherData) of what the library says that Sign(internal) signs."""
    message, other, digest = (ctypes.create_string_buffer(size) for size in (55, 19, 32))
    parameters = SignInternalInOut(mode=mode, key_id=slot, sn=serial, temp_key=ctypes.pointer(temp_key),
                                   for_invalidate=for_invalidate, message=ctypes.addressof(message),
                                   verify_other_data=ctypes.addressof(other), digest=ctypes.addressof(digest))
    atcah("atcah_config_to_sign_internal", 3, ctypes.byref(parameters), config)
    atcah("atcah_sign_internal_msg", 3, ctypes.byref(parameters))
    return digest.raw, other.raw


def verify_mac(mode, key_id, signature, io_key, temp_key=None, digest_buffer=None):
    """The MAC that the library expects of Verify."""
    mac = ctypes.create_string_buffer(32)
    pointer = ctypes.pointer(temp_key) if temp_key else None
    parameters = VerifyMac(mode=mode, key_id=key_id, signature=signature, msg_dig_buf=digest_buffer, io_key=io_key,
                           temp_key=pointer, mac=ctypes.addressof(mac))
    atcah("atcah_verify_mac", ctypes.byref(parameters))
    return mac.raw


def io_decrypt(io_key, out_nonce, data):
    """Decrypts with the IO protection key."""
    buffer = ctypes.create_string_buffer(data, len(data))
    parameters = IoDecrypt(io_key, out_nonce, ctypes.addressof(buffer), len(data))
    atcah("atcah_io_decrypt", ctypes.byref(parameters))
    return buffer.raw


def mac(mode, slot, challenge, key, serial, temp_key=None):
    """The response of MAC according to the library. It reads OTP only for the modes with OTP."""
    response = ctypes.create_string_buffer(32)
    parameters = MacInOut(mode, slot, challenge, key, bytes(11), serial, ctypes.addressof(response),
                          ctypes.pointer(temp_key) if temp_key else None)
    atcah("atcah_mac", ctypes.byref(parameters))
    return response.raw


def check_mac(mode, slot, challenge, key, other_data, serial, otp=None, temp_key=None, target=None):
    """The response for CheckMac according to the library."""
    response = ctypes.create_string_buffer(32)
    parameters = CheckMacInOut(mode, slot, serial, challenge, ctypes.addressof(response), other_data, otp, key, target,
                               ctypes.pointer(temp_key or TempKey()))
    atcah("atcah_check_mac", ctypes.byref(parameters))
    return response.raw


def gen_dig(temp_key, zone, slot, stored, serial, **more):
    """TempKey as the library says that GenDig leaves it."""
    parameters = GenDigInOut(zone=zone, key_id=slot, stored_value=stored, sn=serial,
                             temp_key=ctypes.pointer(temp_key), **more)
    atcah("atcah_gen_dig", ctypes.byref(parameters))
    return temp_key


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hmac_sha256(key, message):
    return hmac.digest(key, message, "sha256")


def crc(data, value=0):
    """The chip's CRC (fact sheet section 2.3)."""
    for byte in data:
        for bit in range(8):
            mixed = (byte >> bit & 1) ^ (value >> 15)
            value = (value << 1 & 0xFFFF) ^ (0x8005 if mixed else 0)
    return value


class SoftwareKey:
    """A P-256 key pair in software, in the chip's formats."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        numbers = self.key.public_key().public_numbers()
        self.public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")

    def sign(self, digest):
        der = self.key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        r, s = utils.decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def ecdh(self, public_key):
        return self.key.exchange(ec.ECDH(), point(public_key))


def point(public_key):
    """X and Y as a key; an error if that is no point of the curve."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\4" + public_key)


def on_curve(public_key):
    try:
        point(public_key)
    except (ValueError, TypeError):
        return False
    return True


def verifies(public_key, digest, signature):
    if not isinstance(signature, bytes):
        return False
    der = utils.encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    try:
        point(public_key).verify(der, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return False
    return True


def aes_encrypt(key, blocks):
    """AES-128 of one or several blocks, each by itself."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(blocks) + encryptor.finalize()
