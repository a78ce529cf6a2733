//! The messages that chip and host digest (SHA-256) or authenticate, byte for byte (fact sheet sections 3 and 9).

use sha2::{Digest, Sha256};

use super::command::Command;
use super::config_zone::{KeyConfig, SerialNumber, SlotConfig};
use super::frame::CommandPacket;
use super::opcode::Opcode;

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut sha = Sha256::new();
    parts.iter().for_each(|part| sha.update(part));
    sha.finalize().into()
}

/// Opcode, param1 and param2 as messages carry them.
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
    /// False: made with the chip's randomness. True: the caller chose it.
    pub source_fixed: bool,
    /// GenDig made it.
    pub gen_dig: bool,
    /// GenKey made it.
    pub gen_key: bool,
    /// The slot that GenDig used has NoMac.
    pub no_mac: bool,
}

impl TempKeyFlags {
    /// The byte that Info(State) answers and Sign(internal) digests.
    pub fn to_byte(self) -> u8 {
        self.key_id & 0x0F
            | u8::from(self.source_fixed) << 4
            | u8::from(self.gen_dig) << 5
            | u8::from(self.gen_key) << 6
            | u8::from(self.no_mac) << 7
    }
}

/// What Sign(internal) says about the slot that TempKey names.
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

/// The MAC that Verify answers when asked to, made with the IO protection key. `verify` is the command as sent.
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
