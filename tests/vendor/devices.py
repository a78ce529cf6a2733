# SPDX-License-Identifier: MIT OR Apache-2.0
"""The library's functions on a device that is named (`_ext`), through all lock states, beside those on its own; and
what is left: bare commands, sizes, types, a key stretched by the chip (fact sheet sections 3.12, 3.13, 3.15, 3.18
and 5)."""

import ctypes
import hashlib
import os

import host
import host_keys
import vendor_config as slot
from bench import configure, done, fill, patched
from driver import CONFIG, DATA, EXECUTION, OK, OTP, Out, Status, call
from locked import EPHEMERAL, expected_hmac, hmac_with, serial_number
from raw import Awake
from shared_secrets import counter
from vendor_tests import fixed_temp_key, random_temp_key

KEY = slot.SLOT_4_KEY


def run(checks, bench):
    with bench.chip() as (chip, server), chip.second_device() as device:
        for topic in (a_named_device_is_configured_and_filled, a_named_device_answers_as_the_librarys_own,
                      a_named_device_takes_what_it_is_given):
            checks.run(topic, chip, device)
    with bench.chip() as (chip, server):
        configure(chip, {16: slot.CONFIG_16_TO_127})
        fill(chip, {slot.KEY: KEY, slot.ENCRYPTED: bytes(416)}, otp=bytes(64))
        for topic in (what_the_library_knows_of_the_chip, bare_commands, a_key_is_stretched,
                      an_encrypted_answer_is_opened_by_the_host, a_private_key_is_sealed_by_the_host,
                      another_device_takes_the_librarys_place):
            checks.run(topic, chip)


def a_named_device_is_configured_and_filled(checks, chip, device):
    config = patched(chip("atcab_read_config_zone", Out(128)), {16: slot.CONFIG_16_TO_127})
    checks.equal("atcab_write_config_zone_ext", chip("atcab_write_config_zone_ext", device, config), OK)
    checks.equal("atcab_read_config_zone_ext", chip("atcab_read_config_zone_ext", device, Out(128)), config)
    checks.equal("atcab_write_bytes_zone_ext",
                 chip("atcab_write_bytes_zone_ext", device, CONFIG, 0, 16, config[16:24], 8),
                 OK)
    checks.equal("atcab_write_zone_ext", chip("atcab_write_zone_ext", device, CONFIG, 0, 0, 4, config[16:20], 4), OK)
    checks.equal("atcab_is_config_locked_ext", chip("atcab_is_config_locked_ext", device, Out(1)), b"\0")
    checks.equal("atcab_lock_config_zone_ext", chip("atcab_lock_config_zone_ext", device), OK)
    checks.equal("atcab_is_config_locked_ext", chip("atcab_is_config_locked_ext", device, Out(1)), b"\1")
    public = chip("atcab_genkey_ext", device, slot.SIGN, Out(64))
    checks.true("atcab_genkey_ext answers a point", host.on_curve(public), public)
    checks.equal("atcab_write_zone_ext of a key",
                 chip("atcab_write_zone_ext", device, DATA, slot.KEY, 0, 0, KEY, 32), OK)
    checks.equal("atcab_write_pubkey_ext", chip("atcab_write_pubkey_ext", device, slot.PARENT, public), OK)
    checks.equal("atcab_is_data_locked_ext", chip("atcab_is_data_locked_ext", device, Out(1)), b"\0")
    checks.equal("atcab_lock_data_zone_ext", chip("atcab_lock_data_zone_ext", device), OK)
    checks.equal("atcab_is_data_locked_ext", chip("atcab_is_data_locked_ext", device, Out(1)), b"\1")


def a_named_device_answers_as_the_librarys_own(checks, chip, device):
    serial, size = serial_number(chip), ctypes.c_size_t(0)
    for name, arguments, out in (("atcab_info", (), 4), ("atcab_read_config_zone", (), 128),
                                 ("atcab_read_serial_number", (), 9), ("atcab_get_pubkey", (slot.SIGN,), 64),
                                 ("atcab_read_pubkey", (slot.PARENT,), 64), ("atcab_is_private", (slot.SIGN,), 1),
                                 ("atcab_is_slot_locked", (slot.LOCKABLE,), 1)):
        checks.equal(name + "_ext", chip(name + "_ext", device, *arguments, Out(out)), chip(name, *arguments, Out(out)))
    for zone, number, count in ((CONFIG, 0, 128), (OTP, 0, 64), (DATA, slot.PARENT, 72)):
        for function in ("atcab_read_bytes_zone", "atcab_read_bytes_zone_ext"):
            first = (device,) if function.endswith("ext") else ()
            answer = chip(function, *first, zone, number, 0, Out(count), count)
            if zone == CONFIG:
                checks.equal(f"{function} of the configuration: serial number", answer[:4] + answer[8:13], serial)
        checks.equal(f"{function} of zone {zone}", answer,
                     chip("atcab_read_bytes_zone", zone, number, 0, Out(count), count))
    checks.equal("atcab_read_zone_ext", chip("atcab_read_zone_ext", device, CONFIG, 0, 2, 5, Out(4), 4)[2:], b"\0\0")
    for number, wanted in ((0, 36), (8, 416), (9, 72), (15, 72)):
        for function, first in (("atcab_get_zone_size", ()), ("atcab_get_zone_size_ext", (device,))):
            status = chip(function, *first, DATA, number, size)
            checks.equal(f"{function} of slot {number}", (status, size.value), (OK, wanted))


