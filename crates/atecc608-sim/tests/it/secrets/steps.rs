// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configurations and steps to draw from, and the simple model of the locks with which every step is compared.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;

/// The expected state of the locks after the steps so far. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Blank,
    ConfigLocked,
    DataLocked,
}

/// The chip's drawn configuration, and its state so far.
#[derive(Clone, Debug)]
pub struct Case {
    /// SlotConfig and KeyConfig of each slot.
    pub slots: Vec<(u16, u16)>,
    pub chip_options: u16,
    /// The slots whose keys the attacker knows, as a bit map.
    pub known: u16,
    pub configured: bool,
    pub stage: Stage,
    /// Slots that are locked individually, as a bit map.
    pub locked: u16,
}

impl Case {
    fn lockable(&self, slot: u8) -> bool {
        self.configured && self.slots[usize::from(slot)].1 & 0x20 != 0
    }
}

/// The origin of the TempKey of an encrypted transfer.
#[derive(Clone, Debug)]
pub struct Session {
    /// `None`: the key that the slot's configuration requires.
    pub key: Option<u8>,
    pub nonce: SessionNonce,
    /// Sent between GenDig and the transfer.
    pub between: Between,
}

#[derive(Clone, Copy, Debug)]
pub enum SessionNonce {
    Random,
    Fixed,
    /// TempKey as it is.
    None,
}

#[derive(Clone, Copy, Debug)]
pub enum Between {
    Nothing,
    Idle,
    Sleep,
    GenDigConfig,
    GenDig(u8),
    Derived,
    Mac(u8),
    /// The transfer twice: the second one finds TempKey cleared.
    Twice,
}

#[derive(Clone, Copy, Debug)]
pub enum Rest {
    Idle,
    Sleep,
    PowerCycle,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Writes the case's configuration.
    Configure,
    LockConfig,
    LockData,
    LockSlot(u8),
    /// Fills all slots with secrets.
    Fill,
    WriteOtp(u8),
    PrivWriteClear(u8),
    Generate {
        slot: u8,
        mode: u8,
    },
    Read {
        zone: u8,
        slot: u8,
        block: u8,
        word: u8,
        wide: bool,
    },
    ReadEncrypted {
        slot: u8,
        block: u8,
        wide: bool,
        session: Session,
    },
    Write {
        slot: u8,
        block: u8,
        wide: bool,
    },
    WriteEncrypted {
        slot: u8,
        block: u8,
        session: Session,
    },
    PrivWriteEncrypted {
        slot: u8,
        session: Session,
    },
    Derive {
        target: u8,
        mac: bool,
        fixed: bool,
    },
    /// `kind`: random, derived, 32 bytes and 64 bytes to TempKey, to the digest buffer, to the alternate key buffer.
    Nonce(u8),
    GenDig {
        zone: u8,
        which: u8,
    },
    Mac {
        slot: u8,
        mode: u8,
    },
    /// CheckMac, after a nonce if it uses TempKey; with a valid MAC if the attacker knows the key.
    CheckMac {
        slot: u8,
        mode: u8,
    },
    /// The use of a key, after a CheckMac with its slot's AuthKey.
    Authorised {
        slot: u8,
        fixed: bool,
    },
    /// CheckMac's copy of the next slot, and a use of the copy: AES, KDF, HMAC, MAC.
    Copied {
        slot: u8,
        used_by: u8,
    },
    Ecdh {
        slot: u8,
        mode: u8,
    },
    Kdf {
        mode: u8,
        source: u8,
        target: u8,
        details: [u8; 2],
    },
    Aes {
        slot: Option<u8>,
        mode: u8,
    },
    Sha {
        mode: u8,
        slot: Option<u8>,
    },
    Sign {
        slot: u8,
        mode: u8,
    },
    /// Any opcode, with parameters and a length that one of them may take.
    Any {
        opcode: u8,
        param1: u8,
        param2: u16,
        len: usize,
    },
    Rest(Rest),
}

