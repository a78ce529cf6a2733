"""Both zones locked: the chip in service (fact sheet sections 3.0 to 3.22 and 5)."""

import ctypes
import hashlib
import os

import host
import layout
from configured import OTP_BYTES
from driver import CONFIG, DATA, EXECUTION, MISCOMPARE, OK, OTP, PARSE, Out, Status, put_to_sleep

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


# --- keys ------------------------------------------------------------------------------------------------------------


def keys_are_generated_where_the_slot_allows(checks, chip, keys):
    for slot in layout.PRIVATE:
        checks.equal(f"GenKey(public) of slot {slot}", chip("atcab_get_pubkey", slot, Out(64)),
                     EXECUTION if slot == layout.REQ_AUTH else keys.public[slot])
    old = keys.public[layout.SIGN_AND_ECDH]
    new = chip("atcab_genkey", layout.SIGN_AND_ECDH, Out(64))
    checks.true("GenKey(create) in slot 0 makes another key", new != old and host.on_curve(new), new)
    checks.equal("GenKey(public) answers the new one", chip("atcab_get_pubkey", layout.SIGN_AND_ECDH, Out(64)), new)
    keys.public[layout.SIGN_AND_ECDH] = new
    digest = os.urandom(32)
    signature = chip("atcab_sign", layout.SIGN_AND_ECDH, digest, Out(64))
    checks.true("the new one signs", host.verifies(new, digest, signature), signature)
    checks.true("the old one is gone", not host.verifies(old, digest, signature))
    checks.equal("GenKey(create) without GenKey in WriteConfig",
                 chip("atcab_genkey", layout.REQ_AUTH, Out(64)), EXECUTION)
    for slot in (layout.IO_KEY, layout.GENERAL, layout.PARENT):
        checks.equal(f"GenKey(create) in slot {slot}, not private", chip("atcab_genkey", slot, Out(64)), EXECUTION)
    for slot, valid in ((layout.SIGN_AND_ECDH, 1), (layout.PARENT, 1), (layout.VALIDATED, 0), (layout.IO_KEY, 0)):
        checks.equal(f"Info(key valid) of slot {slot}",
                     chip("atcab_info_base", 1, slot, Out(4)), bytes([valid, 0, 0, 0]))


def key_digests_are_what_the_host_computes(checks, chip, keys):
    serial = serial_number(chip)
    start, other = os.urandom(32), os.urandom(3)
    chip("atcab_nonce", start)
    checks.equal("GenKey(digest of a stored public key)",
                 chip("atcab_genkey_base", 0x10, layout.PARENT, other, None), OK)
    checks.equal("sets GenKeyData, KeyID 11, SourceFlag kept", temp_key_state(chip), "5b80")
    expected = host.gen_key_digest(host.nonce(host.TempKey(), 3, 0, start), 0x10, layout.PARENT, keys.attest, other,
                                   serial)
    checks.equal("TempKey as atcah_gen_key_msg has it", hmac_with(chip, EPHEMERAL), expected_hmac(expected.bytes()))
    checks.equal("and as the fact sheet has it", expected.bytes(),
                 host.sha256(start, b"\x40", other, serial[8:], serial[:2], bytes(25), keys.attest))
    chip("atcab_nonce", start)
    public = keys.public[layout.ATTEST]
    checks.equal("GenKey(public, digest)", chip("atcab_genkey_base", 0x08, layout.ATTEST, None, Out(64)), public)
    expected = host.gen_key_digest(host.nonce(host.TempKey(), 3, 0, start), 0x08, layout.ATTEST, public, None, serial)
    checks.equal("TempKey as atcah_gen_key_msg has it", hmac_with(chip, EPHEMERAL), expected_hmac(expected.bytes()))
    put_to_sleep(chip)
    checks.equal("GenKey(digest) without TempKey",
                 chip("atcab_genkey_base", 0x10, layout.PARENT, other, None), EXECUTION)


