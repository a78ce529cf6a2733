# SPDX-License-Identifier: MIT OR Apache-2.0
"""The configuration the suite gives its chips: one slot for each rule."""

SIGN_AND_ECDH = 0  # private: external and internal Sign, ECDH, GenKey
SIGN_ONLY = 1  # private: external Sign; GenKey
ECDH_TO_SLOT = 2  # private: ECDH whose result goes to slot 3
ECDH_RESULT = 3  # secret; read and written encrypted with key 4
IO_KEY = 4  # secret: IO protection, HMAC
ECDH_TARGET = 5  # PubInfo on a data slot: ECDH may write to it
ATTEST = 6  # private: internal Sign only
LIMITED = 7  # private: external Sign, each use counted by Counter0
GENERAL = 8  # clear, always writable, lockable; 416 bytes
LATCHED = 9  # secret, PersistentDisable: usable only while the latch is set
LIMIT = 10  # the limit of Counter0; clear to read, never written
PARENT = 11  # public key, always writable
VALIDATED = 12  # public key that PARENT must validate; written only while invalid
LOCKABLE = 13  # clear, always writable, lockable
REQ_RANDOM = 14  # public key, ReqRandom
REQ_AUTH = 15  # private: needs an authorisation with slot 4; not lockable

PRIVATE = (SIGN_AND_ECDH, SIGN_ONLY, ECDH_TO_SLOT, ATTEST, LIMITED, REQ_AUTH)

SLOTS = {  # SlotConfig, KeyConfig
    SIGN_AND_ECDH: (0x2087, 0x0033),
    SIGN_ONLY: (0x2081, 0x0033),
    ECDH_TO_SLOT: (0x208C, 0x0033),
    ECDH_RESULT: (0x44C4, 0x001C),
    IO_KEY: (0x8F8F, 0x001C),
    ECDH_TARGET: (0x0F8F, 0x001E),
    ATTEST: (0x2082, 0x0033),
    LIMITED: (0x20A1, 0x0033),
    GENERAL: (0x0F0F, 0x003C),
    LATCHED: (0x8F8F, 0x101C),
    LIMIT: (0x8F0F, 0x001C),
    PARENT: (0x0F0F, 0x0010),
    VALIDATED: (0x1F0B, 0x0012),
    LOCKABLE: (0x0F0F, 0x003C),
    REQ_RANDOM: (0x0F0F, 0x0050),
    REQ_AUTH: (0x0081, 0x0493),
}

# A multiple of 32, written twice (fact sheet section 5.6).
USES = 32
COUNT_MATCH = 0xA1
VOLATILE_KEY_PERMISSION = 0x84
# IO protection with the key in slot 4, KDF with AES.
CHIP_OPTIONS = 0x4006


def size(slot):
    return 36 if slot < 8 else 416 if slot == 8 else 72


def configured(blank):
    """All 128 bytes: those of a blank chip, with ours where Write may change them."""
    config = bytearray(blank)
    config[18] = COUNT_MATCH
    for slot, (slot_config, key_config) in SLOTS.items():
        config[20 + 2 * slot:22 + 2 * slot] = slot_config.to_bytes(2, "little")
        config[96 + 2 * slot:98 + 2 * slot] = key_config.to_bytes(2, "little")
    config[69] = VOLATILE_KEY_PERMISSION
    config[90:92] = CHIP_OPTIONS.to_bytes(2, "little")
    return bytes(config)


def padded(public_key):
    """A public key as it lies in a slot (section 5.9)."""
    return bytes(4) + public_key[:32] + bytes(4) + public_key[32:]
