# SPDX-License-Identifier: MIT OR Apache-2.0
"""The library's host side of keys that travel or are derived: DeriveKey, PrivWrite, Write with MAC, SecureBoot."""

import ctypes

from host import Bytes, TempKey, atcah

TempKeyPointer = ctypes.POINTER(TempKey)


class DeriveKeyInOut(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("target_key_id", ctypes.c_uint16), ("sn", Bytes), ("parent_key", Bytes),
                ("target_key", ctypes.c_void_p), ("temp_key", TempKeyPointer)]


class DeriveKeyMacInOut(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("target_key_id", ctypes.c_uint16), ("sn", Bytes), ("parent_key", Bytes),
                ("mac", ctypes.c_void_p)]


class WriteMacInOut(ctypes.Structure):
    _fields_ = [("zone", ctypes.c_uint8), ("key_id", ctypes.c_uint16), ("sn", Bytes), ("input_data", Bytes),
                ("encrypted_data", ctypes.c_void_p), ("auth_mac", ctypes.c_void_p), ("temp_key", TempKeyPointer)]


class SecureBootEncInOut(ctypes.Structure):
    _fields_ = [("io_key", Bytes), ("temp_key", TempKeyPointer), ("digest", Bytes), ("hashed_key", ctypes.c_void_p),
                ("digest_enc", ctypes.c_void_p)]


class SecureBootMacInOut(ctypes.Structure):
    _fields_ = [("mode", ctypes.c_uint8), ("param2", ctypes.c_uint16), ("secure_boot_config", ctypes.c_uint16),
                ("hashed_key", Bytes), ("digest", Bytes), ("signature", Bytes), ("mac", ctypes.c_void_p)]


class DecryptInOut(ctypes.Structure):
    _fields_ = [("crypto_data", ctypes.c_void_p), ("temp_key", TempKeyPointer)]


LAYOUTS = [("atca_derive_key_in_out", DeriveKeyInOut), ("atca_derive_key_mac_in_out", DeriveKeyMacInOut),
           ("atca_write_mac_in_out_t", WriteMacInOut), ("atca_secureboot_enc_in_out_t", SecureBootEncInOut),
           ("atca_secureboot_mac_in_out_t", SecureBootMacInOut), ("atca_decrypt_in_out", DecryptInOut)]


def derived_key(mode, target, parent_key, temp_key, serial):
    """The key that the library says DeriveKey leaves in the target slot."""
    key = ctypes.create_string_buffer(32)
    parameters = DeriveKeyInOut(mode, target, serial, parent_key, ctypes.addressof(key), ctypes.pointer(temp_key))
    atcah("atcah_derive_key", ctypes.byref(parameters))
    return key.raw


def derive_key_mac(mode, target, parent_key, serial):
    """The MAC that the library says authorises DeriveKey."""
    mac = ctypes.create_string_buffer(32)
    parameters = DeriveKeyMacInOut(mode, target, serial, parent_key, ctypes.addressof(mac))
    atcah("atcah_derive_key_mac", ctypes.byref(parameters))
    return mac.raw


def write_mac(zone, address, plain, temp_key, serial):
    """(encrypted data, MAC) of an encrypted Write, as the library has them."""
    return sealed("atcah_write_auth_mac", 32, zone, address, plain, temp_key, serial)


def priv_write_mac(slot, key_36, temp_key, serial):
    """(encrypted key, MAC) of an encrypted PrivWrite, as the library has them."""
    return sealed("atcah_privwrite_auth_mac", 36, 0x40, slot, key_36, temp_key, serial)


def sealed(function, size, zone, key_id, plain, temp_key, serial):
    data, mac = ctypes.create_string_buffer(size), ctypes.create_string_buffer(32)
    parameters = WriteMacInOut(zone, key_id, serial, plain, ctypes.addressof(data), ctypes.addressof(mac),
                               ctypes.pointer(temp_key))
    atcah(function, ctypes.byref(parameters))
    return data.raw, mac.raw


def secure_boot_sealed(io_key, temp_key, digest):
    """(HashedKey, encrypted digest) of SecureBoot, as the library has them."""
    hashed, data = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    parameters = SecureBootEncInOut(io_key, ctypes.pointer(temp_key), digest, ctypes.addressof(hashed),
                                    ctypes.addressof(data))
    atcah("atcah_secureboot_enc", ctypes.byref(parameters))
    return hashed.raw, data.raw


def secure_boot_mac(mode, configuration, hashed_key, digest, signature):
    """The MAC that the library expects of SecureBoot."""
    mac = ctypes.create_string_buffer(32)
    parameters = SecureBootMacInOut(mode, 0, configuration, hashed_key, digest, signature, ctypes.addressof(mac))
    atcah("atcah_secureboot_mac", ctypes.byref(parameters))
    return mac.raw


def decrypted(data, temp_key):
    """Decrypts the data of an encrypted Read."""
    buffer = ctypes.create_string_buffer(data, len(data))
    parameters = DecryptInOut(ctypes.addressof(buffer), ctypes.pointer(temp_key))
    atcah("atcah_decrypt", ctypes.byref(parameters))
    return buffer.raw


def counter_match(value):
    """The first 8 bytes of the slot that limits Counter0."""
    encoded = ctypes.create_string_buffer(8)
    atcah("atcah_encode_counter_match", ctypes.c_uint32(value), encoded)
    return encoded.raw


def sha256(message):
    """SHA-256 by the library's own code on the host."""
    digest = ctypes.create_string_buffer(32)
    atcah("atcah_sha256", ctypes.c_uint32(len(message)), message, digest)
    return digest.raw
