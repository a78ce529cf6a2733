// SPDX-License-Identifier: MIT OR Apache-2.0
//! The 128-byte configuration zone as types (fact sheet sections 5.1 to 5.6).

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::string::ToString;
use core::fmt;

use base16ct::HexDisplay;

use super::slot::Slot;
use super::timing::ClockDivider;

/// A copy of the configuration zone.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfigZone([u8; ConfigZone::LEN]);

/// The nine-byte serial number, unique per chip.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SerialNumber(pub [u8; 9]);

/// The chip's model, by the response to Info(Revision).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// ATECC608A: revision `00 00 60 02`.
    Atecc608A,
    /// ATECC608B: revision `00 00 60 03`.
    Atecc608B,
    /// A 608 of another revision, such as the ATECC608C, whose number is not published: the last byte.
    Atecc608Other(u8),
    /// Any other chip: the four bytes.
    Other([u8; 4]),
}

impl Model {
    /// Returns the model that the four bytes of Info(Revision) name. The first two are ignored.
    pub const fn from_revision(revision: [u8; 4]) -> Self {
        match revision {
            [_, _, 0x60, 0x02] => Self::Atecc608A,
            [_, _, 0x60, 0x03] => Self::Atecc608B,
            [_, _, 0x60, other] => Self::Atecc608Other(other),
            other => Self::Other(other),
        }
    }

    /// Returns the four bytes that name the model.
    pub const fn revision(self) -> [u8; 4] {
        match self {
            Self::Atecc608A => [0x00, 0x00, 0x60, 0x02],
            Self::Atecc608B => [0x00, 0x00, 0x60, 0x03],
            Self::Atecc608Other(last) => [0x00, 0x00, 0x60, last],
            Self::Other(bytes) => bytes,
        }
    }

    /// Whether this is an ATECC608 of any revision.
    pub const fn is_608(self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atecc608A => f.write_str("ATECC608A"),
            Self::Atecc608B => f.write_str("ATECC608B"),
            Self::Atecc608Other(_) => f.write_str("ATECC608"),
            Self::Other([_, _, 0x50, _]) => f.write_str("ATECC508A"),
            Self::Other([_, _, 0x10, _]) => f.write_str("ATECC108A"),
            Self::Other([_, _, 0x00, 0x04 | 0x09]) => f.write_str("ATSHA204A"),
            Self::Other(revision) => write!(f, "unknown chip (revision {:02X?})", revision),
        }
    }
}

impl SerialNumber {
    /// Returns the serial number in the first 32 bytes of a configuration zone (bytes 0 to 3 and 8 to 12).
    pub fn in_identity(identity: &[u8; 32]) -> Self {
        let mut serial = [0; 9];
        serial[..4].copy_from_slice(&identity[..4]);
        serial[4..].copy_from_slice(&identity[8..13]);
        Self(serial)
    }

    /// SN\[8\] ‖ SN\[0..1\], the part that most messages carry.
    pub(crate) fn message_part(&self) -> [u8; 3] {
        [self.0[8], self.0[0], self.0[1]]
    }

    /// Returns the 16 hex digits after the constant first byte, in capitals.
    pub fn short(&self) -> String {
        self.to_string()[2..].to_owned()
    }

    /// Whether the serial number is that of a simulated chip, `01 23 53 49 4D ...`.
    pub fn is_simulated(&self) -> bool {
        self.0.starts_with(&[0x01, 0x23, 0x53, 0x49, 0x4D])
    }
}

