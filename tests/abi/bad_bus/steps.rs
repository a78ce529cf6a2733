// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls of a program with a token on a bad bus, and the faults of the bus: drawn at random, and shrunk after a
//! failure.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

/// A token and its bus.
#[derive(Clone, Debug)]
pub struct Case {
    pub profile: &'static str,
    /// This many of 1000 commands, and of 1000 transfers, have a fault.
    pub permille: u64,
    /// The seed of the simulator's faults.
    pub seed: u32,
}

/// A call that does not change the chip's EEPROM. Keys are named by numbers: the model picks among those that exist.
#[derive(Clone, Debug)]
pub enum Use {
    /// CKM_ECDSA with this hash (`None`: the digest itself), in one call or in parts.
    Sign {
        key: u8,
        hash: Option<Hash>,
        data: Vec<u8>,
        parts: bool,
    },
    /// The host verifies: a signature, or one with a wrong bit.
    Verify {
        key: u8,
        right: bool,
    },
    Ecdh {
        key: u8,
        x963: bool,
        cofactor: bool,
        scalar: u8,
    },
    Cipher {
        key: u8,
        mode: Mode,
        encrypt: bool,
        parts: bool,
        data: Vec<u8>,
    },
    /// CMAC of an AES key, or HMAC of another secret; `short`: the first 10 bytes.
    Code {
        key: u8,
        short: bool,
        verify: bool,
        data: Vec<u8>,
    },
    /// HKDF's second step with a secret in the chip, or its first one with that secret as salt.
    Hkdf {
        key: u8,
        salt: bool,
        info: Vec<u8>,
        length: u8,
    },
    Tls12 {
        key: u8,
        label: Vec<u8>,
        length: u8,
    },
    /// A key of the session is wrapped with an AES key in the chip, and unwrapped.
    Wrap {
        key: u8,
        gcm: bool,
        value: Vec<u8>,
    },
    Digest(Hash, Vec<u8>),
    Random(usize),
    /// A key pair of the session, made of random numbers of the chip, signs.
    SessionPair,
    /// A secret key of the session, made of random numbers of the chip.
    SessionSecret {
        aes: bool,
    },
    /// All objects.
    Find,
    TokenInfo,
}

#[derive(Clone, Copy, Debug)]
pub enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, Debug)]
pub enum Mode {
    Ecb,
    Cbc,
    CbcPad,
    Ctr,
    Gcm,
}

/// A call that changes the token.
#[derive(Clone, Debug)]
pub enum Change {
    GeneratePair,
    /// CKA_VALUE of the private key.
    ImportPair(u8),
    DestroyPair(u8),
    RenamePair(u8),
    GenerateSecret {
        aes: bool,
    },
    ImportSecret {
        aes: bool,
        value: [u8; 16],
    },
    DestroySecret(u8),
    RenameSecret(u8),
    CreateData(Vec<u8>),
    DestroyData(u8),
    /// The counter's next value.
    Count,
}

#[derive(Clone, Debug)]
pub enum Step {
    Use(Use),
    /// A change that is repeated this often if it fails, as programs do.
    Change(Change, u8),
    /// C_Finalize and a new process.
    Restart,
    /// The faults end: everything works, and all is as the model says. Then they begin again.
    Calm,
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..100)
}

fn hash() -> impl Strategy<Value = Hash> {
    select(vec![Hash::Sha1, Hash::Sha224, Hash::Sha256, Hash::Sha384, Hash::Sha512])
}

fn uses() -> impl Strategy<Value = Use> {
    let key = || 0_u8..8;
    let mode = select(vec![Mode::Ecb, Mode::Cbc, Mode::CbcPad, Mode::Ctr, Mode::Gcm]);
    prop_oneof![
        4 => (key(), proptest::option::of(hash()), vec(any::<u8>(), 1..64), any::<bool>())
            .prop_map(|(key, hash, data, parts)| Use::Sign { key, hash, data, parts }),
        1 => (key(), any::<bool>()).prop_map(|(key, right)| Use::Verify { key, right }),
        2 => (key(), any::<bool>(), any::<bool>(), 1_u8..255)
            .prop_map(|(key, x963, cofactor, scalar)| Use::Ecdh { key, x963, cofactor, scalar }),
        20 => (key(), mode, any::<bool>(), any::<bool>(), data())
            .prop_map(|(key, mode, encrypt, parts, data)| Use::Cipher { key, mode, encrypt, parts, data }),
        16 => (key(), any::<bool>(), any::<bool>(), data())
            .prop_map(|(key, short, verify, data)| Use::Code { key, short, verify, data }),
        8 => (key(), any::<bool>(), vec(any::<u8>(), 0..140), 1_u8..100)
            .prop_map(|(key, salt, info, length)| Use::Hkdf { key, salt, info, length }),
        6 => (key(), vec(any::<u8>(), 1..60), 1_u8..100)
            .prop_map(|(key, label, length)| Use::Tls12 { key, label, length }),
        8 => (key(), any::<bool>(), vec(any::<u8>(), 1..40)).prop_map(|(key, gcm, value)| Use::Wrap { key, gcm, value }),
        4 => (hash(), data()).prop_map(|(hash, data)| Use::Digest(hash, data)),
        12 => (1_usize..100).prop_map(Use::Random),
        1 => Just(Use::SessionPair),
        6 => any::<bool>().prop_map(|aes| Use::SessionSecret { aes }),
        8 => Just(Use::Find),
        4 => Just(Use::TokenInfo),
    ]
}

fn changes() -> impl Strategy<Value = Change> {
    let which = || 0_u8..8;
    prop_oneof![
        3 => Just(Change::GeneratePair),
        1 => (1_u8..255).prop_map(Change::ImportPair),
        3 => which().prop_map(Change::DestroyPair),
        2 => which().prop_map(Change::RenamePair),
        5 => any::<bool>().prop_map(|aes| Change::GenerateSecret { aes }),
        5 => (any::<bool>(), any::<[u8; 16]>()).prop_map(|(aes, value)| Change::ImportSecret { aes, value }),
        7 => which().prop_map(Change::DestroySecret),
        2 => which().prop_map(Change::RenameSecret),
        1 => data().prop_map(Change::CreateData),
        1 => which().prop_map(Change::DestroyData),
        4 => Just(Change::Count),
    ]
}

impl ReferenceStateMachine for Case {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        // Up to one in ten; also a good bus.
        let permille = select(vec![0, 1, 3, 10, 20, 30, 50, 100, 100]);
        (select(vec!["tls", "tls-pin"]), permille, any::<u32>())
            .prop_map(|(profile, permille, seed)| Self { profile, permille, seed })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        prop_oneof![
            160 => uses().prop_map(Step::Use),
            30 => (changes(), 0_u8..3).prop_map(|(change, more)| Step::Change(change, more)),
            1 => Just(Step::Restart),
            4 => Just(Step::Calm),
        ]
        .boxed()
    }

    fn apply(case: Self, _: &Step) -> Self {
        case
    }
}
