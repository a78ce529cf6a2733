"""The table of section 5.7: each operation with nothing locked, with the configuration locked, and with both zones
locked. Points that the fact sheet leaves open have the strict reading of src/sim/switches.rs."""

import os

import host
import host_keys
import vendor_config as slot
from bench import patched, write_blocks
from driver import CONFIG, DATA, EXECUTION, OK, OTP, Out, Status
from layout import padded
from shared_secrets import counter
from vendor_tests import checked, random_temp_key

KEY = slot.SLOT_4_KEY
NUMBER = bytes(range(20))
YES, NO = "works", "0F"


def run(checks, bench):
    with bench.chip() as (chip, server):
        config = patched(chip("atcab_read_config_zone", Out(128)), {16: slot.CONFIG_16_TO_127})
        chip("atcab_write_config_zone", config)
        boot = host.SoftwareKey()
        checks.run(nothing_is_locked, chip, config, boot)
        chip("atcab_lock_config_zone")
        for number, data in ((slot.KEY, KEY), (slot.AES, host_keys.counter_match(32) + bytes(24)), (slot.ROLLED, KEY),
                             (slot.BOOT_KEY, padded(boot.public)), (slot.PARENT, padded(boot.public))):
            write_blocks(chip, DATA, number, data)
        chip("atcab_genkey", slot.SIGN, Out(64))
        checks.run(the_configuration_is_locked, chip, config, boot)
        chip("atcab_lock_data_zone")
        checks.run(both_zones_are_locked, chip, config, boot)