def external_signatures_verify(checks, chip, keys):
    for slot in (layout.SIGN_AND_ECDH, layout.SIGN_ONLY):
        digest = os.urandom(32)
        signature = chip("atcab_sign", slot, digest, Out(64))
        checks.true(f"atcab_sign with slot {slot} verifies in software",
                    host.verifies(keys.public[slot], digest, signature), signature)
    again = chip("atcab_sign", slot, digest, Out(64))
    checks.true("no two signatures of one digest are the same", again != signature, again)
    chip("atcab_nonce", digest)
    signature = chip("atcab_sign_base", 0x80, layout.SIGN_ONLY, Out(64))
    checks.true("Sign takes TempKey", host.verifies(keys.public[layout.SIGN_ONLY], digest, signature), signature)
    checks.equal("and uses it up", chip("atcab_sign_base", 0x80, layout.SIGN_ONLY, Out(64)), EXECUTION)
    chip("atcab_nonce_load", DIGEST_BUFFER, digest, 32)
    signatures = [chip("atcab_sign_base", 0xA0, layout.SIGN_ONLY, Out(64)) for _ in range(2)]
    checks.true("Sign takes the digest buffer, more than once",
                all(host.verifies(keys.public[layout.SIGN_ONLY], digest, s) for s in signatures), tuple(signatures))
    for slot, why in ((layout.ATTEST, "internal only"), (layout.ECDH_TO_SLOT, "ECDH only"),
                      (layout.IO_KEY, "not private"),
                      (layout.PARENT, "a public key"), (layout.REQ_AUTH, "not authorised")):
        checks.equal(f"Sign(external) with slot {slot}: {why}", chip("atcab_sign", slot, digest, Out(64)), EXECUTION)


def internal_signatures_are_of_the_hosts_message(checks, chip, keys):
    serial, config = serial_number(chip), chip("atcab_read_config_zone", Out(128))
    start, other = os.urandom(32), os.urandom(3)
    for slot in (layout.ATTEST, layout.SIGN_AND_ECDH):
        for full_serial in (0, 1):
            chip("atcab_nonce", start)
            chip("atcab_genkey_base", 0x10, layout.PARENT, other, None)
            signature = chip("atcab_sign_internal", slot, 0, full_serial, Out(64))
            temp_key = host.gen_key_digest(host.nonce(host.TempKey(), 3, 0, start), 0x10, layout.PARENT, keys.attest,
                                           other, serial)
            digest, _ = host.sign_internal(temp_key, 0x40 * full_serial, slot, config, serial)
            checks.true(f"Sign(internal{', full serial number' if full_serial else ''}) with slot {slot} is of "
                        "atcah_sign_internal_msg's digest", host.verifies(keys.public[slot], digest, signature),
                        signature)
    checks.equal("and uses TempKey up", chip("atcab_sign_internal", layout.ATTEST, 0, 0, Out(64)), EXECUTION)
    chip("atcab_nonce", start)
    checks.equal("Sign(internal) of a TempKey from Nonce alone",
                 chip("atcab_sign_internal", layout.ATTEST, 0, 0, Out(64)), EXECUTION)
    chip("atcab_nonce", start)
    chip("atcab_genkey_base", 0x10, layout.PARENT, other, None)
    checks.equal("Sign(internal) with a slot for external ones",
                 chip("atcab_sign_internal", layout.SIGN_ONLY, 0, 0, Out(64)), EXECUTION)


