# SPDX-License-Identifier: MIT OR Apache-2.0
"""Both zones locked: Counter, GenDig, MAC, CheckMac, and encryption with a key that both sides know
(fact sheet sections 3.2, 3.3, 3.6, 3.11, 3.15, 3.22)."""

import ctypes
import os

import host
import layout
from configured import OTP_BYTES
from driver import CONFIG, DATA, EXECUTION, MISCOMPARE, OK, OTP, Out
from locked import EPHEMERAL, expected_hmac, hmac_with, serial_number, temp_key_state


def counter(chip, function, number):
    value = ctypes.c_uint32(0xFFFFFFFF)
    status = chip(function, number, value)
    return value.value if status == OK else status


def counters_count(checks, chip, keys):
    uses = counter(chip, "atcab_counter_read", 0)
    checks.equal("Counter0 is the number of uses of the limited key", uses, layout.USES)
    checks.equal("Counter1 is 0", counter(chip, "atcab_counter_read", 1), 0)
    for value in range(1, 34):
        if counter(chip, "atcab_counter_increment", 1) != value:
            break
    checks.equal("Counter1 counts to 33, one by one", value, 33)
    checks.equal("and is encoded as the fact sheet's table",
                 chip("atcab_read_bytes_zone", CONFIG, 0, 60, Out(8), 8).hex().upper(), "7FFF000000010000")
    checks.equal("Counter0 is still the same", counter(chip, "atcab_counter_read", 0), uses)


def macs_are_those_of_the_host(checks, chip, keys):
    serial = serial_number(chip)
    key, challenge, slot = keys.io_key, os.urandom(32), layout.IO_KEY
    checks.equal("MAC of a challenge", chip("atcab_mac", 0x00, slot, challenge, Out(32)),
                 host.mac(0x00, slot, challenge, key, serial))
    checks.equal("as the fact sheet has it", chip("atcab_mac", 0x00, slot, challenge, Out(32)),
                 host.sha256(key, challenge, bytes([8, 0, slot, 0]), bytes(11), serial[8:], bytes(4), serial[:2],
                             bytes(2)))
    checks.equal("MAC with the full serial number", chip("atcab_mac", 0x40, slot, challenge, Out(32)),
                 host.mac(0x40, slot, challenge, key, serial))
    loaded = os.urandom(32)
    for mode in (0x05, 0x45, 0x06, 0x46, 0x07):
        chip("atcab_nonce", loaded)
        wanted = host.mac(mode, slot, challenge, key, serial, host.nonce(host.TempKey(), 3, 0, loaded))
        checks.equal(f"MAC mode {mode:02X}, TempKey from input",
                     chip("atcab_mac", mode, slot, challenge if mode & 1 == 0 else None, Out(32)), wanted)
    number = os.urandom(20)
    answer = chip("atcab_nonce_rand", number, Out(32))
    wanted = host.mac(0x41, slot, None, key, serial, host.nonce(host.TempKey(), 0, 0, number, answer))
    checks.equal("MAC mode 41, TempKey from random", chip("atcab_mac", 0x41, slot, None, Out(32)), wanted)
    chip("atcab_nonce", loaded)
    checks.equal("MAC with the wrong SourceFlag", chip("atcab_mac", 0x01, slot, None, Out(32)), EXECUTION)
    checks.equal("MAC with a private key", chip("atcab_mac", 0x00, 0, challenge, Out(32)), EXECUTION)
    checks.equal("MAC while the latch is open", chip("atcab_mac", 0x00, layout.LATCHED, challenge, Out(32)), EXECUTION)


def responses_are_checked(checks, chip, keys):
    serial = serial_number(chip)
    key, challenge, slot = keys.io_key, os.urandom(32), layout.IO_KEY
    other = os.urandom(13)
    right = host.check_mac(0x00, slot, challenge, key, other, serial)
    checks.equal("CheckMac, right", chip("atcab_checkmac", 0, slot, challenge, right, other), OK)
    wrong = right[:31] + bytes([right[31] ^ 1])
    checks.equal("CheckMac, wrong", chip("atcab_checkmac", 0, slot, challenge, wrong, other), MISCOMPARE)
    checks.equal("as the fact sheet has it", right, host.sha256(
        key, challenge, other[:4], bytes(8), other[4:7], serial[8:], other[7:11], serial[:2], other[11:]))
    own = chip("atcab_mac", 0x00, slot, challenge, Out(32))
    said = bytes([0x08, 0x00, slot, 0]) + bytes(9)
    checks.equal("CheckMac of the chip's own MAC", chip("atcab_checkmac", 0, slot, challenge, own, said), OK)
    number = os.urandom(20)

    def respond():
        answer = chip("atcab_nonce_rand", number, Out(32))
        temp_key = host.nonce(host.TempKey(), 0, 0, number, answer)
        return host.check_mac(0x01, slot, None, key, other, serial, temp_key=temp_key)

    checks.equal("CheckMac with a random TempKey", chip("atcab_checkmac", 1, slot, bytes(32), respond(), other), OK)
    stale = respond()
    respond()
    checks.equal("CheckMac of a response to another nonce",
                 chip("atcab_checkmac", 1, slot, bytes(32), stale, other), MISCOMPARE)
    chip("atcab_nonce", bytes(32))
    checks.equal("CheckMac with the wrong SourceFlag", chip("atcab_checkmac", 1, slot, bytes(32), right, other),
                 EXECUTION)
    checks.equal("CheckMac with a private key", chip("atcab_checkmac", 0, 0, challenge, right, other), EXECUTION)