impl fmt::Display for SerialNumber {
    /// Prints 18 hex digits in capitals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HexDisplay(&self.0).fmt(f)
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Offsets in the configuration zone.
pub mod offset {
    /// I2C address, 8-bit form.
    pub const I2C_ADDRESS: usize = 16;
    /// CountMatch.
    pub const COUNT_MATCH: usize = 18;
    /// ChipMode.
    pub const CHIP_MODE: usize = 19;
    /// SlotConfig\[0\].
    pub const SLOT_CONFIG: usize = 20;
    /// Counter0 and, eight bytes further, Counter1.
    pub const COUNTERS: usize = 52;
    /// UseLock.
    pub const USE_LOCK: usize = 68;
    /// VolatileKeyPermission.
    pub const VOLATILE_KEY_PERMISSION: usize = 69;
    /// SecureBoot, a word.
    pub const SECURE_BOOT: usize = 70;
    /// KdfIvLoc; the two bytes of KdfIvStr follow.
    pub const KDF_IV_LOC: usize = 72;
    /// UserExtra; UserExtraAdd follows.
    pub const USER_EXTRA: usize = 84;
    /// UserExtraAdd: an alternative I2C address.
    pub const USER_EXTRA_ADD: usize = 85;
    /// LockValue: data and OTP zones.
    pub const LOCK_VALUE: usize = 86;
    /// LockConfig.
    pub const LOCK_CONFIG: usize = 87;
    /// SlotLocked, a word.
    pub const SLOT_LOCKED: usize = 88;
    /// ChipOptions, a word.
    pub const CHIP_OPTIONS: usize = 90;
    /// KeyConfig\[0\].
    pub const KEY_CONFIG: usize = 96;
}

/// LockValue and LockConfig while the zone is not locked.
pub const UNLOCKED: u8 = 0x55;

impl ConfigZone {
    /// Bytes in the zone.
    pub const LEN: usize = 128;

    /// A view of 128 bytes as read from a chip.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The bytes, mutable.
    pub fn as_bytes_mut(&mut self) -> &mut [u8; Self::LEN] {
        &mut self.0
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    /// The serial number: Config\[0..4\] ‖ Config\[8..13\].
    pub fn serial_number(&self) -> SerialNumber {
        let mut identity = [0; 32];
        identity.copy_from_slice(&self.0[..32]);
        SerialNumber::in_identity(&identity)
    }

    /// RevNum, Config\[4..8\]: 4 bytes that may differ from those of Info(Revision). Only Info(Revision) identifies the
    /// chip (Microchip's TNGTLS data sheet, section on Info - Revision).
    pub fn revision(&self) -> [u8; 4] {
        [self.0[4], self.0[5], self.0[6], self.0[7]]
    }

    /// Whether AES_Enable is set.
    pub fn aes_enabled(&self) -> bool {
        self.0[13] & 1 == 1
    }

    /// The 7-bit address of the chip after its next sleep.
    pub fn i2c_address(&self) -> u8 {
        let other = self.0[offset::USER_EXTRA_ADD];
        if self.chip_mode() & 1 == 1 && other != 0 {
            other >> 1
        } else {
            self.0[offset::I2C_ADDRESS] >> 1
        }
    }

    /// ChipMode.
    pub fn chip_mode(&self) -> u8 {
        self.0[offset::CHIP_MODE]
    }

    /// ChipMode bits 7..3.
    pub fn clock_divider(&self) -> ClockDivider {
        ClockDivider::from_chip_mode(self.chip_mode())
    }

    /// Whether the configuration zone is locked. Any value except 55 counts as locked.
    pub fn config_locked(&self) -> bool {
        self.0[offset::LOCK_CONFIG] != UNLOCKED
    }

    /// Whether the data and OTP zones are locked.
    pub fn data_locked(&self) -> bool {
        self.0[offset::LOCK_VALUE] != UNLOCKED
    }

    /// Whether the slot was locked individually.
    pub fn slot_locked(&self, slot: Slot) -> bool {
        self.word(offset::SLOT_LOCKED) >> slot.number() & 1 == 0
    }

    /// The slot's access rules.
    pub fn slot_config(&self, slot: Slot) -> SlotConfig {
        SlotConfig(self.word(offset::SLOT_CONFIG + 2 * slot.index()))
    }

    /// What the slot holds.
    pub fn key_config(&self, slot: Slot) -> KeyConfig {
        KeyConfig(self.word(offset::KEY_CONFIG + 2 * slot.index()))
    }

    /// ChipOptions.
    pub fn chip_options(&self) -> ChipOptions {
        ChipOptions(self.word(offset::CHIP_OPTIONS))
    }

    /// SecureBoot.
    pub fn secure_boot(&self) -> SecureBootConfig {
        SecureBootConfig(self.word(offset::SECURE_BOOT))
    }

    /// UseLock (byte 68): its low nibble is A.
    pub fn use_lock_enabled(&self) -> bool {
        self.0[offset::USE_LOCK] & 0x0F == 0x0A
    }

    /// VolatileKeyPermission (byte 69): the slot whose secret authorises setting the persistent latch, if bit 7 enables that.
    pub fn latch_authority(&self) -> Option<Slot> {
        let permission = self.0[offset::VOLATILE_KEY_PERMISSION];
        (permission & 0x80 != 0).then(|| Slot::from_nibble(permission))
    }

    /// The slots that work only while the persistent latch is set (KeyConfig.PersistentDisable), in order.
    pub fn slots_behind_latch(&self) -> impl Iterator<Item = Slot> + '_ {
        Slot::all().filter(|slot| self.key_config(*slot).persistent_disable())
    }

