# SPDX-License-Identifier: MIT OR Apache-2.0
"""KDF: TLS's PRF, AES and HKDF, from every source to every target (fact sheet sections 3.9 and 5.5). The known answers
are those of the vendor's unit tests; the rest is computed here, from RFC 5246, FIPS 197 and RFC 5869."""

import itertools
import os

import host
import vendor_config as slot
from bench import configure, fill
from driver import EXECUTION, OK, PARSE, Out
from locked import EPHEMERAL, expected_hmac, hmac_with, serial_number, temp_key_state
from raw import Awake
from vendor_tests import random_temp_key

PRF, AES, HKDF = 0x00, 0x20, 0x40
TEMP_KEY, UPPER, SLOT, ALTERNATE = range(4)
TO_TEMP_KEY, TO_UPPER, TO_SLOT, TO_ALTERNATE, TO_OUTPUT, TO_OUTPUT_ENCRYPTED = (target << 2 for target in range(6))
LONG, AEAD = 0x100, 0x200
FROM_SLOT, FROM_TEMP_KEY, FROM_INPUT, SPECIAL_IV = range(4)
ZERO_KEY = 4

COUNTING = bytes(range(16))
KEY = slot.SLOT_4_KEY


def run(checks, bench):
    with bench.chip() as (chip, server):
        configure(chip, {16: slot.CONFIG_16_TO_127})
        fill(chip, {slot.KEY: KEY, slot.AES_LATCHED: bytes(32)})
        for topic in (answers_of_the_vendors_tests, keys_of_the_prf, messages_of_the_hkdf, sources, targets_in_the_chip,
                      a_slot_takes_the_result, encrypted_answers, half_is_kept_and_half_is_told, refusals):
            checks.run(topic, chip)
    # The vendor's configuration with KDFProt in ChipOptions: what may leave the chip.
    for protection in (1, 2, 3):
        with bench.chip() as (chip, server):
            configure(chip, {16: slot.CONFIG_16_TO_127, 91: bytes([0x40 | protection << 2])})
            fill(chip, {slot.KEY: KEY})
            checks.run(results_are_protected, chip, protection)


def details(flags, message):
    return len(message) << 24 | flags


def kdf(chip, mode, slots, flags, message, size, number=None):
    # AES has 16 bytes of message, no length.
    flags = flags if mode & 0x60 == AES else details(flags, message)
    return chip("atcab_kdf", mode, slots, flags, message, Out(size) if size else None, number)


def prf(key, message, size):
    """P_SHA256 of RFC 5246 section 5, without a label."""
    result, a = b"", message
    while len(result) < size:
        a = host.hmac_sha256(key, a)
        result += host.hmac_sha256(key, a + message)
    return result[:size]


def answers_of_the_vendors_tests(checks, chip):
    key = COUNTING * 2
    known = bytes.fromhex("1EBCBE62005AB948FDFFE1C402AABA354EC676050C9BC1AAE1FF5B1509A4A04A"
                          "44254664C2A480F5B77EA2D1020C7BA4B3640C4AC793324C26D6FDDFDB1F011A")
    chip("atcab_nonce", key)
    checks.equal("PRF to the output", kdf(chip, PRF | TEMP_KEY | TO_OUTPUT, 0x1234, 1 | LONG, COUNTING, 64), known)
    checks.equal("as RFC 5246 has it", prf(key, COUNTING, 64), known)
    known = bytes.fromhex("0A940BB5416EF045F1C39458C653EA5A") + bytes(16)
    for again in ("", ", again: TempKey is still there"):
        checks.equal("AES to the output" + again, kdf(chip, AES | TO_OUTPUT, 0x1234, 0, COUNTING, 32), known)
    checks.equal("as FIPS 197 has it", host.aes_encrypt(COUNTING, COUNTING) + bytes(16), known)
    hidden, number = kdf(chip, AES | TO_OUTPUT_ENCRYPTED, 0x1234, 0, COUNTING, 32, Out(32))
    checks.equal("AES to the output, encrypted", host.io_decrypt(KEY, number, hidden), known)
    checks.equal("HKDF to the output", kdf(chip, HKDF | TO_OUTPUT, 0, FROM_INPUT, COUNTING, 32),
                 host.hmac_sha256(key, COUNTING))
    for mode in (PRF | ALTERNATE | TO_TEMP_KEY, HKDF | ALTERNATE | TO_TEMP_KEY):
        chip("atcab_nonce_load", 0x80, key, 32)
        flags = 1 if mode & AES == 0 and mode & HKDF == 0 else FROM_INPUT
        checks.equal(f"mode {mode:02X} from the alternate key buffer to TempKey",
                     kdf(chip, mode, 0x1234 if flags == 1 else 0, flags, key, 0), OK)
    chip("atcab_nonce", key)
    iv = bytearray(key)
    iv[9:11] = b"iv"
    checks.equal("HKDF with the special initialisation vector, to slot 5",
                 kdf(chip, HKDF | TO_SLOT, 0x0500, SPECIAL_IV, bytes(iv), 0), OK)


