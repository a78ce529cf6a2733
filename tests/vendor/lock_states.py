# SPDX-License-Identifier: MIT OR Apache-2.0
"""The table of section 5.7: each operation with nothing locked, with the configuration locked, and with both zones
locked. Points that the fact sheet leaves open have the strict reading of src/sim/switches.rs."""

import os

import host
import host_keys
import vendor_config as slot
from bench import patched, write_blocks
from driver import CONFIG, DATA, EXECUTION, OK, OTP, Out
from kdf import prf
from layout import padded
from locked import serial_number
from shared_secrets import counter
from vendor_tests import checked, random_temp_key

KEY = slot.SLOT_4_KEY
NUMBER = bytes(range(20))
# The result of Random and Nonce before the configuration is locked.
PATTERN = b"\xFF\xFF\0\0" * 8
H, FACTOR, PRODUCT = (bytes.fromhex(text) for text in (
    "66E94BD4EF8A2C3B884CFA59CA342B2E", "0388DACE60B6A392F328C2B971B2FE78", "5E2EC746917062882C85B0685353DEB7"))
YES, NO = True, False


class Known:
    """The host's data of the chip: written data, responses, and its own keys."""

    def __init__(self, config):
        self.config = config
        self.boot = host.SoftwareKey()
        self.digest, self.block = os.urandom(32), os.urandom(32)
        self.public = None

    def created(self, public):
        """Whether this is the public key of a new key; it is kept."""
        new = public != self.public and host.on_curve(public)
        self.public = public
        return new


def run(checks, bench):
    with bench.chip() as (chip, server):
        config = patched(chip("atcab_read_config_zone", Out(128)), {16: slot.CONFIG_16_TO_127})
        chip("atcab_write_config_zone", config)
        known = Known(config)
        checks.run(nothing_is_locked, chip, known)
        chip("atcab_lock_config_zone")
        for number, data in ((slot.KEY, KEY), (slot.AES, host_keys.counter_match(32) + bytes(24)), (slot.ROLLED, KEY),
                             (slot.BOOT_KEY, padded(known.boot.public)), (slot.PARENT, padded(known.boot.public))):
            write_blocks(chip, DATA, number, data)
        known.public = chip("atcab_genkey", slot.SIGN, Out(64))
        checks.run(the_configuration_is_locked, chip, known)
        chip("atcab_lock_data_zone")
        checks.run(both_zones_are_locked, chip, known)