    /// CountMatch: the slot that holds the limit of keys with limited use, if that is enabled.
    pub fn limit_slot(&self) -> Option<Slot> {
        let count_match = self.0[offset::COUNT_MATCH];
        (count_match & 1 == 1).then(|| Slot::from_nibble(count_match >> 4))
    }

    /// Whether the slot is for a public key that must be validated before use. The top nibble of its first byte is then
    /// the chip's mark: 5 validated, A not.
    pub fn marks_validity(&self, slot: Slot) -> bool {
        let key = self.key_config(slot);
        !key.private() && key.pub_info() && key.key_type() == KeyType::P256 && slot.size() >= 72
    }

    /// Returns counter 0 or 1; `None` if its eight bytes are not a valid encoding.
    pub fn counter(&self, number: usize) -> Option<u32> {
        let at = offset::COUNTERS + 8 * number;
        counter_decode(self.0.get(at..at + 8)?.try_into().ok()?)
    }
}

impl fmt::Debug for ConfigZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigZone({}, {})", self.serial_number(), HexDisplay(&self.0))
    }
}

/// SlotConfig: a slot's access rules (fact sheet sections 5.2 and 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotConfig(pub u16);

impl SlotConfig {
    /// ReadKey, bits 3..0 (for a private key: its permitted uses).
    pub const fn read_key(self) -> Slot {
        Slot::from_nibble(self.0 as u8)
    }

    /// Private key: external Sign allowed.
    pub const fn external_sign(self) -> bool {
        self.0 & 0x0001 != 0
    }

    /// Private key: internal Sign allowed.
    pub const fn internal_sign(self) -> bool {
        self.0 & 0x0002 != 0
    }

    /// Private key: ECDH allowed.
    pub const fn ecdh(self) -> bool {
        self.0 & 0x0004 != 0
    }

    /// Private key: the ECDH result goes to slot N|1 instead of the bus.
    pub const fn ecdh_to_slot(self) -> bool {
        self.0 & 0x0008 != 0
    }

    /// NoMac: MAC is refused with this key.
    pub const fn no_mac(self) -> bool {
        self.0 & 0x0010 != 0
    }

    /// LimitedUse: uses are counted by Counter0.
    pub const fn limited_use(self) -> bool {
        self.0 & 0x0020 != 0
    }

    /// EncryptRead: reads are encrypted.
    pub const fn encrypt_read(self) -> bool {
        self.0 & 0x0040 != 0
    }