def operations(chip, config, boot):
    """(what, function that does it, whether it works in each of the three states)"""
    digest, block = os.urandom(32), os.urandom(32)
    good = boot.sign(digest)

    def after_nonce(function, *arguments):
        random_temp_key(chip)
        return chip(function, *arguments)

    return (
        ("Info(revision)", lambda: chip("atcab_info", Out(4)), YES, YES, YES),
        ("Info(latch, set) without CheckMac", lambda: chip("atcab_info_set_latch", 1), NO, NO, NO),
        ("SHA", lambda: chip("atcab_sha", 3, b"abc", Out(32)), YES, YES, YES),
        ("SelfTest", lambda: chip("atcab_selftest", 0x20, 0, Out(1)), YES, YES, YES),
        ("AES(GFM)", lambda: chip("atcab_aes_gfm", bytes(16), bytes(16), Out(16)), YES, YES, YES),
        ("Random", lambda: chip("atcab_random", Out(32)), YES, YES, YES),
        ("Nonce(random)", lambda: chip("atcab_nonce_rand", NUMBER, Out(32)), YES, YES, YES),
        ("Nonce(pass-through)", lambda: chip("atcab_nonce", digest), YES, YES, YES),
        ("Read(configuration)", lambda: chip("atcab_read_zone", CONFIG, 0, 0, 0, Out(32), 32), YES, YES, YES),
        ("Write(configuration)", lambda: chip("atcab_write_zone", CONFIG, 0, 0, 5, config[20:24], 4), YES, NO, NO),
        ("UpdateExtra of 00 over 00", lambda: chip("atcab_updateextra", 0, 0), YES, YES, YES),
        ("Counter(read)", lambda: counter(chip, "atcab_counter_read", 1), YES, YES, YES),
        ("Counter(increment)", lambda: counter(chip, "atcab_counter_increment", 1), NO, YES, YES),
        ("Read(data)", lambda: chip("atcab_read_zone", DATA, slot.LOCKABLE, 0, 0, Out(32), 32), NO, NO, YES),
        ("Read(data), word", lambda: chip("atcab_read_zone", DATA, slot.LOCKABLE, 0, 0, Out(4), 4), NO, NO, YES),
        ("Read(OTP)", lambda: chip("atcab_read_zone", OTP, 0, 0, 0, Out(32), 32), NO, NO, YES),
        ("Write(data)", lambda: chip("atcab_write_zone", DATA, slot.LOCKABLE, 0, 0, block, 32), NO, YES, YES),
        ("Write(data), word", lambda: chip("atcab_write_zone", DATA, slot.LOCKABLE, 0, 0, b"word", 4), NO, NO, YES),
        ("Write(data), never", lambda: chip("atcab_write_zone", DATA, slot.NEVER, 0, 0, block, 32), NO, YES, NO),
        ("Write(data), encrypted", lambda: chip("atcab_write_enc", slot.ENCRYPTED, 0, block, KEY, slot.KEY, NUMBER),
         NO, YES, YES),
        ("Read(data), encrypted", lambda: chip("atcab_read_enc", slot.ENCRYPTED, 0, Out(32), KEY, slot.KEY, NUMBER),
         NO, NO, YES),
        ("Write(OTP)", lambda: chip("atcab_write_zone", OTP, 0, 0, 0, block, 32), NO, YES, NO),
        ("GenKey(create)", lambda: chip("atcab_genkey", slot.SIGN, Out(64)), NO, YES, YES),
        ("GenKey(create) where it is not configured", lambda: chip("atcab_genkey", slot.PRIV_WRITE, Out(64)), NO, YES,
         YES),
        ("GenKey(public)", lambda: chip("atcab_get_pubkey", slot.SIGN, Out(64)), NO, YES, YES),
        ("GenKey(digest)", lambda: after_nonce("atcab_genkey_base", 0x10, slot.PARENT, bytes(3), None), NO, YES, YES),
        ("PrivWrite in clear", lambda: chip("atcab_priv_write", slot.PRIV_WRITE, slot.PRIVATE_KEY, 0, None, None),
         NO, YES, NO),
        ("PrivWrite encrypted",
         lambda: chip("atcab_priv_write", slot.PRIV_WRITE, slot.PRIVATE_KEY, slot.KEY, KEY, NUMBER),
         NO, YES, YES),
        ("GenDig(slot)", lambda: after_nonce("atcab_gendig", DATA, slot.KEY, None, 0), NO, YES, YES),
        ("GenDig(configuration)", lambda: after_nonce("atcab_gendig", CONFIG, 0, None, 0), NO, YES, YES),
        ("MAC", lambda: chip("atcab_mac", 0, slot.KEY, digest, Out(32)), NO, YES, YES),
        ("CheckMac", lambda: checked(chip, slot.KEY, KEY), NO, YES, YES),
        ("HMAC", lambda: chip("atcab_sha_hmac", b"m", 1, slot.KEY, Out(32), 0xC0), NO, YES, YES),
        ("AES with a slot", lambda: chip("atcab_aes_encrypt", slot.AES, 0, bytes(16), Out(16)), NO, YES, YES),
        ("KDF", lambda: after_nonce("atcab_kdf", 0x10, 0, 1 | 1 << 24, b"m", Out(32), None), NO, YES, YES),
        ("DeriveKey", lambda: after_nonce("atcab_derivekey", 0, slot.ROLLED, None), NO, NO, YES),
        ("SecureBoot", lambda: chip("atcab_secureboot", 5, 0, digest, good, None), NO, NO, YES),
        ("Sign(external)", lambda: chip("atcab_sign", slot.SIGN, digest, Out(64)), NO, YES, YES),
        ("ECDH", lambda: chip("atcab_ecdh", slot.SIGN, boot.public, Out(32)), NO, YES, YES),
        ("Verify(external)", lambda: chip("atcab_verify_extern", digest, good, boot.public, Out(1)), NO, YES, YES),
        ("Verify(stored)", lambda: chip("atcab_verify_stored", digest, good, slot.PARENT, Out(1)), NO, YES, YES),
        ("Lock(configuration) with a wrong summary", lambda: chip("atcab_lock_config_zone_crc", 1), NO, NO, NO),
        ("Lock(data) with a wrong summary", lambda: chip("atcab_lock_data_zone_crc", 1), NO, NO, NO),
        ("Lock(slot)", lambda: chip("atcab_lock_data_slot", slot.LOCKABLE), NO, NO, YES),
    )


def state(checks, chip, config, boot, number):
    for what, function, *answers in operations(chip, config, boot):
        answer = function()
        if answers[number] == NO:
            checks.equal(f"{what} is refused", answer, EXECUTION)
        else:
            checks.true(f"{what} works", not isinstance(answer, Status) or answer == OK, answer)


def nothing_is_locked(checks, chip, config, boot):
    state(checks, chip, config, boot, 0)


def the_configuration_is_locked(checks, chip, config, boot):
    state(checks, chip, config, boot, 1)


def both_zones_are_locked(checks, chip, config, boot):
    state(checks, chip, config, boot, 2)
