# SPDX-License-Identifier: MIT OR Apache-2.0
"""Both zones locked: memory, random numbers, TempKey and hashes (fact sheet sections 3.10, 3.12, 3.14, 3.15, 3.18, 3.22
and 5)."""

import ctypes
import hashlib
import os

import host
import layout
from configured import OTP_BYTES
from driver import CONFIG, DATA, EXECUTION, OK, OTP, Out

TEMP_KEY, DIGEST_BUFFER, OUTPUT_ONLY = 0x00, 0x40, 0xC0
EPHEMERAL = 0xFFFF
P256 = 4
MESSAGE = b"what TempKey holds is shown by an HMAC with it"


def hmac_with(chip, key):
    """HMAC of MESSAGE with a slot, or with TempKey: a look at a secret that cannot be read."""
    return chip("atcab_sha_hmac", MESSAGE, len(MESSAGE), key, Out(32), OUTPUT_ONLY)


def expected_hmac(key):
    return host.hmac_sha256(key, MESSAGE)


def temp_key_state(chip):
    """The first two bytes of Info(state)."""
    return chip("atcab_info_base", 2, 0, Out(4))[:2].hex()


def serial_number(chip):
    return chip("atcab_read_serial_number", Out(9))


# --- memory ----------------------------------------------------------------------------------------------------------


def reading_follows_the_policy(checks, chip, keys):
    general = keys.slots[layout.GENERAL]
    checks.equal("slot 8, all 416 bytes",
                 chip("atcab_read_bytes_zone", DATA, layout.GENERAL, 0, Out(416), 416), general)
    checks.equal("slot 8, block 12", chip("atcab_read_zone", DATA, layout.GENERAL, 12, 0, Out(32), 32), general[384:])
    checks.equal("slot 8, one word", chip("atcab_read_zone", DATA, layout.GENERAL, 3, 5, Out(4), 4), general[116:120])
    for slot in (layout.LIMIT, layout.PARENT, layout.VALIDATED, layout.LOCKABLE, layout.REQ_RANDOM):
        checks.equal(f"slot {slot}, all 72 bytes",
                     chip("atcab_read_bytes_zone", DATA, slot, 0, Out(72), 72), keys.slots[slot])
    short = chip("atcab_read_zone", DATA, layout.LOCKABLE, 2, 0, Out(32), 32)
    checks.equal("the short last block answers its 8 bytes first", short[:8], keys.slots[layout.LOCKABLE][64:])
    checks.equal("a public key without its padding",
                 chip("atcab_read_pubkey", layout.PARENT, Out(64)), keys.attest)
    checks.equal("a signature's 64 bytes", chip("atcab_read_sig", layout.GENERAL, Out(64)), general[:64])
    checks.equal("OTP", chip("atcab_read_bytes_zone", OTP, 0, 0, Out(64), 64), OTP_BYTES)
    checks.equal("OTP, one word", chip("atcab_read_zone", OTP, 0, 1, 2, Out(4), 4), OTP_BYTES[40:44])
    for slot in (layout.ECDH_RESULT, layout.IO_KEY, layout.ECDH_TARGET, layout.LATCHED):
        checks.equal(f"secret slot {slot}, block", chip("atcab_read_zone", DATA, slot, 0, 0, Out(32), 32), EXECUTION)
        checks.equal(f"secret slot {slot}, word", chip("atcab_read_zone", DATA, slot, 0, 0, Out(4), 4), EXECUTION)
    for slot in layout.PRIVATE:
        checks.equal(f"private key of slot {slot}", chip("atcab_read_zone", DATA, slot, 0, 0, Out(32), 32), EXECUTION)