    /// IsSecret: no clear reads, no 4-byte access.
    pub const fn is_secret(self) -> bool {
        self.0 & 0x0080 != 0
    }

    /// WriteKey, bits 11..8.
    pub const fn write_key(self) -> Slot {
        Slot::from_nibble((self.0 >> 8) as u8)
    }

    /// WriteConfig, bits 15..12.
    pub const fn write_config(self) -> WriteConfig {
        WriteConfig((self.0 >> 12) as u8)
    }
}

/// WriteConfig, four bits: how a slot may be written (fact sheet section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteConfig(pub u8);

/// The rule of WriteConfig for the Write command on a slot without a private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePolicy {
    /// Clear writes.
    Always,
    /// Clear writes while the stored public key is not validated.
    PubInvalid,
    /// No writes.
    Never,
    /// Writes encrypted with WriteKey.
    Encrypted,
}

impl WriteConfig {
    /// The Write command's rule for slots without a private key.
    pub const fn write_policy(self) -> WritePolicy {
        match self.0 {
            0b0000 => WritePolicy::Always,
            0b0001 => WritePolicy::PubInvalid,
            bits if bits & 0b0100 != 0 => WritePolicy::Encrypted,
            _ => WritePolicy::Never,
        }
    }

    /// Private key: GenKey(create) allowed after the data lock. Other slots: DeriveKey allowed.
    pub const fn gen_key(self) -> bool {
        self.0 & 0b0010 != 0
    }

    /// Private key: encrypted PrivWrite allowed after the data lock.
    pub const fn priv_write(self) -> bool {
        self.0 & 0b0100 != 0
    }

    /// DeriveKey creates from WriteKey (bit 12) instead of rolling the slot's own key.
    pub const fn derive_creates(self) -> bool {
        self.0 & 0b0001 != 0
    }

    /// DeriveKey requires a MAC (bit 15).
    pub const fn derive_wants_mac(self) -> bool {
        self.0 & 0b1000 != 0
    }
}

/// What kind of key a slot holds: bits 4..2 of KeyConfig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// A NIST P-256 key.
    P256,
    /// AES keys.
    Aes,
    /// A symmetric key of other use, or data.
    ShaOrData,
    /// A reserved value.
    Reserved(u8),
}

/// KeyConfig: what a slot holds and how it may be used (fact sheet section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyConfig(pub u16);

impl KeyConfig {
    /// Private: the slot holds an ECC private key.
    pub const fn private(self) -> bool {
        self.0 & 0x0001 != 0
    }

    /// PubInfo: the public key may be computed (private key), or must be validated before use (public key).
    pub const fn pub_info(self) -> bool {
        self.0 & 0x0002 != 0
    }

    /// KeyType.
    pub const fn key_type(self) -> KeyType {
        match (self.0 >> 2) as u8 & 7 {
            4 => KeyType::P256,
            6 => KeyType::Aes,
            7 => KeyType::ShaOrData,
            other => KeyType::Reserved(other),
        }
    }

    /// Whether the slot holds a P-256 private key.
    pub const fn is_p256_private(self) -> bool {
        self.private() && matches!(self.key_type(), KeyType::P256)
    }

    /// Lockable: the slot can be locked individually.
    pub const fn lockable(self) -> bool {
        self.0 & 0x0020 != 0
    }

    /// ReqRandom: a random nonce is required.
    pub const fn req_random(self) -> bool {
        self.0 & 0x0040 != 0
    }

    /// ReqAuth: prior authorisation with AuthKey is required.
    pub const fn req_auth(self) -> bool {
        self.0 & 0x0080 != 0
    }

    /// AuthKey, bits 11..8.
    pub const fn auth_key(self) -> Slot {
        Slot::from_nibble((self.0 >> 8) as u8)
    }

    /// PersistentDisable: usable only while the persistent latch is set.
    pub const fn persistent_disable(self) -> bool {
        self.0 & 0x1000 != 0
    }
}

