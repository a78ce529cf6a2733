#!/usr/bin/env python3
"""Ask a PKCS#11 module for the value of a private key, and print exactly what it answers.

    try_export.py MODULE TOKEN-LABEL KEY-LABEL

No library stands between this and the module: what C_GetAttributeValue returns is what is printed. The exit status is
0 only if the module refused with CKR_ATTRIBUTE_SENSITIVE and gave no byte.
"""

import ctypes
import sys
from ctypes import byref, c_ubyte, c_ulong, c_void_p

# Names and numbers of PKCS #11 2.40.
CKR_OK = 0x00
CKR_ATTRIBUTE_SENSITIVE = 0x11
CODES = {
    0x00: "CKR_OK",
    0x07: "CKR_ARGUMENTS_BAD",
    0x11: "CKR_ATTRIBUTE_SENSITIVE",
    0x12: "CKR_ATTRIBUTE_TYPE_INVALID",
    0x30: "CKR_DEVICE_ERROR",
    0xE0: "CKR_TOKEN_NOT_PRESENT",
}
CKF_SERIAL_SESSION = 0x04
CKO_PRIVATE_KEY = 0x03
CKA_CLASS, CKA_LABEL, CKA_VALUE = 0x00, 0x03, 0x11
FLAGS = {
    "CKA_SENSITIVE": 0x103,
    "CKA_EXTRACTABLE": 0x162,
    "CKA_LOCAL": 0x163,
    "CKA_NEVER_EXTRACTABLE": 0x164,
    "CKA_ALWAYS_SENSITIVE": 0x165,
}
UNAVAILABLE = c_ulong(-1).value
LABEL_SIZE = 32


class Attribute(ctypes.Structure):
    """CK_ATTRIBUTE"""

    _fields_ = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


def code(rv):
    return f"{CODES.get(rv, 'CKR')} (0x{rv:02X})"


class Module:
    def __init__(self, path):
        self.library = ctypes.CDLL(path)

    def ask(self, name, *args):
        function = getattr(self.library, name)
        function.restype = c_ulong
        return function(*args)

    def must(self, name, *args):
        rv = self.ask(name, *args)
        if rv != CKR_OK:
            sys.exit(f"{name}: {code(rv)}")

    def slot_of(self, label):
        count = c_ulong(0)
        self.must("C_GetSlotList", c_ubyte(1), None, byref(count))
        slots = (c_ulong * max(count.value, 1))()
        self.must("C_GetSlotList", c_ubyte(1), slots, byref(count))
        for slot in slots[: count.value]:
            # CK_TOKEN_INFO begins with the label; the rest fits generously.
            info = ctypes.create_string_buffer(512)
            self.must("C_GetTokenInfo", c_ulong(slot), info)
            if info.raw[:LABEL_SIZE].decode().rstrip() == label:
                return slot
        sys.exit(f"no token with the label {label}")

    def open_session(self, slot):
        session = c_ulong()
        self.must("C_OpenSession", c_ulong(slot), c_ulong(CKF_SERIAL_SESSION), None, None, byref(session))
        return session

    def private_key(self, session, label):
        key_class, text = c_ulong(CKO_PRIVATE_KEY), ctypes.create_string_buffer(label.encode())
        template = (Attribute * 2)(
            Attribute(CKA_CLASS, ctypes.addressof(key_class), ctypes.sizeof(key_class)),
            Attribute(CKA_LABEL, ctypes.addressof(text), len(label.encode())),
        )
        self.must("C_FindObjectsInit", session, template, c_ulong(2))
        found, count = c_ulong(), c_ulong()
        self.must("C_FindObjects", session, byref(found), c_ulong(1), byref(count))
        self.must("C_FindObjectsFinal", session)
        if count.value != 1:
            sys.exit(f"no private key with the label {label}")
        return found

    def attribute(self, session, key, kind, room):
        """The answer to C_GetAttributeValue: the code, the length it reports, and the bytes of the buffer."""
        buffer = (c_ubyte * room)()
        asked = Attribute(kind, ctypes.addressof(buffer) if room else None, room)
        rv = self.ask("C_GetAttributeValue", session, key, byref(asked), c_ulong(1))
        return rv, asked.length, bytes(buffer)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    path, token, label = sys.argv[1:]
    module = Module(path)
    module.must("C_Initialize", None)
    session = module.open_session(module.slot_of(token))
    key = module.private_key(session, label)

    for name, kind in FLAGS.items():
        rv, _, value = module.attribute(session, key, kind, 1)
        print(f"{name:<22} {code(rv)} {'TRUE' if value[0] else 'FALSE'}")

    refused = True
    for room, how in ((0, "how long is it?"), (64, "into 64 bytes")):
        rv, length, value = module.attribute(session, key, CKA_VALUE, room)
        nothing = length == UNAVAILABLE and not any(value)
        print(f"{'CKA_VALUE':<22} {code(rv)}, {'no byte of it' if nothing else f'{length} bytes'}  ({how})")
        refused = refused and rv == CKR_ATTRIBUTE_SENSITIVE and nothing
    module.must("C_Finalize", None)
    return 0 if refused else 1


if __name__ == "__main__":
    sys.exit(main())