def a_named_device_takes_what_it_is_given(checks, chip, device):
    digest, number, message = os.urandom(32), os.urandom(20), os.urandom(70)
    public = chip("atcab_get_pubkey", slot.SIGN, Out(64))
    signature = chip("atcab_sign_ext", device, slot.SIGN, digest, Out(64))
    checks.true("atcab_sign_ext", host.verifies(public, digest, signature), signature)
    checks.equal("atcab_verify_extern_ext", chip("atcab_verify_extern_ext", device, digest, signature, public, Out(1)),
                 b"\1")
    checks.equal("atcab_verify_stored_ext",
                 chip("atcab_verify_stored_ext", device, digest, signature, slot.PARENT, Out(1)),
                 b"\1")
    answer = chip("atcab_nonce_rand_ext", device, number, Out(32))
    temp_key = host.nonce(host.TempKey(), 0, 0, number, answer)
    checks.equal("atcab_nonce_rand_ext leaves what atcah_nonce says", hmac_with(chip, EPHEMERAL),
                 expected_hmac(temp_key.bytes()))
    checks.equal("atcab_sha_hmac_ext", chip("atcab_sha_hmac_ext", device, message, 70, slot.KEY, Out(32), 0xC0),
                 host.hmac_sha256(KEY, message))
    numbers = {chip("atcab_random_ext", device, Out(32)) for _ in range(2)}
    checks.equal("atcab_random_ext answers another number each time", len(numbers), 2)
    checks.equal("atcab_lock_data_slot_ext", chip("atcab_lock_data_slot_ext", device, slot.LOCKABLE), OK)
    checks.equal("atcab_is_slot_locked_ext", chip("atcab_is_slot_locked_ext", device, slot.LOCKABLE, Out(1)), b"\1")
    checks.equal("and the library's own device sees it", chip("atcab_is_slot_locked", slot.LOCKABLE, Out(1)), b"\1")


def what_the_library_knows_of_the_chip(checks, chip):
    device = chip.device()
    date = ctypes.create_string_buffer(32)
    checks.equal("atcab_version", (Status(call("atcab_version", date)), date.value.isalnum()), (OK, True))
    types = {call("atcab_get_device_type", restype=ctypes.c_uint32), chip.config.devtype,
             call("atcab_get_device_type_ext", device, restype=ctypes.c_uint32)}
    checks.equal("the device is of the type that was opened", types, {3})
    for function, wanted in (("atcab_is_ca_device", True), ("atcab_is_ca2_device", False),
                             ("atcab_is_ta_device", False)):
        checks.equal(function, call(function, ctypes.c_int(3), restype=ctypes.c_bool), wanted)
    checks.equal("its address", call("atcab_get_device_address", device, restype=ctypes.c_uint8), 0xC0)
    for zone, what in ((0, "configuration"), (1, "data")):
        checks.equal(f"atcab_is_locked: the {what}", chip("atcab_is_locked", zone, Out(1)), b"\1")


def bare_commands(checks, chip):
    checks.equal("atcab_lock of slot 13", chip("atcab_lock", 0x82 & 0x7F | slot.LOCKABLE << 2, 0), OK)
    checks.equal("and again", chip("atcab_lock", 0x82 & 0x7F | slot.LOCKABLE << 2, 0), EXECUTION)
    value = ctypes.c_uint32(0)
    before = counter(chip, "atcab_counter_read", 1)
    checks.equal("atcab_counter, increment", (chip("atcab_counter", 1, 1, value), value.value), (OK, before + 1))
    message = os.urandom(64 + 10)
    checks.equal("atcab_sha_start", chip("atcab_sha_start"), OK)
    checks.equal("atcab_sha_update", chip("atcab_sha_update", message[:64]), OK)
    checks.equal("atcab_sha_end", chip("atcab_sha_end", Out(32), 10, message[64:]), host.sha256(message))
    checks.equal("atcah_sha256 is the same", host_keys.sha256(message), host.sha256(message))


