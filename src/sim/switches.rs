//! The points that the fact sheet marks as unverified, and those of its section 11 on ReqAuth: one named switch each, with
//! the strict default and its reason.
//!
//! Strict means: whatever works with these defaults works on silicon, whichever way silicon behaves. When a real
//! chip has been asked, the switch goes and the rule stays.

use crate::wire::Status;

/// How the simulated chip behaves where the fact sheet is not certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switches {
    /// Any low pulse of 60 us wakes the chip, not only a transfer to address 00 (sections 1.4 and 11). Default on:
    /// a driver that polls a sleeping chip must live with having woken it.
    pub any_traffic_wakes: bool,
    /// Word addresses 04 to FF are not acknowledged (section 1.5). Default on: nobody may rely on their being ignored.
    pub reserved_word_address_nacks: bool,
    /// A command is answered EE when the watchdog leaves it less than its maximum execution time (section 1.3; the
    /// margin is not public). Default on, the widest margin. Off: it starts, and the watchdog cuts it off; what it
    /// would have written is not written.
    pub watchdog_margin: bool,
    /// A command refused with 0F invalidates TempKey, whatever the command (section 3.0). Default on.
    pub refusal_clears_temp_key: bool,
    /// A nonce derived from TempKey (param2 8000) counts as random (section 3.0: the data sheet says so, the vendor's
    /// host model leaves the flag as it was). Default off: the flag is kept.
    pub derived_nonce_is_random: bool,
    /// GenKey(create) needs PubInfo, since it answers the public key (section 3.7). Default on.
    pub create_needs_pub_info: bool,
    /// GenKey(public) needs PubInfo before the data lock too (sections 3.7 and 5.7 disagree). Default on.
    pub public_needs_pub_info_before_data_lock: bool,
    /// Sign, ECDH and Verify(stored) need the data zone locked (sections 3.19 and 5.7). Default off, as the fact sheet
    /// says for the simulator.
    pub key_use_needs_data_lock: bool,
    /// Verify(external) needs the configuration locked (section 5.7). Default on: a blank chip refuses it.
    pub verify_external_needs_config_lock: bool,
    /// Lock(slot) needs the data zone locked (section 3.10). Default on.
    pub slot_lock_needs_data_lock: bool,
    /// ECDH to the output is refused if SlotConfig sends the result to slot N|1 (section 3.5). Default on.
    pub ecdh_to_slot_forbids_output: bool,
    /// What ECDH answers to a point that is not on the curve: 05 or 0F (section 3.5). Default 0F, as Verify answers.
    pub ecdh_bad_point: Status,
    /// What Lock answers when the summary does not match (section 3.10). Default 0F.
    pub lock_summary_mismatch: Status,
    /// What an encrypted Write answers when its MAC is wrong (section 3.22). Default 0F.
    pub write_mac_mismatch: Status,
    /// An encrypted Write needs a TempKey that came from a random nonce (section 3.22). Default on.
    pub encrypted_write_needs_random: bool,
    /// A digest that SHA leaves in TempKey counts as chosen by the caller (section 3.0). Default on.
    pub sha_digest_is_fixed: bool,
    /// ReqAuth gates GenKey (create, public, digest) after the data lock (section 11). Default on. Before the data lock
    /// it does not, else no key with ReqAuth could be born.
    pub req_auth_gates_gen_key: bool,
    /// ReqAuth gates Write after the data lock (section 11). Default on.
    pub req_auth_gates_write: bool,
    /// The authorisation survives a new Nonce (section 11). Default off.
    pub authorisation_survives_nonce: bool,
    /// Clearing the persistent latch needs no authorisation (section 3.8). Default off.
    pub latch_clear_is_free: bool,
    /// KDF with a key in a slot asks what HMAC asks: neither NoMac nor ReqRandom (section 3.9: the rules are not public).
    /// Default on.
    pub kdf_slot_rules_are_hmacs: bool,
    /// DeriveKey needs the data zone locked (section 5.7 does not say). Default on.
    pub derive_key_needs_data_lock: bool,
    /// DeriveKey rolls a key whose slot has NoMac (section 11). Default off.
    pub derive_key_rolls_no_mac: bool,
    /// What DeriveKey answers when its MAC is wrong (section 3.4). Default 01, as the 508's data sheet has it.
    pub derive_key_mac_mismatch: Status,
    /// What an encrypted PrivWrite answers when its MAC is wrong (section 3.13). Default 0F.
    pub priv_write_mac_mismatch: Status,
    /// ReqAuth gates PrivWrite after the data lock (section 11). Default on.
    pub req_auth_gates_priv_write: bool,
    /// What UpdateExtra mode 2, the 508's decrement, answers (section 3.20). Default 03: the 608 does not have it.
    pub update_extra_decrement: Status,
    /// What AES answers when the slot is not of type AES: 0F or 03 (section 3.1). Default 0F.
    pub aes_wrong_key_type: Status,
    /// AES with a key in TempKey uses it up (section 3.0). Default off: the vendor's tests load once and run several
    /// blocks (section 8.18).
    pub aes_uses_up_temp_key: bool,
    /// SecureBoot needs the data zone locked (section 3.16 does not say). Default on.
    pub secure_boot_needs_data_lock: bool,
    /// SecureBootConfig bit 4 asks for a random TempKey in all modes, not only for encrypted digests (section 5.1). Default
    /// on.
    pub secure_boot_nonce_always: bool,
    /// Counter(increment) needs the configuration locked (section 5.7). Default on. Counter(read) does not: the vendor's
    /// unit test counter_write_test reads what it has just preset.
    pub counter_needs_config_lock: bool,
    /// GenDig refuses slots configured for an ECC private key (section 3.6). Default on.
    pub gen_dig_refuses_private_keys: bool,
    /// MAC takes the modes that digest OTP bytes, bits 4 and 5 (section 3.11). Default off: 03.
    pub mac_takes_otp: bool,
    /// A CheckMac that fails, with whatever status, ends the authorisation (section 11). Default on.
    pub failed_check_mac_clears_authorisation: bool,
    /// CheckMac modes 01 and 05 on an even slot copy the next slot into TempKey if that one's ReadKey is 0 (section 3.2:
    /// the pairing is not certain). Default on: a configuration must live with its secret being copied.
    pub check_mac_copies: bool,
    /// A TempKey that CheckMac copied survives idle (section 1.3). Default off.
    pub copied_temp_key_survives_idle: bool,
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
            verify_external_needs_config_lock: true,
            slot_lock_needs_data_lock: true,
            ecdh_to_slot_forbids_output: true,
            ecdh_bad_point: Status::EXECUTION_ERROR,
            lock_summary_mismatch: Status::EXECUTION_ERROR,
            write_mac_mismatch: Status::EXECUTION_ERROR,
            encrypted_write_needs_random: true,
            sha_digest_is_fixed: true,
            req_auth_gates_gen_key: true,
            req_auth_gates_write: true,
            authorisation_survives_nonce: false,
            latch_clear_is_free: false,
            kdf_slot_rules_are_hmacs: true,
            derive_key_needs_data_lock: true,
            derive_key_rolls_no_mac: false,
            derive_key_mac_mismatch: Status::MISCOMPARE,
            priv_write_mac_mismatch: Status::EXECUTION_ERROR,
            req_auth_gates_priv_write: true,
            update_extra_decrement: Status::PARSE_ERROR,
            aes_wrong_key_type: Status::EXECUTION_ERROR,
            aes_uses_up_temp_key: false,
            secure_boot_needs_data_lock: true,
            secure_boot_nonce_always: true,
            counter_needs_config_lock: true,
            gen_dig_refuses_private_keys: true,
            mac_takes_otp: false,
            failed_check_mac_clears_authorisation: true,
            check_mac_copies: true,
            copied_temp_key_survives_idle: false,
        }
    }
}
