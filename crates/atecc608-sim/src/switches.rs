// SPDX-License-Identifier: MIT OR Apache-2.0
//! The points that the fact sheet marks as unverified, and those of its section 11 on ReqAuth: one named switch each,
//! with the strict default and its reason.
//!
//! Strict means: a host that works with these defaults works on silicon, whichever way silicon behaves. Once a real
//! chip has shown its behaviour (`scripts/hardware-check.sh`), the switch is removed and the rule stays.

use serde::{Deserialize, Serialize};

use super::rules::Nonce;
use super::switch_names::{byte, status};
use atecc608_wire::Status;

/// The simulated chip's behaviour where the fact sheet is uncertain. By name: `switch_names.rs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Switches {
    /// Any low pulse of 60 us wakes the chip, not only a transfer to address 00 (sections 1.4 and 11). Default on: a
    /// driver must expect that polling a sleeping chip wakes it.
    pub any_traffic_wakes: bool,
    /// Word addresses 04 to FF are not acknowledged (section 1.5). Default on: no host may rely on a chip that ignores
    /// them.
    pub reserved_word_address_nacks: bool,
    /// A command returns EE if less than its maximum execution time is left before the watchdog expires (section 1.3;
    /// the margin is not public). Default on, the widest margin. Off: it starts, and the watchdog ends it before it
    /// writes.
    pub watchdog_margin: bool,
    /// A command refused with 0F invalidates TempKey, whatever the command (section 3.0). Default on.
    pub refusal_clears_temp_key: bool,
    /// A nonce derived from TempKey (param2 8000) counts as random (section 3.0: the data sheet says so, the vendor's
    /// host model leaves the flag as it was). Default off: the flag is kept.
    pub derived_nonce_is_random: bool,
    /// GenKey(create) needs PubInfo, because it returns the public key (section 3.7). Default on.
    pub create_needs_pub_info: bool,
    /// GenKey(public) needs PubInfo before the data lock too (sections 3.7 and 5.7 disagree). Default on.
    pub public_needs_pub_info_before_data_lock: bool,
    /// Sign, ECDH and Verify(stored) need the data zone locked (sections 3.19 and 5.7). Default off, as the fact sheet
    /// says for the simulator.
    pub key_use_needs_data_lock: bool,
    /// Verify(external) needs the configuration locked (section 5.7 leaves this open). Default off: the vendor's test
    /// program verifies NIST's vector with a blank chip (section 12).
    pub verify_external_needs_config_lock: bool,
    /// HMAC, KDF, MAC, CheckMac and GenDig that use no slot need the configuration locked (section 5.7: a blank chip
    /// returns 0F for crypto commands; the vendor's tests of these require the data lock, and those of AES no lock).
    /// Default on.
    pub temp_key_macs_need_config_lock: bool,
    /// Lock(slot) needs the data zone locked (section 3.10). Default on.
    pub slot_lock_needs_data_lock: bool,
    /// ECDH to the output is refused if SlotConfig sends the result to slot N|1 (section 3.5). Default on.
    pub ecdh_to_slot_forbids_output: bool,
    /// ECDH stores only in slots whose WriteConfig is Always, once data are locked, as KDF does; by SlotConfig in slot
    /// N|1 also where it is Encrypted, as in the vendor's unit test ecdh (section 3.5 names no rule). Default on.
    pub ecdh_target_follows_write_config: bool,
    /// The status of ECDH for a point that is not on the curve: 05 or 0F (section 3.5). Default 0F, as for Verify.
    #[serde(with = "status")]
    pub ecdh_bad_point: Status,
    /// The status of Lock if the summary does not match (section 3.10). Default 0F.
    #[serde(with = "status")]
    pub lock_summary_mismatch: Status,
    /// The status of an encrypted Write if its MAC is wrong (section 3.22). Default 0F.
    #[serde(with = "status")]
    pub write_mac_mismatch: Status,
    /// An encrypted Write needs a TempKey that came from a random nonce (section 3.22). Default on.
    pub encrypted_write_needs_random: bool,
    /// A digest that SHA leaves in TempKey counts as chosen by the caller (section 3.0). Default on.
    pub sha_digest_is_fixed: bool,
    /// ReqAuth gates GenKey (create, public, digest) after the data lock (section 11). Default on. Before the data lock
    /// it does not, because keys with ReqAuth must be created then.
    pub req_auth_gates_gen_key: bool,
    /// ReqAuth gates Write after the data lock (section 11). Default on.
    pub req_auth_gates_write: bool,
    /// The authorisation of CheckMac survives idle (sections 1.3 and 11). Default on, since the vendor's unit test
    /// volatile_key_permit sets the latch with it (section 3.8), and the vendor's library is idle between any two commands.
    pub authorisation_survives_idle: bool,
    /// The authorisation survives a new Nonce into TempKey (section 11). Default off.
    pub authorisation_survives_nonce: bool,
    /// The authorisation survives a Nonce into the digest buffer or the alternate key buffer (section 11). Default on:
    /// the vendor's atcab_sign loads its digest after any CheckMac, and works with ReqAuth keys. The driver does not
    /// depend on it.
    pub authorisation_survives_buffer_nonce: bool,
    /// Clearing the persistent latch needs no authorisation (section 3.8). Default off.
    pub latch_clear_is_free: bool,
    /// KDF with a key in a slot has the conditions of HMAC: neither NoMac nor ReqRandom (section 3.9: the rules are not
    /// public). Default on.
    pub kdf_slot_rules_are_hmacs: bool,
    /// DeriveKey needs the data zone locked (section 5.7 does not say). Default on.
    pub derive_key_needs_data_lock: bool,
    /// DeriveKey rolls a key whose slot has NoMac (section 11). Default off.
    pub derive_key_rolls_no_mac: bool,
    /// The status of DeriveKey if its MAC is wrong (section 3.4). Default 01, as in the 508's data sheet.
    #[serde(with = "status")]
    pub derive_key_mac_mismatch: Status,
    /// The status of an encrypted PrivWrite if its MAC is wrong (section 3.13). Default 0F.
    #[serde(with = "status")]
    pub priv_write_mac_mismatch: Status,
    /// ReqAuth gates PrivWrite after the data lock (section 11). Default on.
    pub req_auth_gates_priv_write: bool,
    /// UpdateExtra has mode 2, with which the older chips consume a use of a key (section 3.20). Default off: 03.
    pub update_extra_decrements: bool,
    /// The status of AES if the slot is not of type AES: 0F or 03 (section 3.1). Default 0F.
    #[serde(with = "status")]
    pub aes_wrong_key_type: Status,
    /// AES with a key in TempKey clears it (section 3.0). Default off: the vendor's tests load once and run several
    /// blocks (section 8.18).
    pub aes_uses_up_temp_key: bool,
    /// SecureBoot needs the data zone locked (section 3.16 does not say). Default on.
    pub secure_boot_needs_data_lock: bool,
    /// SecureBootConfig bit 4 requires a random TempKey in all modes, not only for encrypted digests (section 5.1).
    /// Default on.
    pub secure_boot_nonce_always: bool,
    /// A limited-use key is refused where the slot that CountMatch names does not hold a limit: four bytes twice, a multiple of
    /// 32 (section 5.6). Default off: only Counter0's own end counts then. The vendor's test program signs with such keys
    /// while that slot holds a certificate, or FF (section 12).
    pub count_match_must_be_a_limit: bool,
    /// Counter(read) needs the configuration locked, as Counter(increment) does (section 5.7). Default off: the vendor's
    /// unit test counter_write_test reads before the lock what it has just preset.
    pub counter_needs_config_lock: bool,
    /// GenDig refuses slots configured for an ECC private key (section 3.6). Default on.
    pub gen_dig_refuses_private_keys: bool,
    /// MAC takes the modes that digest OTP bytes, bits 4 and 5 (section 3.11). Default off: 03.
    pub mac_takes_otp: bool,
    /// A CheckMac that fails, with whatever status, ends the authorisation (section 11). Default on.
    pub failed_check_mac_clears_authorisation: bool,
    /// CheckMac modes 01 and 05 on an even slot copy the next slot into TempKey if that one's ReadKey is 0 (section
    /// 3.2: the pairing is not certain). Default on: a secure configuration must allow for such a copy.
    pub check_mac_copies: bool,
    /// A TempKey that CheckMac copied survives idle (section 1.3). Default off.
    pub copied_temp_key_survives_idle: bool,
    /// ReqRandom requires a random TempKey for Sign and ECDH too (section 3.0: the list of commands is not certain).
    /// Default off: Trust&GO's slot 0 has ReqRandom and is used without.
    pub req_random_gates_sign: bool,
    /// ReqRandom requires a random TempKey for AES too (section 3.0). Default on.
    pub req_random_gates_aes: bool,
    /// UseLock, if its low nibble is A, requires CheckMac on the slot in its high nibble before any other key is used
    /// (section 5.1: what it does is not public). Default on.
    pub use_lock_gates_keys: bool,
    /// ECDHProt and KDFProt 2 and 3 allow every target inside the chip (sections 3.5 and 3.9: only that 2 forbids the
    /// bus is certain). Default off: 2 is TempKey or the alternate key buffer, 3 is a slot.
    pub output_protection_means_inside: bool,
    /// KDF stores only in slots whose WriteConfig is Always, once data are locked (section 3.9; Parsec's library
    /// requires it). Default on.
    pub kdf_target_needs_always_write: bool,
    /// HKDF's message in a slot or TempKey has any length that details name (section 3.9; Parsec's library requires
    /// nothing else). Default off: 32 or 64 bytes, because with a free choice a secret can be guessed byte by byte.
    pub hkdf_message_length_is_free: bool,
    /// The status of Verify mode 01, ValidateExternal, for a packet of the right form: 03 or 0F (section 3.21). It
    /// never validates: what the 608 requires before is not public, and a key must not be validated too easily. Default
    /// 03.
    #[serde(with = "status")]
    pub verify_validate_external: Status,
    /// Verify(Validate) and Verify(Invalidate) return a MAC on request (section 3.21; the public data sheets describe
    /// it for External and Stored only). Default off: 03.
    pub verify_validate_answers_mac: bool,
    /// SHA(End) takes 64 bytes (section 3.18: 63, the vendor's library says 64). Default off: 03.
    pub sha_end_takes_64: bool,
    /// The status of Info mode 3, GPIO, on a part with I2C (section 3.8). Default 03.
    #[serde(with = "status")]
    pub info_gpio: Status,
    /// Info refuses to read the persistent latch where VolatileKeyPermission does not enable it (section 3.8: 0 or an
    /// error). Default on.
    pub latch_read_needs_permission: bool,
    /// SelfTest leaves TempKey as it was (section 3.0). Default off.
    pub self_test_keeps_temp_key: bool,
    /// The status of Read and Write for an address outside the zone: 03 or 0F (section 3.22). Default 03.
    #[serde(with = "status")]
    pub address_out_of_range: Status,
    /// The status of Write for a place in the configuration zone that it cannot change: 0F or 03 (section 3.22).
    /// Default 0F.
    #[serde(with = "status")]
    pub config_place_not_writable: Status,
    /// The padding of a 32-byte Read of a short last block (section 3.0). Default 00.
    #[serde(with = "byte")]
    pub short_block_padding: u8,
    /// The byte that is read past the end of a response (section 1.6). Default FF.
    #[serde(with = "byte")]
    pub past_the_end: u8,
    /// The byte that fills the OTP zone of a chip as sold (section 5.8). Default FF. Only for
    /// [`super::SimChip::blank_with`].
    #[serde(with = "byte")]
    pub blank_otp: u8,
    /// The byte that fills the slots of a chip as sold (section 5.8). Default FF. Only for
    /// [`super::SimChip::blank_with`].
    #[serde(with = "byte")]
    pub blank_slots: u8,
    /// The long watchdog expires after 7.6 to 17 seconds (section 1.2). Default on; off: after 13.
    pub long_watchdog_spreads: bool,
    /// The response to a wake after a failed self-test is `04 07 C4 40`, which the vendor's library expects though its
    /// CRC is wrong (section 1.4). Default off: `04 07 40 C2`.
    pub failed_wake_is_the_vendors: bool,
    /// Every execution of a command takes the same time, which is specific to the chip, instead of a time drawn anew
    /// (section 4: the variation is not public). Default off.
    pub times_are_steady: bool,
}

