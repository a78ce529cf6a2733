// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages that chip and host digest (SHA-256) or authenticate, byte for byte (fact sheet sections 3 and 9).

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::command::Command;
use super::config_zone::{KeyConfig, SerialNumber, SlotConfig};
use super::frame::CommandPacket;
use super::opcode::Opcode;

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut sha = Sha256::new();
    parts.iter().for_each(|part| sha.update(part));
    sha.finalize().into()
}

/// Opcode, param1 and param2 in the layout of the messages.
fn header(packet: &CommandPacket) -> [u8; 4] {
    let [low, high] = packet.param2.to_le_bytes();
    [packet.opcode.0, packet.param1, low, high]
}

/// TempKey after Nonce(random): `random` is RandOut, or the old TempKey for a derived nonce.
pub fn nonce(random: &[u8; 32], num_in: &[u8; 20], param1: u8) -> [u8; 32] {
    digest(&[random, num_in, &[Opcode::NONCE.0, param1, 0x00]])
}

/// TempKey after a GenKey that digests the public key (`X ‖ Y`).
///
/// `params` is param1 and param2 as sent, or OtherData for mode 10.
pub fn gen_key_digest(temp_key: &[u8; 32], params: [u8; 3], serial: &SerialNumber, public_key: &[u8; 64]) -> [u8; 32] {
    digest(&[temp_key, &[Opcode::GEN_KEY.0], &params, &serial.message_part(), &[0; 25], public_key])
}

/// The flags that belong to TempKey, as Info(State) and Sign(internal) show them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TempKeyFlags {
    /// The slot that GenDig or GenKey used, 0 to 15.
    pub key_id: u8,
    /// `false`: made with the chip's random numbers. `true`: chosen by the caller.
    pub source_fixed: bool,
    /// GenDig made it.
    pub gen_dig: bool,
    /// GenKey made it.
    pub gen_key: bool,
    /// The slot that GenDig used has NoMac.
    pub no_mac: bool,
}

impl TempKeyFlags {
    /// The byte that Info(State) returns and Sign(internal) digests.
    pub fn to_byte(self) -> u8 {
        self.key_id & 0x0F
            | u8::from(self.source_fixed) << 4
            | u8::from(self.gen_dig) << 5
            | u8::from(self.gen_key) << 6
            | u8::from(self.no_mac) << 7
    }
}

/// What Sign(internal) states about the slot that TempKey names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotStatement {
    /// SlotConfig of TempKey.KeyID.
    pub slot_config: SlotConfig,
    /// KeyConfig of TempKey.KeyID.
    pub key_config: KeyConfig,
    /// TempKey's flags.
    pub flags: TempKeyFlags,
    /// Whether the slot is locked individually.
    pub slot_locked: bool,
    /// Whether it holds a validated public key.
    pub validated: bool,
}

/// The 55-byte message of Sign(internal); its SHA-256 is what is signed. `sign` is the command as sent.
pub fn sign_internal(
    temp_key: &[u8; 32],
    sign: &super::commands::Sign,
    statement: &SlotStatement,
    serial: &SerialNumber,
) -> [u8; 55] {
    let packet = sign.packet();
    let full_serial = packet.param1 & 0x40 != 0;
    let sn = &serial.0;
    let mut message = [0; 55];
    message[..32].copy_from_slice(temp_key);
    message[32..36].copy_from_slice(&header(&packet));
    message[36..38].copy_from_slice(&statement.slot_config.0.to_le_bytes());
    message[38..40].copy_from_slice(&statement.key_config.0.to_le_bytes());
    message[40] = statement.flags.to_byte();
    message[43] = sn[8];
    message[48..50].copy_from_slice(&sn[..2]);
    if full_serial {
        message[44..48].copy_from_slice(&sn[4..8]);
        message[50..52].copy_from_slice(&sn[2..4]);
    }
    message[52] = u8::from(!statement.slot_locked);
    message[53] = u8::from(statement.validated);
    message
}