def operations(chip, known, number):
    """(what, function that does it, what it answers where it works, whether it works in each of the three states)

    What it answers is a value, or a function that says whether the answer is right."""
    config, boot, digest, block = known.config, known.boot, known.digest, known.block
    serial, good = serial_number(chip), boot.sign(digest)

    def drawn(answer):
        return len(answer) == 32 and (answer == PATTERN) == (number == 0)

    def after_nonce(function, *arguments):
        random_temp_key(chip)
        return chip(function, *arguments)

    def after_load(function, *arguments):
        chip("atcab_nonce", block)
        return chip(function, *arguments)

    def derived():
        # Which key it was derived from is known only when it is done.
        key = random_temp_key(chip).bytes()
        answer = chip("atcab_kdf", 0x10, 0, 1 | 1 << 24, b"m", Out(32), None)
        return b"right" if answer == prf(key, b"m", 32) else answer

    return (
        ("Info(revision)", lambda: chip("atcab_info", Out(4)), b"\0\0\x60\3", YES, YES, YES),
        ("Info(latch, set) without CheckMac", lambda: chip("atcab_info_set_latch", 1), OK, NO, NO, NO),
        ("SHA", lambda: chip("atcab_sha", 3, b"abc", Out(32)), host.sha256(b"abc"), YES, YES, YES),
        ("SelfTest", lambda: chip("atcab_selftest", 0x20, 0, Out(1)), b"\0", YES, YES, YES),
        ("AES(GFM)", lambda: chip("atcab_aes_gfm", H, FACTOR, Out(16)), PRODUCT, YES, YES, YES),
        ("Random", lambda: chip("atcab_random", Out(32)), drawn, YES, YES, YES),
        ("Nonce(random)", lambda: chip("atcab_nonce_rand", NUMBER, Out(32)), drawn, YES, YES, YES),
        ("Nonce(pass-through)", lambda: chip("atcab_nonce", digest), OK, YES, YES, YES),
        ("Read(configuration)", lambda: chip("atcab_read_zone", CONFIG, 0, 0, 0, Out(32), 32), config[:32],
         YES, YES, YES),
        ("Write(configuration)", lambda: chip("atcab_write_zone", CONFIG, 0, 0, 5, config[20:24], 4), OK, YES, NO, NO),
        ("UpdateExtra of 00 over 00", lambda: chip("atcab_updateextra", 0, 0), OK, YES, YES, YES),
        ("Counter(read)", lambda: counter(chip, "atcab_counter_read", 1), max(0, number - 1), YES, YES, YES),
        ("Counter(increment)", lambda: counter(chip, "atcab_counter_increment", 1), number, NO, YES, YES),
        ("Read(data)", lambda: chip("atcab_read_zone", DATA, slot.LOCKABLE, 0, 0, Out(32), 32), block, NO, NO, YES),
        ("Read(data), word", lambda: chip("atcab_read_zone", DATA, slot.LOCKABLE, 0, 0, Out(4), 4), block[:4],
         NO, NO, YES),
        ("Read(OTP)", lambda: chip("atcab_read_zone", OTP, 0, 0, 0, Out(32), 32), block, NO, NO, YES),
        ("Write(data)", lambda: chip("atcab_write_zone", DATA, slot.LOCKABLE, 0, 0, block, 32), OK, NO, YES, YES),
        ("Write(data), word", lambda: chip("atcab_write_zone", DATA, slot.LOCKABLE, 0, 0, b"word", 4), OK, NO, NO, YES),
        ("Write(data), never", lambda: chip("atcab_write_zone", DATA, slot.NEVER, 0, 0, block, 32), OK, NO, YES, NO),
        ("Write(data), encrypted", lambda: chip("atcab_write_enc", slot.ENCRYPTED, 0, block, KEY, slot.KEY, NUMBER),
         OK, NO, YES, YES),
        ("Read(data), encrypted", lambda: chip("atcab_read_enc", slot.ENCRYPTED, 0, Out(32), KEY, slot.KEY, NUMBER),
         block, NO, NO, YES),
        ("Write(OTP)", lambda: chip("atcab_write_zone", OTP, 0, 0, 0, block, 32), OK, NO, YES, NO),
        ("GenKey(create)", lambda: chip("atcab_genkey", slot.SIGN, Out(64)), known.created, NO, YES, YES),
        ("GenKey(create) where it is not configured", lambda: chip("atcab_genkey", slot.PRIV_WRITE, Out(64)),
         host.on_curve, NO, YES, YES),
        ("GenKey(public)", lambda: chip("atcab_get_pubkey", slot.SIGN, Out(64)), lambda got: got == known.public,
         NO, YES, YES),
        ("GenKey(digest)", lambda: after_nonce("atcab_genkey_base", 0x10, slot.PARENT, bytes(3), None), OK,
         NO, YES, YES),
        ("PrivWrite in clear", lambda: chip("atcab_priv_write", slot.PRIV_WRITE, slot.PRIVATE_KEY, 0, None, None),
         OK, NO, YES, NO),
        ("PrivWrite encrypted",
         lambda: chip("atcab_priv_write", slot.PRIV_WRITE, slot.PRIVATE_KEY, slot.KEY, KEY, NUMBER),
         OK, NO, YES, YES),
        ("GenKey(public) of what was written", lambda: chip("atcab_get_pubkey", slot.PRIV_WRITE, Out(64)),
         slot.PUBLIC_KEY, NO, YES, YES),
        ("GenDig(slot)", lambda: after_nonce("atcab_gendig", DATA, slot.KEY, None, 0), OK, NO, YES, YES),
        ("GenDig(configuration)", lambda: after_nonce("atcab_gendig", CONFIG, 0, None, 0), OK, NO, YES, YES),
        ("MAC", lambda: chip("atcab_mac", 0, slot.KEY, digest, Out(32)), host.mac(0, slot.KEY, digest, KEY, serial),
         NO, YES, YES),
        ("CheckMac", lambda: checked(chip, slot.KEY, KEY), OK, NO, YES, YES),
        ("HMAC", lambda: chip("atcab_sha_hmac", b"m", 1, slot.KEY, Out(32), 0xC0), host.hmac_sha256(KEY, b"m"),
         NO, YES, YES),
        ("AES with a slot", lambda: chip("atcab_aes_encrypt", slot.AES, 0, bytes(16), Out(16)),
         host.aes_encrypt(host_keys.counter_match(32) + bytes(8), bytes(16)), NO, YES, YES),
        ("AES with TempKey", lambda: after_load("atcab_aes_encrypt", 0xFFFF, 0, bytes(16), Out(16)),
         host.aes_encrypt(block[:16], bytes(16)), YES, YES, YES),
        ("KDF", derived, b"right", NO, YES, YES),
        ("DeriveKey", lambda: after_nonce("atcab_derivekey", 0, slot.ROLLED, None), OK, NO, NO, YES),
        ("SecureBoot", lambda: chip("atcab_secureboot", 5, 0, digest, good, None), OK, NO, NO, YES),
        ("Sign(external)", lambda: chip("atcab_sign", slot.SIGN, digest, Out(64)),
         lambda got: host.verifies(known.public, digest, got), NO, YES, YES),
        ("ECDH", lambda: chip("atcab_ecdh", slot.SIGN, boot.public, Out(32)),
         lambda got: got == boot.ecdh(known.public), NO, YES, YES),
        ("Verify(external)", lambda: chip("atcab_verify_extern", digest, good, boot.public, Out(1)), b"\1",
         YES, YES, YES),
        ("Verify(stored)", lambda: chip("atcab_verify_stored", digest, good, slot.PARENT, Out(1)), b"\1",
         NO, YES, YES),
        ("Lock(configuration) with a wrong summary", lambda: chip("atcab_lock_config_zone_crc", 1), OK, NO, NO, NO),
        ("Lock(data) with a wrong summary", lambda: chip("atcab_lock_data_zone_crc", 1), OK, NO, NO, NO),
        ("Lock(slot)", lambda: chip("atcab_lock_data_slot", slot.LOCKABLE), OK, NO, NO, YES),
    )


def state(checks, chip, known, number):
    for what, function, right, *works in operations(chip, known, number):
        answer = function()
        if not works[number]:
            checks.equal(f"{what} is refused", answer, EXECUTION)
        elif callable(right):
            checks.true(f"{what} works", isinstance(answer, bytes) and right(answer), answer)
        else:
            checks.equal(f"{what} works", answer, right)


def nothing_is_locked(checks, chip, known):
    state(checks, chip, known, 0)


def the_configuration_is_locked(checks, chip, known):
    state(checks, chip, known, 1)


def both_zones_are_locked(checks, chip, known):
    state(checks, chip, known, 2)