def verification_tells_good_from_bad(checks, chip, keys):
    digest = os.urandom(32)
    good = keys.software.sign(digest)
    bad = good[:63] + bytes([good[63] ^ 1])
    public = keys.software.public
    checks.equal("Verify(external), good", chip("atcab_verify_extern", digest, good, public, Out(1)), b"\1")
    checks.equal("Verify(external), another signature", chip("atcab_verify_extern", digest, bad, public, Out(1)), b"\0")
    checks.equal("Verify(external), another key", chip("atcab_verify_extern", digest, good, keys.attest, Out(1)), b"\0")
    checks.equal("Verify(external), zeros", chip("atcab_verify_extern", digest, bytes(64), public, Out(1)), b"\0")
    off_curve = public[:63] + bytes([public[63] ^ 1])
    checks.equal("Verify(external), a key that is no point",
                 chip("atcab_verify_extern", digest, good, off_curve, Out(1)), EXECUTION)
    own = chip("atcab_sign", layout.SIGN_AND_ECDH, digest, Out(64))
    checks.equal("Verify(external) of the chip's own signature",
                 chip("atcab_verify_extern", digest, own, keys.public[0], Out(1)), b"\1")
    chip("atcab_nonce", digest)
    checks.equal("Verify takes TempKey", chip("atcab_verify", 0x02, P256, good, public, None, None), OK)
    checks.equal("and uses it up", chip("atcab_verify", 0x02, P256, good, public, None, None), EXECUTION)
    chip("atcab_nonce_load", DIGEST_BUFFER, digest, 32)
    checks.equal("a mismatch is status 01", chip("atcab_verify", 0x22, P256, bad, public, None, None), MISCOMPARE)
    checks.equal("Verify(stored), a signature by another key",
                 chip("atcab_verify_stored", digest, own, layout.PARENT, Out(1)), b"\0")
    checks.equal("Verify(stored) with a slot of another kind",
                 chip("atcab_verify_stored", digest, good, layout.GENERAL, Out(1)), EXECUTION)
    checks.equal("Verify(stored) with a private key",
                 chip("atcab_verify_stored", digest, good, layout.SIGN_AND_ECDH, Out(1)), EXECUTION)
    checks.equal("Verify(stored) with a key not validated",
                 chip("atcab_verify_stored", digest, good, layout.VALIDATED, Out(1)), EXECUTION)


def stored_keys_verify(checks, chip, keys):
    digest = os.urandom(32)
    other = host.SoftwareKey()
    good = other.sign(digest)
    checks.equal("a public key is written", chip("atcab_write_pubkey", layout.PARENT, other.public), OK)
    checks.equal("and read back", chip("atcab_read_pubkey", layout.PARENT, Out(64)), other.public)
    checks.equal("Verify(stored), good", chip("atcab_verify_stored", digest, good, layout.PARENT, Out(1)), b"\1")
    checks.equal("Verify(stored), another message",
                 chip("atcab_verify_stored", os.urandom(32), good, layout.PARENT, Out(1)), b"\0")
    chip("atcab_nonce", digest)
    checks.equal("Verify(stored) of TempKey",
                 chip("atcab_verify_stored_with_tempkey", good, layout.PARENT, Out(1)), b"\1")
    checks.equal("the parent's key is put back", chip("atcab_write_pubkey", layout.PARENT, keys.attest), OK)


def a_slot_with_req_random_wants_a_random_nonce(checks, chip, keys):
    digest = os.urandom(32)
    good = keys.software.sign(digest)
    checks.equal("Verify(stored) of the digest buffer",
                 chip("atcab_verify_stored", digest, good, layout.REQ_RANDOM, Out(1)), EXECUTION)
    chip("atcab_nonce", digest)
    checks.equal("Verify(stored) of a TempKey from input",
                 chip("atcab_verify_stored_with_tempkey", good, layout.REQ_RANDOM, Out(1)), EXECUTION)
    number = os.urandom(20)
    answer = chip("atcab_nonce_rand", number, Out(32))
    message = host.nonce(host.TempKey(), 0, 0, number, answer).bytes()
    checks.equal("Verify(stored) of a TempKey from random",
                 chip("atcab_verify_stored_with_tempkey", keys.software.sign(message), layout.REQ_RANDOM, Out(1)),
                 b"\1")


def verification_is_answered_with_a_mac(checks, chip, keys):
    digest, number = os.urandom(32), os.urandom(32)
    good, public = keys.software.sign(digest), keys.software.public
    bad = good[:63] + bytes([good[63] ^ 1])
    checks.equal("Verify(external, MAC), the library agrees",
                 chip("atcab_verify_extern_mac", digest, good, public, number, keys.io_key, Out(1)), b"\1")
    checks.equal("with another IO key it does not",
                 chip("atcab_verify_extern_mac", digest, good, public, number, bytes(32), Out(1)), b"\0")
    checks.equal("a wrong signature has no MAC",
                 chip("atcab_verify_extern_mac", digest, bad, public, number, keys.io_key, Out(1)), b"\0")
    chip("atcab_nonce_load", DIGEST_BUFFER, digest + number, 64)
    mac = chip("atcab_verify", 0xA2, P256, good, public, None, Out(32))
    checks.equal("message in the digest buffer: as atcah_verify_mac", mac,
                 host.verify_mac(0xA2, P256, good, keys.io_key, digest_buffer=digest + number))
    checks.equal("and as the fact sheet has it", mac,
                 host.sha256(keys.io_key, digest, number, good, bytes([0x45, 0xA2, P256, 0])))
    chip("atcab_nonce_load", DIGEST_BUFFER, number, 32)
    chip("atcab_nonce", digest)
    checks.equal("message in TempKey: as the fact sheet has it",
                 chip("atcab_verify", 0x82, P256, good, public, None, Out(32)),
                 host.sha256(keys.io_key, digest, number, good, bytes([0x45, 0x82, P256, 0])))
    by_parent = host.SoftwareKey()
    chip("atcab_write_pubkey", layout.PARENT, by_parent.public)
    checks.equal("Verify(stored, MAC), the library agrees",
                 chip("atcab_verify_stored_mac", digest, by_parent.sign(digest), layout.PARENT, number,
                      keys.io_key, Out(1)),
                 b"\1")
    chip("atcab_write_pubkey", layout.PARENT, keys.attest)