def a_key_is_stretched(checks, chip):
    salt = os.urandom(16)
    wanted = hashlib.pbkdf2_hmac("sha256", KEY, salt, 3, 40)
    checks.equal("PBKDF2 with the key in slot 4", chip("atcab_pbkdf2_sha256", 3, slot.KEY, salt, 16, Out(40), 40),
                 wanted)
    checks.equal("with the device named",
                 chip("atcab_pbkdf2_sha256_ext", chip.device(), 3, slot.KEY, salt, 16, Out(40), 40), wanted)


def session_key(chip, begin=random_temp_key):
    """TempKey as GenDig with slot 4 leaves it, in the chip and as the library has it."""
    temp_key = begin(chip)
    done(chip("atcab_gendig", DATA, slot.KEY, None, 0), "digest slot 4")
    return host.gen_dig(temp_key, DATA, slot.KEY, KEY, serial_number(chip))


def an_encrypted_answer_is_opened_by_the_host(checks, chip):
    serial, plain, address = serial_number(chip), os.urandom(32), slot.ENCRYPTED << 3
    data, mac = host_keys.write_mac(0xC2, address, plain, session_key(chip), serial)
    checks.equal("encrypted Write", chip("atcab_write", 0xC2, address, data, mac), OK)
    temp_key = session_key(chip)
    data, mac = host_keys.write_mac(0xC2, address, plain, host.TempKey.from_buffer_copy(temp_key), serial)
    host.atcah("atcah_gen_mac", ctypes.byref(host.GenDigInOut(
        zone=0xC2, key_id=address, sn=serial, stored_value=plain, temp_key=ctypes.pointer(temp_key))))
    checks.equal("the library's other function for the MAC has the same", temp_key.bytes(), mac)
    temp_key = session_key(chip)
    hidden = chip("atcab_read_zone", DATA, slot.ENCRYPTED, 0, 0, Out(32), 32)
    checks.true("the answer hides the data", hidden != plain, hidden)
    checks.equal("atcah_decrypt opens it", host_keys.decrypted(hidden, temp_key), plain)
    checks.equal("Read uses TempKey up", chip("atcab_read_zone", DATA, slot.ENCRYPTED, 0, 0, Out(32), 32), EXECUTION)
    session_key(chip)
    checks.equal("Read of one word", chip("atcab_read_zone", DATA, slot.ENCRYPTED, 0, 0, Out(4), 4), EXECUTION)
    session_key(chip, fixed_temp_key)
    checks.equal("with a nonce from input", chip("atcab_read_zone", DATA, slot.ENCRYPTED, 0, 0, Out(32), 32), EXECUTION)


def a_private_key_is_sealed_by_the_host(checks, chip):
    serial = serial_number(chip)
    for what, change, answer in (("right", 0, b"\0"), ("a wrong MAC", 1, b"\x0F")):
        temp_key = session_key(chip)
        value = temp_key.bytes()
        data, mac = host_keys.priv_write_mac(slot.PRIV_WRITE, slot.PRIVATE_KEY, temp_key, serial)
        stream = value + host.sha256(value)[:4]
        checks.equal("atcah_privwrite_auth_mac hides the key as the fact sheet has it", data,
                     bytes(a ^ b for a, b in zip(slot.PRIVATE_KEY, stream)))
        checks.equal("and its MAC too", mac, host.sha256(value, bytes([0x46, 0x40, slot.PRIV_WRITE, 0]), serial[8:],
                                                        serial[:2], bytes(21), slot.PRIVATE_KEY))
        mac = mac[:31] + bytes([mac[31] ^ change])
        with Awake(chip) as bus:
            checks.equal(f"PrivWrite, {what}", bus(0x46, 0x40, slot.PRIV_WRITE, data + mac), answer)
        checks.equal("the known public key", chip("atcab_get_pubkey", slot.PRIV_WRITE, Out(64)), slot.PUBLIC_KEY)
    with Awake(chip) as bus:
        checks.equal("PrivWrite in clear after the lock",
                     bus(0x46, 0x00, slot.PRIV_WRITE, slot.PRIVATE_KEY + bytes(32)), b"\x0F")


def another_device_takes_the_librarys_place(checks, chip):
    device = ctypes.c_void_p()
    status = call("atcab_init_ext", ctypes.byref(device), ctypes.byref(chip.config))
    checks.equal("atcab_init_ext", Status(status), OK)
    checks.equal("atcab_init_device", chip("atcab_init_device", device), OK)
    checks.equal("is the library's own now", chip.device().value, device.value)
    checks.equal("and answers", chip("atcab_info", Out(4)), bytes.fromhex("00006003"))
