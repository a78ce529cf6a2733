# SPDX-License-Identifier: MIT OR Apache-2.0
"""SecureBoot in each of its configurations, plain and with an encrypted digest and a MAC (fact sheet section 3.16)."""

import os

import host
import host_keys
import vendor_config as slot
from bench import configure, fill, write_blocks
from driver import DATA, EXECUTION, MISCOMPARE, OK, PARSE, Out, put_to_sleep
from layout import padded
from vendor_tests import random_temp_key

FULL, FULL_STORE, FULL_COPY = 5, 6, 7
PROHIBIT, MAC = 0x40, 0x80
OFF, FULL_BOTH, FULL_SIGNATURE, FULL_DIGEST = range(4)
PERSIST, RANDOM = 0x08, 0x10
KEY = slot.SLOT_4_KEY


class Boot:
    """The boot key, an image's digest, and signatures."""

    def __init__(self):
        self.key = host.SoftwareKey()
        self.digest = os.urandom(32)
        self.good = self.key.sign(self.digest)
        self.bad = host.SoftwareKey().sign(self.digest)
        self.word = 0


def run(checks, bench):
    for storage, topics in ((OFF, (nothing_is_checked,)),
                            (FULL_BOTH, (signatures_are_checked, only_full_is_configured)),
                            (FULL_SIGNATURE,
                             (signatures_are_checked, the_signature_is_stored, the_library_checks_the_mac,
                                              macs_are_those_of_the_host, it_is_switched_off_until_power_is_cycled)),
                            (FULL_DIGEST, (signatures_are_checked, the_digest_is_stored, the_library_checks_the_mac,
                                           macs_are_those_of_the_host)),
                            (FULL_DIGEST | PERSIST | RANDOM, (it_closes_the_latch_for_a_random_nonce,))):
        boot = Boot()
        boot.word = slot.SECURE_BOOT & 0xFF00 | storage
        with bench.chip() as (chip, server):
            configure(chip, {16: slot.CONFIG_16_TO_127, 70: boot.word.to_bytes(2, "little")})
            fill(chip, {slot.KEY: KEY, slot.BOOT_KEY: padded(boot.key.public), slot.BOOT_DIGEST: bytes(72)})
            for topic in topics:
                checks.run(topic, chip, server, boot)


def nothing_is_checked(checks, chip, server, boot):
    for mode in (FULL, FULL_COPY):
        checks.equal(f"SecureBoot, mode {mode}", chip("atcab_secureboot", mode, 0, boot.digest, boot.good, None),
                     EXECUTION)


def signatures_are_checked(checks, chip, server, boot):
    checks.equal("a good signature", chip("atcab_secureboot", FULL, 0, boot.digest, boot.good, None), OK)
    checks.equal("another's signature", chip("atcab_secureboot", FULL, 0, boot.digest, boot.bad, None), MISCOMPARE)
    checks.equal("another image", chip("atcab_secureboot", FULL, 0, os.urandom(32), boot.good, None), MISCOMPARE)
    checks.equal("nothing is stored", stored(chip), bytes(72))
    checks.equal("the latch is left open", chip("atcab_info_get_latch", Out(1)), b"\0")
    for mode in (0x15, 0x0D):  # Others the library does not send.
        checks.equal(f"mode {mode:02X}", chip("atcab_secureboot", mode, 0, boot.digest, boot.good, None), PARSE)


def stored(chip):
    return chip("atcab_read_bytes_zone", DATA, slot.BOOT_DIGEST, 0, Out(72), 72)


def only_full_is_configured(checks, chip, server, boot):
    checks.equal("FullCopy", chip("atcab_secureboot", FULL_COPY, 0, boot.digest, boot.good, None), EXECUTION)
    checks.equal("FullStore", chip("atcab_secureboot", FULL_STORE, 0, boot.digest, None, None), EXECUTION)


def the_digest_is_stored(checks, chip, server, boot):
    store_is_used(checks, chip, boot, boot.digest)
    write_blocks(chip, DATA, slot.BOOT_DIGEST, bytes(64))
    checks.equal("FullStore after the stored digest was overwritten",
                 chip("atcab_secureboot", FULL_STORE, 0, boot.digest, None, None), MISCOMPARE)


def the_signature_is_stored(checks, chip, server, boot):
    store_is_used(checks, chip, boot, boot.good)


def store_is_used(checks, chip, boot, kept):
    checks.equal("FullStore with nothing stored", chip("atcab_secureboot", FULL_STORE, 0, boot.digest, None, None),
                 MISCOMPARE)
    checks.equal("FullCopy with another's signature",
                 chip("atcab_secureboot", FULL_COPY, 0, boot.digest, boot.bad, None), MISCOMPARE)
    checks.equal("stores nothing", stored(chip), bytes(72))
    checks.equal("FullCopy", chip("atcab_secureboot", FULL_COPY, 0, boot.digest, boot.good, None), OK)
    checks.equal("stores what the configuration says", stored(chip), kept.ljust(72, b"\0"))
    checks.equal("FullStore needs no signature", chip("atcab_secureboot", FULL_STORE, 0, boot.digest, None, None), OK)
    checks.equal("FullStore of another image", chip("atcab_secureboot", FULL_STORE, 0, os.urandom(32), None, None),
                 MISCOMPARE)