def digests_of_zones_are_those_of_the_host(checks, chip, keys):
    serial, config = serial_number(chip), chip("atcab_read_config_zone", Out(128))
    start = os.urandom(32)

    def begun():
        chip("atcab_nonce", start)
        return host.nonce(host.TempKey(), 3, 0, start)

    def same(what, temp_key):
        checks.equal(f"{what}: TempKey as atcah_gen_dig has it", hmac_with(chip, EPHEMERAL),
                     expected_hmac(temp_key.bytes()))

    for block in (0, 2):
        temp_key = begun()
        if block == 2:
            config = chip("atcab_read_config_zone", Out(128))
        checks.equal(f"GenDig(configuration block {block})", chip("atcab_gendig", CONFIG, block, None, 0), OK)
        same(f"block {block}", host.gen_dig(temp_key, CONFIG, block, config[32 * block:32 * block + 32], serial))
    temp_key = begun()
    checks.equal("GenDig(OTP block 1)", chip("atcab_gendig", OTP, 1, None, 0), OK)
    same("OTP", host.gen_dig(temp_key, OTP, 1, OTP_BYTES[32:], serial))
    temp_key = begun()
    other = bytes([0x15, 0x02, layout.IO_KEY, 0])
    checks.equal("GenDig(slot 4)", chip("atcab_gendig", DATA, layout.IO_KEY, other, 4), OK)
    checks.equal("sets GenDigData, KeyID 4, SourceFlag kept", temp_key_state(chip), "3480")
    same("slot 4", host.gen_dig(temp_key, DATA, layout.IO_KEY, keys.io_key, serial, other_data=other))
    for slot in (4, 0x8004):
        temp_key = begun()
        other = os.urandom(32)
        checks.equal(f"GenDig(shared nonce, {slot:04X})", chip("atcab_gendig", 3, slot, other, 32), OK)
        same(f"shared nonce {slot:04X}", host.gen_dig(temp_key, 3, slot, None, serial, other_data=other))
    temp_key = begun()
    checks.equal("GenDig(Counter1)", chip("atcab_gendig", 4, 1, None, 0), OK)
    same("Counter1", host.gen_dig(temp_key, 4, 1, None, serial, counter=33))
    temp_key = begun()
    checks.equal("GenDig(configuration of slot 8)", chip("atcab_gendig", 5, layout.GENERAL, None, 0), OK)
    slot_config, key_config = layout.SLOTS[layout.GENERAL]
    same("configuration of slot 8", host.gen_dig(temp_key, 5, layout.GENERAL, None, serial, slot_conf=slot_config,
                                                 key_conf=key_config, slot_locked=1))


def encrypted_data_comes_and_goes(checks, chip, keys):
    slot, key, number = layout.ECDH_RESULT, keys.io_key, os.urandom(20)
    new = os.urandom(32)
    checks.equal("encrypted Write", chip("atcab_write_enc", slot, 0, new, key, layout.IO_KEY, number), OK)
    checks.equal("the slot holds it", hmac_with(chip, slot), expected_hmac(new))
    checks.equal("encrypted Read", chip("atcab_read_enc", slot, 0, Out(32), key, layout.IO_KEY, number), new)
    checks.equal("encrypted Write with another key than the chip's",
                 chip("atcab_write_enc", slot, 0, bytes(32), bytes(32), layout.IO_KEY, number), EXECUTION)
    checks.equal("leaves what was there", chip("atcab_read_enc", slot, 0, Out(32), key, layout.IO_KEY, number), new)
    wrong = chip("atcab_read_enc", slot, 0, Out(32), bytes(32), layout.IO_KEY, number)
    checks.true("encrypted Read with another key gives something else", isinstance(wrong, bytes) and wrong != new,
                wrong)
    checks.equal("encrypted Read with a slot that is not ReadKey",
                 chip("atcab_read_enc", slot, 0, Out(32), new, layout.ECDH_TARGET, number), EXECUTION)
    peer = host.SoftwareKey()
    checks.equal("ECDH into slot 3, read encrypted",
                 chip("atcab_ecdh_enc", layout.ECDH_TO_SLOT, peer.public, Out(32), key, layout.IO_KEY, number),
                 peer.ecdh(keys.public[layout.ECDH_TO_SLOT]))


TOPICS = (counters_count, macs_are_those_of_the_host, responses_are_checked, digests_of_zones_are_those_of_the_host,
          encrypted_data_comes_and_goes)