/// The slots that are used as keys most often: symmetric ones in every configuration.
const KEYS: [u8; 3] = [3, 4, 5];

fn slot() -> impl Strategy<Value = u8> {
    prop_oneof![2 => select(&KEYS[..]), 3 => 0_u8..16]
}

fn key_slot() -> impl Strategy<Value = u16> {
    prop_oneof![6 => select(&KEYS[..]), 1 => Just(0), 2 => 0_u8..16].prop_map(u16::from)
}

/// KeyConfig's Lockable, ReqRandom, ReqAuth with its key, PersistentDisable: mostly off, because else most commands
/// fail.
fn key_conditions() -> impl Strategy<Value = u16> {
    let mostly_not = |bit: u16| prop_oneof![4 => Just(0), 1 => Just(bit)];
    let authorised = prop_oneof![7 => Just(0), 1 => key_slot().prop_map(|key| 0x80 | key << 8)];
    (select(vec![0, 0x20]), mostly_not(0x40), authorised, prop_oneof![9 => Just(0), 1 => Just(0x1000)])
        .prop_map(|(lockable, random, authorised, latch)| lockable | random | authorised | latch)
}

fn private_slot() -> impl Strategy<Value = (u16, u16)> {
    let write_config = select(vec![0x0, 0x2, 0x4, 0x6]);
    (0_u16..16, write_config, key_slot(), key_conditions(), any::<bool>()).prop_map(
        |(uses, write_config, write_key, conditions, public)| {
            (0x80 | uses | write_key << 8 | write_config << 12, 0x11 | u16::from(public) << 1 | conditions)
        },
    )
}

fn symmetric_slot() -> impl Strategy<Value = (u16, u16)> {
    // NoMac, LimitedUse, EncryptRead; IsSecret, rarely off.
    let access = prop_oneof![3 => Just(0x80), 4 => Just(0xC0), 1 => Just(0x90), 1 => Just(0xA0), 1 => Just(0xD0),
        1 => Just(0x40)];
    let key_type = select(vec![0x1C, 0x1C, 0x18, 0x1A, 0x1E]);
    (access, key_slot(), key_slot(), 0_u16..16, key_type, key_conditions()).prop_map(
        |(access, read_key, write_key, write_config, key_type, conditions)| {
            (access | read_key | write_key << 8 | write_config << 12, key_type | conditions)
        },
    )
}

fn any_slot() -> impl Strategy<Value = (u16, u16)> {
    let public = select(vec![(0x0F0F, 0x003C), (0x000F, 0x003C), (0x6F0F, 0x003E), (0x1005, 0x0032), (0x0000, 0x0030)]);
    prop_oneof![2 => private_slot(), 5 => symmetric_slot(), 2 => public]
}

fn case() -> impl Strategy<Value = Case> {
    let slots = (vec(any_slot(), 3), vec(symmetric_slot(), 3), vec(any_slot(), 10))
        .prop_map(|(first, keys, last)| [first, keys, last].concat());
    let protection = || prop_oneof![2 => Just(0_u16), 1 => 0_u16..4];
    let options = (select(vec![0x0000, 0x0006, 0x0006]), protection(), protection(), key_slot())
        .prop_map(|(options, ecdh, kdf, io_key)| options | ecdh << 8 | kdf << 10 | io_key << 12);
    (slots, options, any::<u16>()).prop_map(|(slots, chip_options, known)| Case {
        slots,
        chip_options,
        known,
        configured: false,
        stage: Stage::Blank,
        locked: 0,
    })
}

fn session() -> impl Strategy<Value = Session> {
    let nonce = prop_oneof![8 => Just(SessionNonce::Random), 1 => Just(SessionNonce::Fixed),
        1 => Just(SessionNonce::None)];
    let between = prop_oneof![
        8 => Just(Between::Nothing),
        1 => select(vec![Between::Idle, Between::Sleep, Between::GenDigConfig, Between::Derived, Between::Twice]),
        1 => slot().prop_map(Between::GenDig),
        1 => slot().prop_map(Between::Mac),
    ];
    (prop_oneof![5 => Just(None), 1 => slot().prop_map(Some)], nonce, between)
        .prop_map(|(key, nonce, between)| Session { key, nonce, between })
}