def the_library_checks_the_mac(checks, chip, server, boot):
    number = os.urandom(20)
    for mode, signature in ((FULL, boot.good), (FULL_COPY, boot.good), (FULL_STORE, boot.good)):
        checks.equal(f"atcab_secureboot_mac, mode {mode}",
                     chip("atcab_secureboot_mac", mode, boot.digest, signature, number, KEY, Out(1)), b"\1")
    answer = chip("atcab_secureboot_mac", FULL, boot.digest, boot.bad, number, KEY, Out(1))
    checks.true("another's signature is not verified", answer in (b"\0", MISCOMPARE), answer)
    answer = chip("atcab_secureboot_mac", FULL, boot.digest, boot.good, number, bytes(32), Out(1))
    checks.true("nor one that comes under another IO key", answer in (b"\0", MISCOMPARE), answer)


def macs_are_those_of_the_host(checks, chip, server, boot):
    for mode, sent in ((FULL, boot.good), (FULL_COPY, boot.good), (FULL_STORE, None)):
        temp_key = random_temp_key(chip)
        value = temp_key.bytes()
        hashed, sealed = host_keys.secure_boot_sealed(KEY, temp_key, boot.digest)
        checks.equal("HashedKey as the fact sheet has it", hashed, host.sha256(KEY, value))
        mac = chip("atcab_secureboot", mode | MAC, 0, sealed, sent, Out(32))
        signature = boot.good
        checks.equal(f"mode {mode | MAC:02X}: the MAC of atcah_secureboot_mac", mac,
                     host_keys.secure_boot_mac(mode | MAC, boot.word, hashed, boot.digest, signature))
        in_message = b"" if mode == FULL_STORE and boot.word & 3 == FULL_DIGEST else signature
        checks.equal("as the fact sheet has it", mac,
                     host.sha256(hashed, boot.digest, in_message, bytes([0x80, mode | MAC, 0, 0])))
        checks.equal("TempKey is used up", chip("atcab_secureboot", mode | MAC, 0, sealed, sent, Out(32)), EXECUTION)
    random_temp_key(chip)
    checks.equal("a digest in clear where an encrypted one is said",
                 chip("atcab_secureboot", FULL | MAC, 0, boot.digest, boot.good, Out(32)), MISCOMPARE)


def it_is_switched_off_until_power_is_cycled(checks, chip, server, boot):
    checks.equal("SecureBoot with the bit that forbids the next one",
                 chip("atcab_secureboot", FULL | PROHIBIT, 0, boot.digest, boot.good, None), OK)
    checks.equal("the next one", chip("atcab_secureboot", FULL, 0, boot.digest, boot.good, None), EXECUTION)
    put_to_sleep(chip)
    checks.equal("after sleep too", chip("atcab_secureboot", FULL, 0, boot.digest, boot.good, None), EXECUTION)
    server.power_cycle()
    checks.equal("after a power cycle it works", chip("atcab_secureboot", FULL, 0, boot.digest, boot.good, None), OK)


def it_closes_the_latch_for_a_random_nonce(checks, chip, server, boot):
    number = os.urandom(20)
    checks.equal("no TempKey", chip("atcab_secureboot", FULL, 0, boot.digest, boot.good, None), EXECUTION)
    chip("atcab_nonce", os.urandom(32))
    checks.equal("a TempKey from input", chip("atcab_secureboot", FULL, 0, boot.digest, boot.good, None), EXECUTION)
    answer = chip("atcab_secureboot_mac", FULL, boot.digest, boot.bad, number, KEY, Out(1))
    checks.true("a wrong signature", answer in (b"\0", MISCOMPARE), answer)
    checks.equal("leaves the latch open", chip("atcab_info_get_latch", Out(1)), b"\0")
    checks.equal("a right one", chip("atcab_secureboot_mac", FULL, boot.digest, boot.good, number, KEY, Out(1)), b"\1")
    checks.equal("closes it", chip("atcab_info_get_latch", Out(1)), b"\1")
    chip("atcab_write_zone", DATA, slot.AES_LATCHED, 0, 0, bytes(32), 32)
    checks.equal("and a key that waits for it works",
                 chip("atcab_aes_encrypt", slot.AES_LATCHED, 0, bytes(16), Out(16)),
                 host.aes_encrypt(bytes(16), bytes(16)))
    put_to_sleep(chip)
    checks.equal("sleep leaves it closed", chip("atcab_info_get_latch", Out(1)), b"\1")
    server.power_cycle()
    checks.equal("a power cycle opens it", chip("atcab_info_get_latch", Out(1)), b"\0")