def writing_follows_the_policy(checks, chip, keys):
    new = os.urandom(32)
    checks.equal("slot 8 (always), block", chip("atcab_write_zone", DATA, layout.GENERAL, 2, 0, new, 32), OK)
    checks.equal("is read back", chip("atcab_read_zone", DATA, layout.GENERAL, 2, 0, Out(32), 32), new)
    checks.equal("slot 8 (always), word", chip("atcab_write_zone", DATA, layout.GENERAL, 2, 3, b"word", 4), OK)
    checks.equal("is read back among the others",
                 chip("atcab_read_zone", DATA, layout.GENERAL, 2, 0, Out(32), 32), new[:12] + b"word" + new[16:])
    checks.equal("secret slot 5 (always), block", chip("atcab_write_zone", DATA, layout.ECDH_TARGET, 0, 0, new, 32), OK)
    checks.equal("holds it", hmac_with(chip, layout.ECDH_TARGET), expected_hmac(new))
    checks.equal("secret slot 5, word", chip("atcab_write_zone", DATA, layout.ECDH_TARGET, 0, 0, b"word", 4), EXECUTION)
    for slot, policy in ((layout.LIMIT, "never"), (layout.IO_KEY, "never"), (layout.ECDH_RESULT, "encrypted only")):
        checks.equal(f"slot {slot} ({policy}), block", chip("atcab_write_zone", DATA, slot, 0, 0, new, 32), EXECUTION)
    checks.equal("slot 10 (never), word", chip("atcab_write_zone", DATA, layout.LIMIT, 0, 0, b"word", 4), EXECUTION)
    for slot in layout.PRIVATE:
        checks.equal(f"private key of slot {slot}", chip("atcab_write_zone", DATA, slot, 0, 0, new, 32), EXECUTION)
    checks.equal("OTP, block", chip("atcab_write_zone", OTP, 0, 0, 0, new, 32), EXECUTION)
    checks.equal("OTP, word", chip("atcab_write_zone", OTP, 0, 0, 0, b"word", 4), EXECUTION)
    checks.equal("configuration", chip("atcab_write_zone", CONFIG, 0, 0, 5, b"word", 4), EXECUTION)


def slots_are_locked_one_by_one(checks, chip, keys):
    slot = layout.LOCKABLE
    checks.equal("slot 13 is not locked yet", chip("atcab_is_slot_locked", slot, Out(1)), b"\0")
    checks.equal("Lock(slot 13)", chip("atcab_lock_data_slot", slot), OK)
    checks.equal("the library sees it", chip("atcab_is_slot_locked", slot, Out(1)), b"\1")
    checks.equal("its bit alone is 0 in SlotLocked",
                 chip("atcab_read_bytes_zone", CONFIG, 0, 88, Out(2), 2), bytes.fromhex("FFDF"))
    checks.equal("Lock(slot 13) again", chip("atcab_lock_data_slot", slot), EXECUTION)
    checks.equal("Write to it", chip("atcab_write_zone", DATA, slot, 0, 0, bytes(32), 32), EXECUTION)
    checks.equal("Read still answers", chip("atcab_read_zone", DATA, slot, 0, 0, Out(32), 32), keys.slots[slot][:32])
    checks.equal("Lock(slot 10), which is not lockable", chip("atcab_lock_data_slot", layout.LIMIT), EXECUTION)
    checks.equal("Lock(slot 1), a private key", chip("atcab_lock_data_slot", layout.SIGN_ONLY), OK)
    checks.equal("GenKey(create) in it", chip("atcab_genkey", layout.SIGN_ONLY, Out(64)), EXECUTION)
    digest = os.urandom(32)
    signature = chip("atcab_sign", layout.SIGN_ONLY, digest, Out(64))
    checks.true("Sign with it goes on", host.verifies(keys.public[layout.SIGN_ONLY], digest, signature), signature)
    checks.equal("Lock(configuration)", chip("atcab_lock_config_zone"), EXECUTION)
    checks.equal("Lock(data)", chip("atcab_lock_data_zone"), EXECUTION)


# --- random numbers, TempKey, hashes ---------------------------------------------------------------------------------