fn transfer(case: &Case) -> impl Strategy<Value = Step> {
    let block = || prop_oneof![3 => Just(0_u8), 1 => 0_u8..14];
    let read = (select(vec![0_u8, 1, 2, 2, 2]), slot(), block(), 0_u8..8, any::<bool>());
    prop_oneof![
        4 => read.prop_map(|(zone, slot, block, word, wide)| Step::Read { zone, slot, block, word, wide }),
        6 => (slot(), block(), select(vec![true, true, true, false]), session())
            .prop_map(|(slot, block, wide, session)| Step::ReadEncrypted { slot, block, wide, session }),
        3 => (slot(), block(), any::<bool>()).prop_map(|(slot, block, wide)| Step::Write { slot, block, wide }),
        4 => (slot(), block(), session())
            .prop_map(|(slot, block, session)| Step::WriteEncrypted { slot, block, session }),
        1 => (private_of(case), session()).prop_map(|(slot, session)| Step::PrivWriteEncrypted { slot, session }),
        1 => slot().prop_map(Step::PrivWriteClear),
    ]
}

/// Mostly a slot with this bit in KeyConfig.
fn slot_with(case: &Case, bit: u16) -> impl Strategy<Value = u8> {
    let found = (0..16).filter(|slot: &u8| case.slots[usize::from(*slot)].1 & bit != 0).collect::<Vec<_>>();
    let found = if found.is_empty() { vec![0] } else { found };
    prop_oneof![5 => select(found), 1 => 0_u8..16]
}

/// Mostly a slot whose neighbour CheckMac may copy, because its ReadKey is 0.
fn copies(case: &Case) -> impl Strategy<Value = u8> {
    let symmetric = |slot: u8| case.slots[usize::from(slot)].1 & 1 == 0;
    let copied = |slot: u8| symmetric(slot + 1) && case.slots[usize::from(slot + 1)].0 & 0x0F == 0;
    let found = (0..16).step_by(2).filter(|slot: &u8| symmetric(*slot) && copied(*slot)).collect::<Vec<_>>();
    select(if found.is_empty() { vec![4] } else { found })
}

fn private_of(case: &Case) -> impl Strategy<Value = u8> {
    slot_with(case, 0x01)
}

fn key_use(case: &Case) -> impl Strategy<Value = Step> {
    let derive = (slot(), any::<bool>(), any::<bool>());
    let kdf = (0_u8..4, 0_u8..6, select(vec![0_u8, 0x20, 0x40]))
        .prop_map(|(source, target, algorithm)| source | target << 2 | algorithm);
    let kdf = (kdf, slot(), slot(), any::<[u8; 2]>());
    let location = || prop_oneof![3 => slot().prop_map(Some), 1 => Just(None)];
    prop_oneof![
        3 => derive.prop_map(|(target, mac, fixed)| Step::Derive { target, mac, fixed }),
        3 => (slot(), select(vec![0_u8, 0, 1, 2, 3, 5, 0x40, 0x41])).prop_map(|(slot, mode)| Step::Mac { slot, mode }),
        4 => (slot(), select(vec![0_u8, 1, 1, 2, 5, 5, 0x21])).prop_map(|(slot, mode)| Step::CheckMac { slot, mode }),
        4 => kdf.prop_map(|(mode, source, target, details)| Step::Kdf { mode, source, target, details }),
        2 => (location(), any::<u8>()).prop_map(|(slot, mode)| Step::Aes { slot, mode: mode & 0xC1 }),
        5 => (select(vec![0_u8, 1, 2, 2, 0x42, 0xC2, 4, 4, 6, 6]), location())
            .prop_map(|(mode, slot)| Step::Sha { mode, slot }),
        1 => (private_of(case), select(vec![0x80_u8, 0xA0, 0x00, 0x40])).prop_map(|(slot, mode)| Step::Sign { slot, mode }),
        2 => (slot_with(case, 0x80), any::<bool>()).prop_map(|(slot, fixed)| Step::Authorised { slot, fixed }),
        1 => (copies(case), 0_u8..4).prop_map(|(slot, used_by)| Step::Copied { slot, used_by }),
        2 => (private_of(case), prop_oneof![1 => Just(0x0C_u8), 1 => 0_u8..16]).prop_map(|(slot, mode)| Step::Ecdh { slot, mode }),
        1 => (private_of(case), select(vec![0_u8, 4, 8, 0x0C, 0x10])).prop_map(|(slot, mode)| Step::Generate { slot, mode }),
    ]
}

