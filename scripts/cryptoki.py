# SPDX-License-Identifier: MIT OR Apache-2.0
"""The part of PKCS #11 that the demo and the benchmark call directly."""

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
CKO_PUBLIC_KEY, CKO_PRIVATE_KEY = 0x02, 0x03
CKA_CLASS, CKA_LABEL, CKA_VALUE, CKA_ID, CKA_EC_POINT = 0x00, 0x03, 0x11, 0x102, 0x181
CKM_ECDSA, CKM_SHA256 = 0x1041, 0x250
UNAVAILABLE = c_ulong(-1).value
LABEL_SIZE = 32


class Attribute(ctypes.Structure):
    """CK_ATTRIBUTE"""

    _fields_ = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


def code(rv):
    return f"{CODES.get(rv, 'CKR')} (0x{rv:02X})"


class Mechanism(ctypes.Structure):
    """CK_MECHANISM without a parameter."""

    _fields_ = [("mechanism", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


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

    def open_session(self, slot, flags=CKF_SERIAL_SESSION):
        session = c_ulong()
        self.must("C_OpenSession", c_ulong(slot), c_ulong(flags), None, None, byref(session))
        return session

    def private_key(self, session, label):
        return self.key(session, CKO_PRIVATE_KEY, label)

    def key(self, session, object_class, label):
        key_class, text = c_ulong(object_class), ctypes.create_string_buffer(label.encode())
        template = (Attribute * 2)(
            Attribute(CKA_CLASS, ctypes.addressof(key_class), ctypes.sizeof(key_class)),
            Attribute(CKA_LABEL, ctypes.addressof(text), len(label.encode())),
        )
        self.must("C_FindObjectsInit", session, template, c_ulong(2))
        found, count = c_ulong(), c_ulong()
        self.must("C_FindObjects", session, byref(found), c_ulong(1), byref(count))
        self.must("C_FindObjectsFinal", session)
        if count.value != 1:
            sys.exit(f"no key of class {object_class} with the label {label}")
        return found

    def attribute(self, session, key, kind, room):
        """Returns the result of C_GetAttributeValue: the code, the length, and the bytes of the buffer."""
        buffer = (c_ubyte * room)()
        asked = Attribute(kind, ctypes.addressof(buffer) if room else None, room)
        rv = self.ask("C_GetAttributeValue", session, key, byref(asked), c_ulong(1))
        return rv, asked.length, bytes(buffer)