def keys_of_the_prf(checks, chip):
    key = os.urandom(64)
    for units, length in itertools.product(range(4), (0, LONG)):
        chip("atcab_nonce_load", 0, key, 64)
        message = os.urandom(1 + 42 * units)
        size = 64 if length else 32
        checks.equal(f"PRF, key of {16 * (units + 1)} bytes, message of {len(message)}, {size} bytes out",
                     kdf(chip, PRF | TO_OUTPUT, 0, units | length, message, size),
                     prf(key[:16 * (units + 1)], message, size))
    chip("atcab_nonce", key[:32])
    checks.equal("a TempKey of 32 bytes is no key of 48", kdf(chip, PRF | TO_OUTPUT, 0, 2, b"m", 32), EXECUTION)


def messages_of_the_hkdf(checks, chip):
    key, message = os.urandom(32), os.urandom(128)
    chip("atcab_nonce", key)
    checks.equal("HKDF of the input", kdf(chip, HKDF | TO_OUTPUT, 0, FROM_INPUT, message, 32),
                 host.hmac_sha256(key, message))
    checks.equal("HKDF with the zero key", kdf(chip, HKDF | TO_OUTPUT, 0, FROM_INPUT | ZERO_KEY, message, 32),
                 host.hmac_sha256(bytes(32), message))
    chip("atcab_nonce", key)
    checks.equal("the special initialisation vector is not in the message",
                 kdf(chip, HKDF | TO_OUTPUT, 0, SPECIAL_IV, bytes(32), 32), EXECUTION)
    chip("atcab_nonce", key)
    message = bytes(9) + b"iv" + bytes(5)
    checks.equal("it is", kdf(chip, HKDF | TO_OUTPUT, 0, SPECIAL_IV, message, 32), host.hmac_sha256(key, message))


def sources(checks, chip):
    keys, message = os.urandom(64), os.urandom(16)
    chip("atcab_nonce_load", 0, keys, 64)
    checks.equal("from the upper half of TempKey", kdf(chip, PRF | UPPER | TO_OUTPUT, 0, 1, message, 32),
                 prf(keys[32:], message, 32))
    checks.equal("AES with block 1 of it",
                 kdf(chip, AES | UPPER | TO_OUTPUT, 0, 1, message, 32),
                 host.aes_encrypt(keys[48:], message) + bytes(16))
    chip("atcab_nonce_load", 0x80, keys[32:], 32)
    checks.equal("from the alternate key buffer", kdf(chip, HKDF | ALTERNATE | TO_OUTPUT, 0, FROM_INPUT, message, 32),
                 host.hmac_sha256(keys[32:], message))
    for algorithm, flags, wanted in ((PRF, 1, prf(KEY, message, 32)),
                                     (HKDF, FROM_INPUT, host.hmac_sha256(KEY, message))):
        checks.equal(f"algorithm {algorithm:02X} from slot 4",
                     kdf(chip, algorithm | SLOT | TO_OUTPUT, slot.KEY, flags, message, 32), wanted)
    for number, why in ((slot.SIGN, "private"), (slot.PARENT, "public")):
        checks.equal(f"from slot {number}, which is {why}",
                     kdf(chip, PRF | SLOT | TO_OUTPUT, number, 1, message, 32), EXECUTION)


def targets_in_the_chip(checks, chip):
    key, message = os.urandom(32), os.urandom(16)
    wanted = prf(key, message, 32)
    chip("atcab_nonce", key)
    checks.equal("PRF to TempKey", kdf(chip, PRF | TO_TEMP_KEY, 0, 1, message, 0), OK)
    checks.equal("which is from input", temp_key_state(chip), "1080")
    checks.equal("holds it", hmac_with(chip, EPHEMERAL), expected_hmac(wanted))
    chip("atcab_nonce", key)
    checks.equal("PRF to the alternate key buffer", kdf(chip, PRF | TO_ALTERNATE, 0, 1, message, 0), OK)
    checks.equal("TempKey is still the key", hmac_with(chip, EPHEMERAL), expected_hmac(key))
    checks.equal("the buffer holds it", kdf(chip, HKDF | ALTERNATE | TO_OUTPUT, 0, FROM_INPUT, message, 32),
                 host.hmac_sha256(wanted, message))
    chip("atcab_nonce", key)
    checks.equal("PRF to the upper half of TempKey", kdf(chip, PRF | TO_UPPER, 0, 1, message, 0), OK)
    checks.equal("which holds it", kdf(chip, HKDF | UPPER | TO_OUTPUT, 0, FROM_INPUT, message, 32),
                 host.hmac_sha256(wanted, message))
    checks.equal("beside the key", hmac_with(chip, EPHEMERAL), expected_hmac(key))