def nonces_are_what_the_host_computes(checks, chip, keys):
    number = os.urandom(20)
    for mode, what in ((0x00, "seed updated"), (0x01, "seed kept")):
        answer = chip("atcab_nonce_base", mode, 0, number, Out(32))
        checks.equal(f"Nonce(random, {what}) sets TempKey from random",
                     temp_key_state(chip), "0080")
        expected = host.nonce(host.TempKey(), mode, 0, number, answer).bytes()
        checks.equal(f"Nonce(random, {what}) as atcah_nonce has it",
                     hmac_with(chip, EPHEMERAL), expected_hmac(expected))
        checks.equal("and as the fact sheet has it", expected, host.sha256(answer, number, bytes([0x16, mode, 0])))
    fixed = os.urandom(32)
    checks.equal("Nonce(pass-through) to TempKey", chip("atcab_nonce", fixed), OK)
    checks.equal("sets TempKey from input", temp_key_state(chip), "1080")
    checks.equal("to these bytes", hmac_with(chip, EPHEMERAL), expected_hmac(fixed))
    checks.equal("Nonce(pass-through) to the digest buffer",
                 chip("atcab_nonce_load", DIGEST_BUFFER, os.urandom(32), 32), OK)
    checks.equal("Nonce(pass-through) to the alternate key buffer",
                 chip("atcab_nonce_load", 0x80, os.urandom(32), 32), OK)
    checks.equal("both leave TempKey alone", hmac_with(chip, EPHEMERAL), expected_hmac(fixed))
    checks.equal("Nonce derived from TempKey answers it", chip("atcab_nonce_base", 0, 0x8000, number, Out(32)),
                 host.sha256(fixed, number, bytes([0x16, 0, 0])))
    checks.equal("atcab_challenge loads TempKey", chip("atcab_challenge", fixed), OK)
    checks.equal("with the challenge", hmac_with(chip, EPHEMERAL), expected_hmac(fixed))
    answer = chip("atcab_challenge_seed_update", number, Out(32))
    expected = host.nonce(host.TempKey(), 0, 0, number, answer).bytes()
    checks.equal("atcab_challenge_seed_update as atcah_nonce", hmac_with(chip, EPHEMERAL), expected_hmac(expected))
    checks.equal("64 bytes to TempKey", chip("atcab_nonce_load", TEMP_KEY, bytes(64), 64), OK)
    checks.equal("64 bytes to the digest buffer", chip("atcab_nonce_load", DIGEST_BUFFER, bytes(64), 64), OK)


def hashes_are_those_of_the_standard(checks, chip, keys):
    for length in (0, 1, 55, 56, 63, 64, 65, 119, 127, 128, 129, 1000):
        message = os.urandom(length)
        checks.equal(f"SHA of {length} bytes", chip("atcab_sha", length, message, Out(32)),
                     hashlib.sha256(message).digest())
        checks.equal(f"SHA of {length} bytes, the library's buffering",
                     chip("atcab_hw_sha2_256", message, length, Out(32)), hashlib.sha256(message).digest())
    context = Out(256)
    message = os.urandom(150)
    chip("atcab_hw_sha2_256_init", context)
    for first, last in ((0, 5), (5, 70), (70, 150)):
        chip("atcab_hw_sha2_256_update", context, message[first:last], last - first)
    checks.equal("SHA in steps of 5, 65 and 80 bytes", chip("atcab_hw_sha2_256_finish", context, Out(32))[1],
                 hashlib.sha256(message).digest())
    checks.equal("SHA(start)", chip("atcab_sha_start"), OK)
    # The library sends param2 0 with this mode, whatever it is told: slot 0 is all that it can name.
    checks.equal("SHA(public) of slot 0, which holds no public key",
                 chip("atcab_sha_base", 3, 0, None, None, None), EXECUTION)
    sha_end(chip, OUTPUT_ONLY)
    checks.equal("SHA(end) without a context", sha_end(chip, OUTPUT_ONLY), EXECUTION)
    checks.equal("SHA(update) without a context", chip("atcab_sha_update", bytes(64)), EXECUTION)


def sha_end(chip, target, rest=b""):
    return chip("atcab_sha_base", 2 | target, len(rest), rest, Out(32), ctypes.byref(ctypes.c_uint16(32)))