def public_keys_are_validated_by_their_parent(checks, chip, keys):
    serial, config = serial_number(chip), chip("atcab_read_config_zone", Out(128))
    slot, public, start, params = layout.VALIDATED, keys.software.public, os.urandom(32), os.urandom(3)
    digest = os.urandom(32)
    good = keys.software.sign(digest)

    def digest_of_the_key():
        chip("atcab_nonce", start)
        chip("atcab_genkey_base", 0x10, slot, params, None)

    def signed(invalidate):
        digest_of_the_key()
        signature = chip("atcab_sign_internal", layout.ATTEST, invalidate, 0, Out(64))
        temp_key = host.gen_key_digest(host.nonce(host.TempKey(), 3, 0, start), 0x10, slot, public, params, serial)
        message, other = host.sign_internal(temp_key, invalidate, layout.ATTEST, config, serial, bool(invalidate))
        checks.true(f"the parent's signature to {'in' * invalidate}validate is of atcah_sign_internal_msg's digest",
                    host.verifies(keys.attest, message, signature), signature)
        digest_of_the_key()
        return signature, other

    checks.equal("before: written, so marked A", validity(chip), 0xA0)
    signature, other = signed(0)
    forged = signature[:63] + bytes([signature[63] ^ 1])
    checks.equal("Verify(validate), forged", chip("atcab_verify_validate", slot, forged, other, Out(1)), b"\0")
    checks.equal("leaves the mark", validity(chip), 0xA0)
    digest_of_the_key()
    checks.equal("Verify(validate)", chip("atcab_verify_validate", slot, signature, other, Out(1)), b"\1")
    checks.equal("marks it 5", validity(chip), 0x50)
    checks.equal("Info(key valid)", chip("atcab_info_base", 1, slot, Out(4)), bytes([1, 0, 0, 0]))
    checks.equal("Verify(stored) now works", chip("atcab_verify_stored", digest, good, slot, Out(1)), b"\1")
    checks.equal("and Write no longer", chip("atcab_write_zone", DATA, slot, 0, 0, bytes(32), 32), EXECUTION)
    signature, other = signed(1)
    checks.equal("Verify(invalidate)", chip("atcab_verify_invalidate", slot, signature, other, Out(1)), b"\1")
    checks.equal("marks it A", validity(chip), 0xA0)
    checks.equal("Verify(stored) is refused", chip("atcab_verify_stored", digest, good, slot, Out(1)), EXECUTION)
    checks.equal("and Write works again", chip("atcab_write_pubkey", slot, public), OK)


def validity(chip):
    return chip("atcab_read_zone", DATA, layout.VALIDATED, 0, 0, Out(4), 4)[0] & 0xF0


# --- ECDH ------------------------------------------------------------------------------------------------------------


