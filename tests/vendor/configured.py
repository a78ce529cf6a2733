# SPDX-License-Identifier: MIT OR Apache-2.0
"""Configuration locked, data and OTP not yet: the state in which keys are created (fact sheet sections 3.22 and
5.7)."""

import host
import layout
from driver import CONFIG, DATA, EXECUTION, OK, OTP, PARSE, Out

OTP_BYTES = bytes(range(0x40, 0x80))


def configuration_is_frozen(checks, chip):
    before = chip("atcab_read_config_zone", Out(128))
    checks.equal("Write(configuration), word", chip("atcab_write_zone", CONFIG, 0, 0, 5, bytes(4), 4), EXECUTION)
    checks.equal("Write(configuration), block", chip("atcab_write_zone", CONFIG, 0, 1, 0, bytes(32), 32), EXECUTION)
    checks.equal("and nothing has changed", chip("atcab_read_config_zone", Out(128)), before)


def random_numbers_are_real(checks, chip):
    numbers = [chip("atcab_random", Out(32)) for _ in range(8)]
    checks.equal("Random answers something else every time", len(set(numbers)), 8)
    checks.true("and no longer the pattern", bytes.fromhex("FFFF0000") * 8 not in numbers)
    nonces = [chip("atcab_nonce_rand", bytes(20), Out(32)) for _ in range(4)]
    checks.equal("Nonce(random) too", len(set(nonces)), 4)


def data_cannot_be_read_yet(checks, chip):
    checks.equal("Read(data), block", chip("atcab_read_zone", DATA, layout.GENERAL, 0, 0, Out(32), 32), EXECUTION)
    checks.equal("Read(data), word", chip("atcab_read_zone", DATA, layout.GENERAL, 0, 0, Out(4), 4), EXECUTION)
    checks.equal("Read(data) of a private key", chip("atcab_read_zone", DATA, 0, 0, 0, Out(32), 32), EXECUTION)
    checks.equal("Read(OTP), block", chip("atcab_read_zone", OTP, 0, 0, 0, Out(32), 32), EXECUTION)
    checks.equal("Read(OTP), word", chip("atcab_read_zone", OTP, 0, 0, 0, Out(4), 4), EXECUTION)


def data_is_written_in_whole_blocks_only(checks, chip):
    refused = (PARSE, EXECUTION)
    checks.equal("Write(data), word", chip("atcab_write_zone", DATA, layout.GENERAL, 0, 0, bytes(4), 4), EXECUTION)
    checks.equal("Write(OTP), word", chip("atcab_write_zone", OTP, 0, 0, 0, bytes(4), 4), EXECUTION)
    for slot in layout.PRIVATE:
        checks.equal(f"Write(data) to the private key of slot {slot}",
                     chip("atcab_write_zone", DATA, slot, 0, 0, bytes(32), 32), EXECUTION)
    for slot, block in ((4, 2), (9, 3), (8, 13)):
        status = chip("atcab_write_zone", DATA, slot, block, 0, bytes(32), 32)
        checks.true(f"Write(data) to slot {slot}, block {block}, which is not there", status in refused, status)
    checks.equal("Write(data), block 2 with word 1: the word is ignored",
                 chip("atcab_write_zone", DATA, layout.LOCKABLE, 2, 1, bytes(32), 32), OK)


def contents(chip, keys):
    """The contents for every slot without a private key. Policy is ignored until the data lock."""
    slots = {slot: bytes((slot << 4 ^ i) & 0xFF for i in range(layout.size(slot))) for slot in range(16)}
    for slot in layout.PRIVATE:
        del slots[slot]
    slots[layout.IO_KEY] = keys.io_key + bytes(4)
    slots[layout.LIMIT] = layout.USES.to_bytes(4, "little") * 2 + bytes(64)
    slots[layout.PARENT] = layout.padded(keys.attest)
    slots[layout.VALIDATED] = layout.padded(keys.software.public)
    slots[layout.REQ_RANDOM] = layout.padded(keys.software.public)
    return slots