def sha_contexts_come_and_go(checks, chip, keys):
    message = bytes([1, 2, 3, 4, 5])
    example = bytes.fromhex("0500000067E6096A85AE67BB72F36E3C3AF54FA57F520E518C68059BABD9831F19CDE05B0102030405")
    chip("atcab_sha_start")
    checks.equal("SHA(update) of 5 bytes", chip("atcab_sha_base", 1, 5, message, None, None), OK)
    size = ctypes.c_uint16(130)
    context = chip("atcab_sha_read_context", Out(130), ctypes.byref(size))
    checks.equal("the context after 01 to 05 is the vendor's example", context[:size.value], example)
    checks.equal("a second hash in between", chip("atcab_sha", 3, b"abc", Out(32)), host.sha256(b"abc"))
    checks.equal("the first context written back", chip("atcab_sha_write_context", example, len(example)), OK)
    checks.equal("is finished", sha_end(chip, OUTPUT_ONLY, b"67"), host.sha256(message + b"67"))
    chip("atcab_sha_start")
    chip("atcab_sha_base", 1, 64, bytes(range(64)), None, None)
    chip("atcab_sha_base", 1, 35, bytes(35), None, None)
    size = ctypes.c_uint16(130)
    context = chip("atcab_sha_read_context", Out(130), ctypes.byref(size))[:size.value]
    checks.equal("a context of 99 bytes holds 35 unprocessed ones", (len(context), context[:4], context[36:]),
                 (71, bytes([99, 0, 0, 0]), bytes(35)))
    checks.equal("an HMAC context cannot be read: HMAC(start)",
                 chip("atcab_sha_base", 4, layout.IO_KEY, None, None, None), OK)
    checks.equal("SHA(read context)",
                 chip("atcab_sha_read_context", Out(130), ctypes.byref(ctypes.c_uint16(130))), EXECUTION)


def digests_go_where_they_are_sent(checks, chip, keys):
    before = os.urandom(32)
    chip("atcab_nonce", before)
    chip("atcab_sha_start")
    digest = sha_end(chip, DIGEST_BUFFER, b"to the digest buffer")
    checks.equal("SHA(end) to the digest buffer answers too", digest, host.sha256(b"to the digest buffer"))
    signature = chip("atcab_sign_base", 0xA0, layout.SIGN_AND_ECDH, Out(64))
    checks.true("and Sign takes it there", host.verifies(keys.public[0], digest, signature), signature)
    checks.equal("TempKey is left alone", hmac_with(chip, EPHEMERAL), expected_hmac(before))
    chip("atcab_sha_start")
    sha_end(chip, OUTPUT_ONLY, b"to the output")
    checks.equal("SHA(end) to the output leaves TempKey alone", hmac_with(chip, EPHEMERAL), expected_hmac(before))
    chip("atcab_sha_start")
    digest = sha_end(chip, TEMP_KEY, b"to TempKey")
    checks.equal("SHA(end) to TempKey answers too", digest, host.sha256(b"to TempKey"))
    checks.equal("and TempKey holds it", hmac_with(chip, EPHEMERAL), expected_hmac(digest))


def hmacs_are_those_of_the_standard(checks, chip, keys):
    for length in (1, 63, 64, 65, 128, 300):
        message = os.urandom(length)
        checks.equal(f"HMAC of {length} bytes with slot 4",
                     chip("atcab_sha_hmac", message, length, layout.IO_KEY, Out(32), OUTPUT_ONLY),
                     host.hmac_sha256(keys.io_key, message))
    key = os.urandom(32)
    chip("atcab_nonce", key)
    message = os.urandom(100)
    checks.equal("HMAC of 100 bytes with TempKey",
                 chip("atcab_sha_hmac", message, 100, EPHEMERAL, Out(32), OUTPUT_ONLY), host.hmac_sha256(key, message))
    context = Out(256)
    chip("atcab_sha_hmac_init", context, layout.IO_KEY)
    chip("atcab_sha_hmac_update", context, message[:33], 33)
    chip("atcab_sha_hmac_update", context, message[33:], 67)
    checks.equal("HMAC in steps of 33 and 67 bytes",
                 chip("atcab_sha_hmac_finish", context, Out(32), OUTPUT_ONLY)[1],
                 host.hmac_sha256(keys.io_key, message))
    checks.equal("HMAC with a private key", hmac_with(chip, layout.SIGN_AND_ECDH), EXECUTION)
    checks.equal("HMAC with a slot whose latch is open", hmac_with(chip, layout.LATCHED), EXECUTION)
    checks.equal("the latch is open", chip("atcab_info_get_latch", Out(1)), b"\0")
    checks.equal("and is not closed without CheckMac", chip("atcab_info_set_latch", 1), EXECUTION)


TOPICS = (reading_follows_the_policy, writing_follows_the_policy, slots_are_locked_one_by_one,
          nonces_are_what_the_host_computes, hashes_are_those_of_the_standard, sha_contexts_come_and_go,
          digests_go_where_they_are_sent, hmacs_are_those_of_the_standard)