/// ChipOptions (fact sheet section 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChipOptions(pub u16);

impl ChipOptions {
    /// Power-on self-test enabled.
    pub const fn power_on_self_test(self) -> bool {
        self.0 & 0x0001 != 0
    }

    /// The IO protection key may be used.
    pub const fn io_protection(self) -> bool {
        self.0 & 0x0002 != 0
    }

    /// KDF's AES mode is enabled.
    pub const fn kdf_aes(self) -> bool {
        self.0 & 0x0004 != 0
    }

    /// A health-test failure clears itself.
    pub const fn health_test_auto_clear(self) -> bool {
        self.0 & 0x0008 != 0
    }

    /// ECDHProt, 0 to 3: how an ECDH result must be protected.
    pub const fn ecdh_protection(self) -> u8 {
        (self.0 >> 8) as u8 & 3
    }

    /// KDFProt, 0 to 3.
    pub const fn kdf_protection(self) -> u8 {
        (self.0 >> 10) as u8 & 3
    }

    /// The IO protection key's slot.
    pub const fn io_key(self) -> Slot {
        Slot::from_nibble((self.0 >> 12) as u8)
    }
}

/// What SecureBoot keeps between boots: its mode in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBootStorage {
    /// SecureBoot is off.
    Off,
    /// Nothing: digest and signature are sent each time (FullBoth).
    Nothing,
    /// The signature (FullSig).
    Signature,
    /// The digest (FullDig).
    Digest,
}

/// SecureBoot's word of the configuration (fact sheet section 5.1, bytes 70 and 71).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecureBootConfig(pub u16);

impl SecureBootConfig {
    /// Bits 1..0.
    pub const fn storage(self) -> SecureBootStorage {
        match self.0 & 3 {
            0 => SecureBootStorage::Off,
            1 => SecureBootStorage::Nothing,
            2 => SecureBootStorage::Signature,
            _ => SecureBootStorage::Digest,
        }
    }

    /// Bit 3: success sets the persistent latch.
    pub const fn sets_latch(self) -> bool {
        self.0 & 0x0008 != 0
    }

    /// Bit 4: TempKey must come from a random nonce.
    pub const fn wants_random(self) -> bool {
        self.0 & 0x0010 != 0
    }

    /// The slot of the stored digest or signature.
    pub const fn storage_slot(self) -> Slot {
        Slot::from_nibble((self.0 >> 8) as u8)
    }

    /// The slot of the public key.
    pub const fn key_slot(self) -> Slot {
        Slot::from_nibble((self.0 >> 12) as u8)
    }
}

/// Largest value of a monotonic counter.
pub const COUNTER_MAX: u32 = 2_097_151;

/// Decodes the value from eight counter bytes (fact sheet section 5.6); `None` if they are not a valid encoding.
pub fn counter_decode(bytes: [u8; 8]) -> Option<u32> {
    let word = |i: usize| u16::from_be_bytes([bytes[2 * i], bytes[2 * i + 1]]);
    let value = 16 * (u32::from(word(2)) + u32::from(word(3))) + word(0).count_zeros() + word(1).count_zeros();
    (value <= COUNTER_MAX && counter_encode(value) == bytes).then_some(value)
}

/// The eight bytes that encode a counter's value, at most [`COUNTER_MAX`].
pub fn counter_encode(value: u32) -> [u8; 8] {
    let linear = |v: u32| 0xFFFF_u16.checked_shr(v % 32).unwrap_or(0);
    let (lin_b, bin_b) = match value.checked_sub(16) {
        Some(rest) => (linear(rest), (rest / 32) as u16),
        None => (0xFFFF, 0),
    };
    let words = [linear(value), lin_b, (value / 32) as u16, bin_b];
    let mut bytes = [0; 8];
    for (pair, word) in bytes.chunks_exact_mut(2).zip(words) {
        pair.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}
