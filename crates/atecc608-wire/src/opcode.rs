// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opcodes of the ATECC608 (fact sheet section 3.0). Unknown opcodes are kept as they are and print as hex.

use core::fmt;

/// An opcode byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Opcode(pub u8);

macro_rules! opcodes {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl Opcode {
            $(#[doc = concat!("The ", $text, " command.")] pub const $name: Opcode = Opcode($value);)*
            /// All opcodes of the 608.
            pub const ALL: &'static [Opcode] = &[$(Opcode::$name),*];

            /// The datasheet's name of the command, if the 608 has it.
            pub fn name(self) -> Option<&'static str> {
                match self { $(Opcode::$name => Some($text),)* _ => None }
            }
        }
    };
}

opcodes! {
    AES = 0x51, "AES";
    CHECK_MAC = 0x28, "CheckMac";
    COUNTER = 0x24, "Counter";
    DERIVE_KEY = 0x1C, "DeriveKey";
    ECDH = 0x43, "ECDH";
    GEN_DIG = 0x15, "GenDig";
    GEN_KEY = 0x40, "GenKey";
    INFO = 0x30, "Info";
    KDF = 0x56, "KDF";
    LOCK = 0x17, "Lock";
    MAC = 0x08, "MAC";
    NONCE = 0x16, "Nonce";
    PRIV_WRITE = 0x46, "PrivWrite";
    RANDOM = 0x1B, "Random";
    READ = 0x02, "Read";
    SECURE_BOOT = 0x80, "SecureBoot";
    SELF_TEST = 0x77, "SelfTest";
    SHA = 0x47, "SHA";
    SIGN = 0x41, "Sign";
    UPDATE_EXTRA = 0x20, "UpdateExtra";
    VERIFY = 0x45, "Verify";
    WRITE = 0x12, "Write";
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "opcode {:02X}", self.0),
        }
    }
}

impl fmt::Debug for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
