// SPDX-License-Identifier: MIT OR Apache-2.0
//! One type per command, named as the datasheet names it; each encodes and decodes.

mod aes;
mod check_mac;
mod counter;
mod derive_key;
mod ecdh;
mod gen_dig;
mod gen_key;
mod info;
mod kdf;
mod lock;
mod mac;
mod nonce;
mod priv_write;
mod random;
mod read;
mod secure_boot;
mod self_test;
mod sha;
mod sign;
mod update_extra;
mod verify;
mod write;

pub use aes::Aes;
pub use check_mac::CheckMac;
pub use counter::Counter;
pub use derive_key::DeriveKey;
pub use ecdh::{Ecdh, EcdhKey, EcdhResponse, EcdhTarget};
pub use gen_dig::GenDig;
pub use gen_key::{GenKey, GenKeyMode, KeyLocation};
pub use info::Info;
pub use kdf::{HkdfMessage, Kdf, KdfAlgorithm, KdfResponse, KdfSource, KdfTarget};
pub use lock::{Lock, LockZone};
pub use mac::{Mac, MacOtp};
pub use nonce::{Nonce, NonceResponse, NonceTarget};
pub use priv_write::PrivWrite;
pub use random::Random;
pub use read::Read;
pub use secure_boot::{SecureBoot, SecureBootMode, SecureBootResponse};
pub use self_test::SelfTest;
pub use sha::{DigestTarget, Sha, ShaResponse};
pub use sign::{DigestSource, Sign};
pub use update_extra::UpdateExtra;
pub use verify::{Verify, VerifyKey, VerifyResponse};
pub use write::Write;