impl Switches {
    /// The TempKey that Sign and ECDH require for a slot with ReqRandom.
    pub(crate) fn nonce_for_sign(&self) -> Nonce {
        if self.req_random_gates_sign {
            Nonce::WantedByReqRandom
        } else {
            Nonce::NotAsked
        }
    }
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            any_traffic_wakes: true,
            reserved_word_address_nacks: true,
            watchdog_margin: true,
            refusal_clears_temp_key: true,
            derived_nonce_is_random: false,
            create_needs_pub_info: true,
            public_needs_pub_info_before_data_lock: true,
            key_use_needs_data_lock: false,
            verify_external_needs_config_lock: false,
            temp_key_macs_need_config_lock: true,
            slot_lock_needs_data_lock: true,
            ecdh_to_slot_forbids_output: true,
            ecdh_target_follows_write_config: true,
            ecdh_bad_point: Status::EXECUTION_ERROR,
            lock_summary_mismatch: Status::EXECUTION_ERROR,
            write_mac_mismatch: Status::EXECUTION_ERROR,
            encrypted_write_needs_random: true,
            sha_digest_is_fixed: true,
            req_auth_gates_gen_key: true,
            req_auth_gates_write: true,
            authorisation_survives_idle: true,
            authorisation_survives_nonce: false,
            authorisation_survives_buffer_nonce: true,
            latch_clear_is_free: false,
            kdf_slot_rules_are_hmacs: true,
            derive_key_needs_data_lock: true,
            derive_key_rolls_no_mac: false,
            derive_key_mac_mismatch: Status::MISCOMPARE,
            priv_write_mac_mismatch: Status::EXECUTION_ERROR,
            req_auth_gates_priv_write: true,
            update_extra_decrements: false,
            aes_wrong_key_type: Status::EXECUTION_ERROR,
            aes_uses_up_temp_key: false,
            secure_boot_needs_data_lock: true,
            secure_boot_nonce_always: true,
            count_match_must_be_a_limit: false,
            counter_needs_config_lock: false,
            gen_dig_refuses_private_keys: true,
            mac_takes_otp: false,
            failed_check_mac_clears_authorisation: true,
            check_mac_copies: true,
            copied_temp_key_survives_idle: false,
            req_random_gates_sign: false,
            req_random_gates_aes: true,
            use_lock_gates_keys: true,
            output_protection_means_inside: false,
            kdf_target_needs_always_write: true,
            hkdf_message_length_is_free: false,
            verify_validate_external: Status::PARSE_ERROR,
            verify_validate_answers_mac: false,
            sha_end_takes_64: false,
            info_gpio: Status::PARSE_ERROR,
            latch_read_needs_permission: true,
            self_test_keeps_temp_key: false,
            address_out_of_range: Status::PARSE_ERROR,
            config_place_not_writable: Status::EXECUTION_ERROR,
            short_block_padding: 0x00,
            past_the_end: 0xFF,
            blank_otp: 0xFF,
            blank_slots: 0xFF,
            long_watchdog_spreads: true,
            failed_wake_is_the_vendors: false,
            times_are_steady: false,
        }
    }
}