/// The parts of [`sign_internal`]'s message that Verify(Validate) takes as OtherData.
pub fn sign_internal_other_data(message: &[u8; 55]) -> [u8; 19] {
    let mut other = [0; 19];
    other[..10].copy_from_slice(&message[33..43]);
    other[10..14].copy_from_slice(&message[44..48]);
    other[14..].copy_from_slice(&message[50..55]);
    other
}

/// The digest that Verify(Validate) and Verify(Invalidate) check.
pub fn verify_validate(temp_key: &[u8; 32], other_data: &[u8; 19], serial: &SerialNumber) -> [u8; 32] {
    let sn = &serial.0;
    digest(&[
        temp_key,
        &[Opcode::SIGN.0],
        &other_data[..10],
        &[sn[8]],
        &other_data[10..14],
        &sn[..2],
        &other_data[14..],
    ])
}

/// The MAC that Verify returns on request, made with the IO protection key. `verify` is the command as sent.
pub fn verify_mac(
    io_key: &[u8; 32],
    message: &[u8; 32],
    system_nonce: &[u8; 32],
    verify: &super::commands::Verify,
) -> [u8; 32] {
    digest(&[io_key, message, system_nonce, &verify.signature, &header(&verify.packet())])
}

/// The key stream of outputs encrypted with the IO protection key: 32 bytes for each 16 bytes of `nonce`.
pub fn io_key_stream(io_key: &[u8; 32], nonce: &[u8; 32]) -> [u8; 64] {
    let mut stream = [0; 64];
    stream[..32].copy_from_slice(&digest(&[io_key, &nonce[..16]]));
    stream[32..].copy_from_slice(&digest(&[io_key, &nonce[16..]]));
    stream
}

/// The MAC of an encrypted Write, over the plaintext (fact sheet section 3.22). `write` is the command as sent.
pub fn write_mac(
    temp_key: &[u8; 32],
    write: &super::commands::Write,
    serial: &SerialNumber,
    plaintext: &[u8; 32],
) -> [u8; 32] {
    digest(&[temp_key, &header(&write.packet()), &serial.message_part(), &[0; 25], plaintext])
}

/// The MAC of the MAC command (88-byte message, fact sheet section 3.11). `first` and `second` are its blocks, `otp` is
/// OTP\[0..11\], `command` is the command as sent.
pub fn mac(
    first: &[u8; 32],
    second: &[u8; 32],
    command: &super::commands::Mac,
    otp: &[u8; 11],
    serial: &SerialNumber,
) -> [u8; 32] {
    use super::commands::MacOtp;
    let sn = &serial.0;
    let mut tail = [0; 20];
    let otp_len = match command.otp {
        MacOtp::None => 0,
        MacOtp::First8 => 8,
        MacOtp::First11 => 11,
    };
    tail[..otp_len].copy_from_slice(&otp[..otp_len]);
    tail[11] = sn[8];
    tail[16..18].copy_from_slice(&sn[..2]);
    if command.full_serial {
        tail[12..16].copy_from_slice(&sn[4..8]);
        tail[18..].copy_from_slice(&sn[2..4]);
    }
    digest(&[first, second, &header(&command.packet()), &tail])
}

/// The value that CheckMac compares ClientResp with (88-byte message, fact sheet section 3.2). `first` and `second` are
/// its blocks, `otp` is OTP\[0..11\].
pub fn check_mac(
    first: &[u8; 32],
    second: &[u8; 32],
    command: &super::commands::CheckMac,
    otp: &[u8; 11],
    serial: &SerialNumber,
) -> [u8; 32] {
    let other = &command.other_data;
    let otp: &[u8] = if command.otp { &otp[..8] } else { &[0; 8] };
    let sn = &serial.0;
    digest(&[first, second, &other[..4], otp, &other[4..7], &[sn[8]], &other[7..11], &sn[..2], &other[11..]])
}

/// The input of GenDig besides TempKey and the command itself.
pub enum GenDigInput {
    /// Zones 0 to 2: 32 bytes of configuration, OTP or slot.
    Block(Zeroizing<[u8; 32]>),
    /// Zone 2, slot with NoMac: the slot, and OtherData in the place of opcode and parameters.
    NoMac(Zeroizing<[u8; 32]>, [u8; 4]),
    /// Zone 3: the command contains everything.
    SharedNonce,
    /// Zone 4: the counter's value.
    Counter(u32),
    /// Zone 5: the slot's configuration.
    KeyConfig {
        /// SlotConfig.
        slot_config: SlotConfig,
        /// KeyConfig.
        key_config: KeyConfig,
        /// Whether the slot is locked individually.
        slot_locked: bool,
    },
}