def close_the_latch(chip):
    other = bytes(13)
    temp_key = random_temp_key(chip)
    response = host.check_mac(1, slot.KEY, None, KEY, other, serial_number(chip), temp_key=temp_key)
    chip("atcab_checkmac", 1, slot.KEY, None, response, other)
    return chip("atcab_info_set_latch", 1)


def a_slot_takes_the_result(checks, chip):
    key, message, plain = os.urandom(32), os.urandom(16), os.urandom(16)
    checks.equal("the latch is closed", close_the_latch(chip), OK)
    for algorithm, flags, wanted in ((PRF, 1, prf(key, message, 32)),
                                     (AES, 0, host.aes_encrypt(key[:16], message) + bytes(16)),
                                     (HKDF, FROM_INPUT, host.hmac_sha256(key, message))):
        chip("atcab_nonce", key)
        checks.equal(f"algorithm {algorithm:02X} to slot 5", kdf(chip, algorithm | TO_SLOT, 0x0500, flags, message, 0),
                     OK)
        for block in (0, 1):
            checks.equal(f"which holds it: AES with block {block}",
                         chip("atcab_aes_encrypt", slot.AES_LATCHED, block, plain, Out(16)),
                         host.aes_encrypt(wanted[16 * block:16 * block + 16], plain))
    checks.equal("KDF(AES) with the key in slot 5",
                 kdf(chip, AES | SLOT | TO_OUTPUT, 5, 1, message, 32),
                 host.aes_encrypt(wanted[16:], message) + bytes(16))
    for number, why in ((slot.KEY, "no target (PubInfo 0)"), (slot.SIGN, "private"), (slot.BOOT_KEY, "public")):
        chip("atcab_nonce", key)
        checks.equal(f"to slot {number}: {why}", kdf(chip, PRF | TO_SLOT, number << 8, 1, message, 0), EXECUTION)


def encrypted_answers(checks, chip):
    key, message = os.urandom(32), os.urandom(16)
    for algorithm, flags, wanted in ((PRF, 1, prf(key, message, 32)), (PRF, 1 | LONG, prf(key, message, 64)),
                                     (AES, 0, host.aes_encrypt(key[:16], message) + bytes(16)),
                                     (HKDF, FROM_INPUT, host.hmac_sha256(key, message))):
        chip("atcab_nonce", key)
        hidden, number = kdf(chip, algorithm | TO_OUTPUT_ENCRYPTED, 0, flags, message, len(wanted), Out(32))
        checks.equal(f"algorithm {algorithm:02X}, {len(wanted)} bytes, opened by atcah_io_decrypt",
                     host.io_decrypt(KEY, number, hidden), wanted)
        checks.true("it was hidden", hidden[:16] != wanted[:16] and hidden[16:32] != wanted[16:32], hidden)


def half_is_kept_and_half_is_told(checks, chip):
    key, message = os.urandom(32), os.urandom(16)
    both = prf(key, message, 64)
    chip("atcab_nonce", key)
    # The library has no function for this: it looks for 64 bytes in the answer, or for none.
    flags = details(1 | LONG | AEAD, message).to_bytes(4, "little")
    with Awake(chip) as bus:
        answer = bus(0x56, PRF | TO_TEMP_KEY, 0, flags + message)
    checks.equal("PRF for AEAD answers the second 32 bytes", answer, both[32:])
    checks.equal("and keeps the first", hmac_with(chip, EPHEMERAL), expected_hmac(both[:32]))


def refusals(checks, chip):
    for what, mode, flags in (("algorithm 3", 0x60 | TO_OUTPUT, 0), ("target 6", 0x18, 0), ("target 7", 0x1C, 0),
                              ("mode bit 7", 0x80 | TO_OUTPUT, 1)):
        checks.equal(f"KDF with {what}", kdf(chip, mode, 0, flags, COUNTING, 32), PARSE)
    chip("atcab_wakeup")
    chip("atcab_sleep")
    for source in (TEMP_KEY, UPPER, ALTERNATE):
        checks.equal(f"from source {source}, which is empty", kdf(chip, PRF | source | TO_OUTPUT, 0, 1, COUNTING, 32),
                     EXECUTION)


def results_are_protected(checks, chip, protection):
    """KDFProt 1: encrypted, or kept; 2: only in a buffer; 3: only in a slot."""
    allowed = {1: (TO_TEMP_KEY, TO_SLOT, TO_ALTERNATE, TO_OUTPUT_ENCRYPTED), 2: (TO_TEMP_KEY, TO_ALTERNATE),
               3: (TO_SLOT,)}[protection]
    for target in (TO_TEMP_KEY, TO_SLOT, TO_ALTERNATE, TO_OUTPUT, TO_OUTPUT_ENCRYPTED):
        chip("atcab_nonce", bytes(32))
        answer = chip("atcab_kdf", PRF | target, 0x0500, details(1, COUNTING), COUNTING, None, None)
        checks.equal(f"KDFProt {protection}, target {target:02X}", answer, OK if target in allowed else EXECUTION)
