//! One type per command, named as the datasheet names it; each encodes and decodes.

mod check_mac;
mod counter;
mod ecdh;
mod gen_dig;
mod gen_key;
mod info;
mod lock;
mod mac;
mod nonce;
mod random;
mod read;
mod self_test;
mod sha;
mod sign;
mod verify;
mod write;

pub use check_mac::CheckMac;
pub use counter::Counter;
pub use ecdh::{Ecdh, EcdhKey, EcdhResponse, EcdhTarget};
pub use gen_dig::GenDig;
pub use gen_key::{GenKey, GenKeyMode, KeyLocation};
pub use info::Info;
pub use lock::{Lock, LockZone};
pub use mac::{Mac, MacOtp};
pub use nonce::{Nonce, NonceResponse, NonceTarget};
pub use random::Random;
pub use read::Read;
pub use self_test::SelfTest;
pub use sha::{DigestTarget, Sha, ShaResponse};
pub use sign::{DigestSource, Sign};
pub use verify::{Verify, VerifyKey, VerifyResponse};
pub use write::Write;