fn other() -> impl Strategy<Value = Step> {
    // Write and Lock are drawn separately: a Write could move the chip to another address, and the model must follow a
    // Lock.
    let opcode = select(vec![
        0x51_u8, 0x28, 0x24, 0x1C, 0x43, 0x15, 0x40, 0x30, 0x56, 0x08, 0x16, 0x46, 0x1B, 0x02, 0x80, 0x77, 0x47, 0x41,
        0x20, 0x45, 0x11, 0x00,
    ]);
    let param1 = prop_oneof![select(vec![0_u8, 1, 2, 4, 0x80, 0x82, 0x43]), any::<u8>()];
    let param2 = prop_oneof![3 => 0_u16..16, 1 => any::<u16>()];
    let any = (opcode, param1, param2, select(vec![0_usize, 3, 4, 16, 20, 32, 36, 64, 68, 77, 83]));
    prop_oneof![
        3 => (0_u8..6).prop_map(Step::Nonce),
        3 => (0_u8..6, slot()).prop_map(|(zone, which)| Step::GenDig { zone, which }),
        4 => any
            .prop_map(|(opcode, param1, param2, len)| Step::Any { opcode, param1, param2, len }),
        1 => select(vec![Rest::Idle, Rest::Sleep, Rest::PowerCycle]).prop_map(Step::Rest),
        1 => slot().prop_map(Step::LockSlot),
        1 => (0_u8..2).prop_map(Step::WriteOtp),
        1 => select(vec![Step::Configure, Step::LockConfig, Step::LockData]),
    ]
}

/// The model of the locks.
pub struct Locks;

impl ReferenceStateMachine for Locks {
    type State = Case;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Case> {
        case().boxed()
    }

    fn transitions(case: &Case) -> BoxedStrategy<Step> {
        let attack = prop_oneof![5 => transfer(case), 5 => key_use(case), 3 => other()];
        match (case.stage, case.configured) {
            (Stage::Blank, false) => prop_oneof![6 => Just(Step::Configure), 1 => attack].boxed(),
            (Stage::Blank, true) => prop_oneof![6 => Just(Step::LockConfig), 1 => attack].boxed(),
            (Stage::ConfigLocked, _) => {
                prop_oneof![4 => Just(Step::Fill), 3 => Just(Step::LockData), 3 => attack].boxed()
            }
            (Stage::DataLocked, _) => attack.boxed(),
        }
    }

    fn apply(mut case: Case, step: &Step) -> Case {
        match (step, case.stage) {
            (Step::Configure, Stage::Blank) => case.configured = true,
            (Step::LockConfig, Stage::Blank) => case.stage = Stage::ConfigLocked,
            (Step::LockData, Stage::ConfigLocked) => case.stage = Stage::DataLocked,
            (Step::LockSlot(slot), Stage::DataLocked) if case.lockable(*slot) => case.locked |= 1 << slot,
            _ => {}
        }
        case
    }

    fn preconditions(case: &Case, step: &Step) -> bool {
        // Only a configuration of the model is locked.
        case.configured || !matches!(step, Step::LockConfig)
    }
}