def shared_secrets_are_those_of_the_peer(checks, chip, keys):
    peer = host.SoftwareKey()
    slot = layout.SIGN_AND_ECDH
    secret = peer.ecdh(keys.public[slot])
    checks.equal("ECDH, as SlotConfig says: in clear", chip("atcab_ecdh", slot, peer.public, Out(32)), secret)
    checks.equal("ECDH to the output", chip("atcab_ecdh_base", 0x0C, slot, peer.public, Out(32), None), secret)
    checks.equal("ECDH, encrypted, decrypted by the library",
                 chip("atcab_ecdh_ioenc", slot, peer.public, Out(32), keys.io_key), secret)
    wrong = chip("atcab_ecdh_ioenc", slot, peer.public, Out(32), bytes(32))
    checks.true("with another IO key it is not the secret", isinstance(wrong, bytes) and wrong != secret, wrong)
    hidden, nonce = chip("atcab_ecdh_base", 0x0E, slot, peer.public, Out(32), Out(32))
    checks.equal("ECDH, encrypted, decrypted by atcah_io_decrypt", host.io_decrypt(keys.io_key, nonce, hidden), secret)
    stream = host.sha256(keys.io_key, nonce[:16]) + host.sha256(keys.io_key, nonce[16:])
    checks.true("as the fact sheet has it: 16 bytes of nonce for 32 of the secret",
                bytes(a ^ b for a, b in zip(hidden, stream)) == secret, (hidden, nonce))
    _, other_nonce = chip("atcab_ecdh_base", 0x0E, slot, peer.public, Out(32), Out(32))
    checks.true("the nonce is another every time", nonce != other_nonce, nonce)
    checks.equal("ECDH to TempKey", chip("atcab_ecdh_base", 0x08, slot, peer.public, None, None), OK)
    checks.equal("TempKey holds the secret", hmac_with(chip, EPHEMERAL), expected_hmac(secret))
    checks.equal("ECDH of a slot with the result in the next one",
                 chip("atcab_ecdh_base", 0x00, layout.ECDH_TO_SLOT, peer.public, None, None), OK)
    checks.equal("slot 3 holds the secret", hmac_with(chip, layout.ECDH_RESULT),
                 expected_hmac(peer.ecdh(keys.public[layout.ECDH_TO_SLOT])))
    for forbidden, why in ((layout.SIGN_ONLY, "for Sign only"), (layout.IO_KEY, "not private"),
                           (layout.PARENT, "public")):
        checks.equal(f"ECDH with slot {forbidden}: {why}",
                     chip("atcab_ecdh", forbidden, peer.public, Out(32)), EXECUTION)
    status = chip("atcab_ecdh", slot, peer.public[:63] + bytes([peer.public[63] ^ 1]), Out(32))
    checks.true("ECDH with what is no point of the curve is 05 or 0F", status in (Status(-42), EXECUTION), status)


def ephemeral_keys_live_once(checks, chip, keys):
    peer = host.SoftwareKey()
    public = chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.true("GenKey(create) in TempKey answers a point", host.on_curve(public), public)
    checks.equal("ECDH with it", chip("atcab_ecdh_tempkey", peer.public, Out(32)), peer.ecdh(public))
    checks.equal("uses it up", chip("atcab_ecdh_tempkey", peer.public, Out(32)), EXECUTION)
    public = chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.equal("ECDH with it, encrypted",
                 chip("atcab_ecdh_tempkey_ioenc", peer.public, Out(32), keys.io_key), peer.ecdh(public))
    public = chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.equal("ECDH with it, to TempKey", chip("atcab_ecdh_base", 0x09, 0, peer.public, None, None), OK)
    checks.equal("TempKey holds the secret", hmac_with(chip, EPHEMERAL), expected_hmac(peer.ecdh(public)))
    public = chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.equal("ECDH with it, to slot 5",
                 chip("atcab_ecdh_base", 0x05, layout.ECDH_TARGET, peer.public, None, None), OK)
    checks.equal("slot 5 holds the secret", hmac_with(chip, layout.ECDH_TARGET), expected_hmac(peer.ecdh(public)))
    chip("atcab_genkey", EPHEMERAL, Out(64))
    checks.equal("it signs nothing", chip("atcab_sign_base", 0x80, layout.SIGN_ONLY, Out(64)), EXECUTION)
    chip("atcab_nonce", os.urandom(32))
    checks.equal("a nonce is no key for ECDH", chip("atcab_ecdh_tempkey", peer.public, Out(32)), EXECUTION)


# --- counted uses, refused parameters --------------------------------------------------------------------------------


def counter_bytes(chip):
    return chip("atcab_read_bytes_zone", CONFIG, 0, 52, Out(8), 8).hex().upper()