def private_keys_are_born(checks, chip, keys):
    for slot in layout.PRIVATE:
        public = chip("atcab_genkey", slot, Out(64))
        checks.true(f"GenKey(create) in slot {slot} answers a point of the curve",
                    isinstance(public, bytes) and host.on_curve(public), public)
        checks.equal(f"GenKey(public) in slot {slot} answers it again", chip("atcab_get_pubkey", slot, Out(64)), public)
        checks.equal(f"Info(key valid) of slot {slot}", chip("atcab_info_base", 1, slot, Out(4)), bytes([1, 0, 0, 0]))
        keys.public[slot] = public
    checks.equal("no two are the same", len(set(keys.public.values())), len(layout.PRIVATE))
    again = chip("atcab_genkey", layout.SIGN_ONLY, Out(64))
    checks.true("GenKey(create) replaces a key", again != keys.public[layout.SIGN_ONLY], again)
    keys.public[layout.SIGN_ONLY] = again
    keys.attest = keys.public[layout.ATTEST]
    checks.equal("GenKey(create) in a data slot", chip("atcab_genkey", layout.GENERAL, Out(64)), EXECUTION)
    checks.equal("GenKey(public) of a data slot", chip("atcab_get_pubkey", layout.GENERAL, Out(64)), EXECUTION)


def slots_and_otp_are_filled(checks, chip, keys):
    keys.slots = contents(chip, keys)
    for slot, data in keys.slots.items():
        statuses = {chip("atcab_write_zone", DATA, slot, at // 32, 0, data[at:at + 32].ljust(32, b"\0"), 32)
                    for at in range(0, len(data), 32)}
        checks.equal(f"Write(data) of all blocks of slot {slot}", statuses, {OK})
    checks.equal("atcab_write_pubkey to the parent's slot",
                 chip("atcab_write_pubkey", layout.PARENT, keys.attest), OK)
    for block in (0, 1):
        checks.equal(f"Write(OTP), block {block}",
                     chip("atcab_write_zone", OTP, 0, block, 0, OTP_BYTES[32 * block:32 * block + 32], 32), OK)


def verify_external_works(checks, chip, keys):
    digest = host.sha256(b"between the locks")
    signature = keys.software.sign(digest)
    checks.equal("Verify(external) of a good signature",
                 chip("atcab_verify_extern", digest, signature, keys.software.public, Out(1)), b"\1")
    checks.equal("Verify(external) of another message",
                 chip("atcab_verify_extern", host.sha256(b""), signature, keys.software.public, Out(1)), b"\0")


def locking_the_data(checks, chip, keys):
    checks.equal("Lock(slot) before the data", chip("atcab_lock_data_slot", layout.IO_KEY), EXECUTION)
    invalid = keys.slots[layout.VALIDATED]
    # A public key that has to be validated is marked A when it is written.
    keys.slots[layout.VALIDATED] = bytes([0xA0 | invalid[0] & 0x0F]) + invalid[1:]
    summary = host.crc(b"".join(keys.slots[slot] for slot in sorted(keys.slots)) + OTP_BYTES)
    checks.equal("Lock(data) with a wrong summary", chip("atcab_lock_data_zone_crc", summary ^ 0x8000), EXECUTION)
    checks.equal("leaves it unlocked", chip("atcab_is_data_locked", Out(1)), b"\0")
    checks.equal("Lock(data) with the right one: all that was written is there",
                 chip("atcab_lock_data_zone_crc", summary), OK)
    checks.equal("LockValue and LockConfig are 00", chip("atcab_read_bytes_zone", CONFIG, 0, 86, Out(2), 2), b"\0\0")
    checks.equal("the library sees it", chip("atcab_is_data_locked", Out(1)), b"\1")
    checks.equal("Lock(data) again", chip("atcab_lock_data_zone"), EXECUTION)


TOPICS = (configuration_is_frozen, random_numbers_are_real, data_cannot_be_read_yet,
          data_is_written_in_whole_blocks_only)
KEY_TOPICS = (private_keys_are_born, slots_and_otp_are_filled, verify_external_works, locking_the_data)