/// TempKey after GenDig (96-byte message, fact sheet section 3.6). `command` is the command as sent.
pub fn gen_dig(
    temp_key: &[u8; 32],
    command: &super::commands::GenDig,
    input: &GenDigInput,
    serial: &SerialNumber,
) -> [u8; 32] {
    let mut head = header(&command.packet());
    let (mut first, mut facts, mut last) = (Zeroizing::new([0; 32]), [0; 25], *temp_key);
    match input {
        GenDigInput::Block(block) => *first = **block,
        GenDigInput::NoMac(block, other_data) => (*first, head) = (**block, *other_data),
        GenDigInput::SharedNonce => {}
        GenDigInput::Counter(value) => facts[1..5].copy_from_slice(&value.to_le_bytes()),
        GenDigInput::KeyConfig { slot_config, key_config, slot_locked } => {
            facts[1..3].copy_from_slice(&slot_config.0.to_le_bytes());
            facts[3..5].copy_from_slice(&key_config.0.to_le_bytes());
            facts[5] = u8::from(!slot_locked);
        }
    }
    if let super::commands::GenDig::SharedNonce { temp_key_first, other_data, .. } = command {
        head[3] = 0;
        (*first, last) = if *temp_key_first { (*temp_key, *other_data) } else { (*other_data, *temp_key) };
    }
    digest(&[&*first, &head, &serial.message_part(), &facts, &last])
}

/// The key that DeriveKey stores (96-byte message, fact sheet section 3.4). `command` is the command as sent.
pub fn derive_key(
    parent: &[u8; 32],
    temp_key: &[u8; 32],
    command: &super::commands::DeriveKey,
    serial: &SerialNumber,
) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(digest(&[parent, &header(&command.packet()), &serial.message_part(), &[0; 25], temp_key]))
}

/// The MAC with which the caller of DeriveKey proves knowledge of the parent key (39-byte message). `command` is the
/// command as sent.
pub fn derive_key_mac(parent: &[u8; 32], command: &super::commands::DeriveKey, serial: &SerialNumber) -> [u8; 32] {
    digest(&[parent, &header(&command.packet()), &serial.message_part()])
}

/// The key stream of an encrypted PrivWrite (fact sheet section 3.13).
pub fn priv_write_key_stream(temp_key: &[u8; 32]) -> Zeroizing<[u8; 36]> {
    let mut stream = Zeroizing::new([0; 36]);
    stream[..32].copy_from_slice(temp_key);
    stream[32..].copy_from_slice(&digest(&[temp_key])[..4]);
    stream
}

/// The MAC of an encrypted PrivWrite, over the plaintext (96-byte message). `command` is the command as sent.
pub fn priv_write_mac(
    temp_key: &[u8; 32],
    command: &super::commands::PrivWrite,
    serial: &SerialNumber,
    plaintext: &[u8; 36],
) -> [u8; 32] {
    digest(&[temp_key, &header(&command.packet()), &serial.message_part(), &[0; 21], plaintext])
}

/// The key that encrypts SecureBoot's digest and keys its MAC (fact sheet section 3.16).
pub fn secure_boot_hashed_key(io_key: &[u8; 32], temp_key: &[u8; 32]) -> [u8; 32] {
    digest(&[io_key, temp_key])
}

/// The MAC that SecureBoot returns. `plain` is the decrypted digest; `signature` is the signature that was checked,
/// `None` if a stored digest was; `command` is the command as sent.
pub fn secure_boot_mac(
    hashed_key: &[u8; 32],
    plain: &[u8; 32],
    signature: Option<&[u8; 64]>,
    command: &super::commands::SecureBoot,
) -> [u8; 32] {
    digest(&[hashed_key, plain, signature.map_or(&[], |signature| &signature[..]), &header(&command.packet())])
}