def uses_are_counted_to_the_limit(checks, chip, keys):
    encoded = {1: "7FFFFFFF00000000", 16: "0000FFFF00000000", 17: "00007FFF00000000", 31: "0000000100000000",
               32: "FFFF000000010000"}
    checks.equal("Counter0 is 0 at first", counter_bytes(chip), "FFFFFFFF00000000")
    checks.equal("GenKey(public) is no use",
                 chip("atcab_get_pubkey", layout.LIMITED, Out(64)), keys.public[layout.LIMITED])
    checks.equal("Counter0 is still 0", counter_bytes(chip), "FFFFFFFF00000000")
    verified = 0
    for use in range(1, layout.USES + 1):
        digest = os.urandom(32)
        signature = chip("atcab_sign", layout.LIMITED, digest, Out(64))
        verified += host.verifies(keys.public[layout.LIMITED], digest, signature)
        if use in encoded:
            checks.equal(f"after use {use} Counter0 is encoded as the fact sheet's table",
                         counter_bytes(chip), encoded[use])
    checks.equal("all 32 signatures verify", verified, layout.USES)
    checks.equal("the next use", chip("atcab_sign", layout.LIMITED, bytes(32), Out(64)), EXECUTION)
    checks.equal("is not counted", counter_bytes(chip), encoded[32])


def illegal_parameters_are_parse_errors(checks, chip, keys):
    peer = host.SoftwareKey()
    checks.equal("Info, mode 5", chip("atcab_info_base", 5, 0, Out(4)), PARSE)
    checks.equal("Sign, slot 16", chip("atcab_sign_base", 0x80, 16, Out(64)), PARSE)
    checks.equal("Sign, mode bit 1", chip("atcab_sign_base", 0x82, 0, Out(64)), PARSE)
    checks.equal("GenKey, slot 16", chip("atcab_genkey_base", 0x04, 16, None, Out(64)), PARSE)
    checks.equal("GenKey, mode bit 0", chip("atcab_genkey_base", 0x01, 0, None, Out(64)), PARSE)
    checks.equal("ECDH, slot 16", chip("atcab_ecdh_base", 0x0C, 16, peer.public, Out(32), None), PARSE)
    checks.equal("ECDH, mode bit 4", chip("atcab_ecdh_base", 0x1C, 0, peer.public, Out(32), None), PARSE)
    checks.equal("Lock, zone 3", chip("atcab_lock", 0x83, 0), PARSE)
    checks.equal("Lock, bit 6", chip("atcab_lock", 0xC0, 0), PARSE)
    # A SelfTest's answer looks like a status: the library hands over the byte as the result (section 3.17).
    checks.equal("SelfTest, bit 6", chip("atcab_selftest", 0x40, 0, Out(1)), b"\3")
    checks.equal("SelfTest, bit 7", chip("atcab_selftest", 0x80, 0, Out(1)), b"\3")
    checks.equal("Verify(stored), slot 16", chip("atcab_verify", 0x20, 16, bytes(64), None, None, None), PARSE)
    checks.equal("HMAC, the 508's command", chip("atcab_hmac", 0, layout.IO_KEY, Out(32)), PARSE)


TOPICS = (reading_follows_the_policy, writing_follows_the_policy, slots_are_locked_one_by_one,
          nonces_are_what_the_host_computes, hashes_are_those_of_the_standard, sha_contexts_come_and_go,
          digests_go_where_they_are_sent, hmacs_are_those_of_the_standard, keys_are_generated_where_the_slot_allows,
          key_digests_are_what_the_host_computes, external_signatures_verify,
          internal_signatures_are_of_the_hosts_message, verification_tells_good_from_bad, stored_keys_verify,
          a_slot_with_req_random_wants_a_random_nonce, verification_is_answered_with_a_mac,
          public_keys_are_validated_by_their_parent, shared_secrets_are_those_of_the_peer, ephemeral_keys_live_once,
          uses_are_counted_to_the_limit, illegal_parameters_are_parse_errors)
REAL_TIME_TOPICS = (sha_contexts_come_and_go, external_signatures_verify, shared_secrets_are_those_of_the_peer,
                    ephemeral_keys_live_once, stored_keys_verify, public_keys_are_validated_by_their_parent)
