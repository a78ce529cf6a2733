# SPDX-License-Identifier: MIT OR Apache-2.0
"""A chip as sold: nothing locked (fact sheet sections 2.4, 3.22, 5.1 and 5.7)."""

import hashlib

import host
import host_keys
import layout
from cryptoauthlib.atcacert import atcacert_def_t
from driver import CONFIG, DATA, EXECUTION, OK, OTP, PARSE, Out


def host_structures_are_those_of_the_library(checks, chip):
    for name, structure in host.LAYOUTS + host_keys.LAYOUTS + [("atcacert_def_t", atcacert_def_t)]:
        library, ours = host.layout_sizes(name, structure)
        checks.equal(f"size of {name}", ours, library)


def identity_of_a_blank_608b(checks, chip):
    config = chip("atcab_read_config_zone", Out(128))
    checks.equal("Info(revision) is that of a 608B", chip("atcab_info", Out(4)), bytes.fromhex("00006003"))
    checks.equal("configuration bytes 4 to 7 say the same", config[4:8], bytes.fromhex("00006003"))
    serial = chip("atcab_read_serial_number", Out(9))
    checks.equal("serial number is bytes 0 to 3 and 8 to 12", serial, config[:4] + config[8:13])
    checks.equal("it begins with 01 23", serial[:2], bytes.fromhex("0123"))
    checks.equal("it ends with EE", serial[8:], b"\xEE")
    checks.equal("I2C address is C0", config[16], 0xC0)
    checks.equal("lock bytes are 55 55", config[86:88], b"\x55\x55")
    checks.equal("no slot is locked", config[88:90], b"\xFF\xFF")
    checks.equal("counters are zero, as they are encoded", config[52:68], bytes.fromhex("FFFFFFFF00000000") * 2)
    checks.equal("slots 0 to 2 are for private P-256 keys", config[96:102], bytes.fromhex("330033003300"))
    checks.equal("configuration zone is not locked", chip("atcab_is_config_locked", Out(1)), b"\0")
    checks.equal("data zone is not locked", chip("atcab_is_data_locked", Out(1)), b"\0")
    checks.equal("slot 0 is not locked", chip("atcab_is_slot_locked", 0, Out(1)), b"\0")
    checks.equal("slot 0 is for a private key", chip("atcab_is_private", 0, Out(1)), b"\1")
    checks.equal("slot 8 is not", chip("atcab_is_private", 8, Out(1)), b"\0")
    checks.equal("Read(configuration), one word", chip("atcab_read_zone", CONFIG, 0, 0, 1, Out(4), 4), config[4:8])
    checks.equal("Read(configuration), bytes across words",
                 chip("atcab_read_bytes_zone", CONFIG, 0, 50, Out(41), 41), config[50:91])


def random_numbers_are_the_fixed_pattern(checks, chip):
    pattern = bytes.fromhex("FFFF0000") * 8
    checks.equal("Random", chip("atcab_random", Out(32)), pattern)
    checks.equal("Nonce(random) answers it too", chip("atcab_nonce_rand", bytes(20), Out(32)), pattern)


def nothing_secret_works(checks, chip):
    key = host.SoftwareKey()
    signature = key.sign(bytes(32))
    checks.equal("GenKey(create)", chip("atcab_genkey", 0, Out(64)), EXECUTION)
    checks.equal("GenKey(public)", chip("atcab_get_pubkey", 0, Out(64)), EXECUTION)
    checks.equal("Sign(external)", chip("atcab_sign", 0, bytes(32), Out(64)), EXECUTION)
    checks.equal("ECDH", chip("atcab_ecdh", 1, key.public, Out(32)), EXECUTION)
    checks.equal("Verify(stored)", chip("atcab_verify_stored", bytes(32), signature, 8, Out(1)), EXECUTION)
    checks.equal("HMAC with a slot", chip("atcab_sha_hmac", b"m", 1, 3, Out(32), 0xC0), EXECUTION)
    checks.equal("Read(data), block", chip("atcab_read_zone", DATA, 8, 0, 0, Out(32), 32), EXECUTION)
    checks.equal("Read(data), word", chip("atcab_read_zone", DATA, 8, 0, 0, Out(4), 4), EXECUTION)
    checks.equal("Read(OTP)", chip("atcab_read_zone", OTP, 0, 0, 0, Out(32), 32), EXECUTION)
    checks.equal("Write(data)", chip("atcab_write_zone", DATA, 8, 0, 0, bytes(32), 32), EXECUTION)
    checks.equal("Write(OTP)", chip("atcab_write_zone", OTP, 0, 0, 0, bytes(32), 32), EXECUTION)
    checks.equal("Lock(data) before the configuration", chip("atcab_lock_data_zone"), EXECUTION)
    checks.equal("Lock(slot)", chip("atcab_lock_data_slot", 8), EXECUTION)
    checks.equal("Info(latch, set)", chip("atcab_info_set_latch", 1), EXECUTION)
    checks.equal("Info(latch), not enabled", chip("atcab_info_get_latch", Out(1)), EXECUTION)


def hashing_and_self_test_work_in_every_state(checks, chip):
    for length in (0, 3, 64, 65):
        message = bytes(range(length))
        checks.equal(f"SHA of {length} bytes", chip("atcab_sha", length, message, Out(32)),
                     hashlib.sha256(message).digest())
    checks.equal("SelfTest(all, 3B) finds nothing", chip("atcab_selftest", 0x3B, 0, Out(1)), b"\0")
    for bit in (0x01, 0x04, 0x08, 0x10, 0x20):
        checks.equal(f"SelfTest({bit:02X}) finds nothing", chip("atcab_selftest", bit, 0, Out(1)), b"\0")


def factory_bytes_cannot_be_written(checks, chip):
    before = chip("atcab_read_config_zone", Out(128))
    refused = (EXECUTION, PARSE)  # "others 0F/03"
    for word in (0, 1, 2, 3, 21):
        status = chip("atcab_write_zone", CONFIG, 0, word // 8, word % 8, bytes(4), 4)
        checks.true(f"Write(configuration) of bytes {4 * word} to {4 * word + 3} is refused", status in refused, status)
    for block in (0, 2):
        status = chip("atcab_write_zone", CONFIG, 0, block, 0, bytes(32), 32)
        checks.true(f"Write(configuration) of the whole block {block} is refused", status in refused, status)
    checks.equal("and nothing has changed", chip("atcab_read_config_zone", Out(128)), before)


def configuration_is_read_back_as_it_was_written(checks, chip):
    before = chip("atcab_read_config_zone", Out(128))
    wanted = layout.configured(before)
    for first in range(20, 32, 4):
        checks.equal(f"Write(configuration) of bytes {first} to {first + 3}",
                     chip("atcab_write_zone", CONFIG, 0, 0, first // 4, wanted[first:first + 4], 4), OK)
    checks.equal("Write(configuration) of bytes 16 to 19",
                 chip("atcab_write_bytes_zone", CONFIG, 0, 16, wanted[16:20], 4), OK)
    checks.equal("Write(configuration) of block 1",
                 chip("atcab_write_zone", CONFIG, 0, 1, 0, wanted[32:64], 32), OK)
    checks.equal("Write(configuration) of bytes 64 to 83",
                 chip("atcab_write_bytes_zone", CONFIG, 0, 64, wanted[64:84], 20), OK)
    checks.equal("Write(configuration) of bytes 88 to 95",
                 chip("atcab_write_bytes_zone", CONFIG, 0, 88, wanted[88:96], 8), OK)
    checks.equal("Write(configuration) of block 3",
                 chip("atcab_write_zone", CONFIG, 0, 3, 0, wanted[96:], 32), OK)
    checks.equal("all 128 bytes read back", chip("atcab_read_config_zone", Out(128)), wanted)
    checks.equal("the library says it is the same", chip("atcab_cmp_config_zone", wanted, Out(1)), b"\1")
    other = bytearray(wanted)
    other[20] ^= 1
    checks.equal("and that another is not", chip("atcab_cmp_config_zone", bytes(other), Out(1)), b"\0")


def counters_and_lock_bits_can_be_preset_and_restored(checks, chip):
    for what, first, value in (("Counter0", 52, bytes.fromhex("00007FFF00000000")),
                               ("Counter1", 60, bytes.fromhex("00FF0000001F001E")),
                               ("SlotLocked", 88, bytes.fromhex("FE7F0640"))):
        old = chip("atcab_read_bytes_zone", CONFIG, 0, first, Out(len(value)), len(value))
        checks.equal(f"Write(configuration), {what}",
                     chip("atcab_write_bytes_zone", CONFIG, 0, first, value, len(value)), OK)
        checks.equal(f"{what} is what was written",
                     chip("atcab_read_bytes_zone", CONFIG, 0, first, Out(len(value)), len(value)), value)
        checks.equal(f"{what} restored", chip("atcab_write_bytes_zone", CONFIG, 0, first, old, len(old)), OK)


def locking_the_configuration(checks, chip):
    config = chip("atcab_read_config_zone", Out(128))
    summary = host.crc(config)
    checks.equal("Lock(configuration) with a wrong summary", chip("atcab_lock_config_zone_crc", summary ^ 1), EXECUTION)
    checks.equal("leaves it unlocked", chip("atcab_is_config_locked", Out(1)), b"\0")
    checks.equal("Lock(configuration) with the right one", chip("atcab_lock_config_zone_crc", summary), OK)
    checks.equal("LockConfig is 00, LockValue still 55",
                 chip("atcab_read_bytes_zone", CONFIG, 0, 84, Out(4), 4), config[84:86] + b"\x55\x00")
    checks.equal("the library sees it", chip("atcab_is_config_locked", Out(1)), b"\1")
    checks.equal("Lock(configuration) again", chip("atcab_lock_config_zone"), EXECUTION)


TOPICS = (host_structures_are_those_of_the_library, identity_of_a_blank_608b, random_numbers_are_the_fixed_pattern,
          nothing_secret_works, hashing_and_self_test_work_in_every_state, factory_bytes_cannot_be_written,
          configuration_is_read_back_as_it_was_written, counters_and_lock_bits_can_be_preset_and_restored,
          locking_the_configuration)
