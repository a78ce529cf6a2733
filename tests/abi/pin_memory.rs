// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secrets in the memory of a process: the one behind a PIN and those of session keys. They are in pages that are not
//! swapped out, not dumped, and empty in a forked child; and they are wiped when they are no longer needed.

use std::fs;
use std::os::unix::fs::FileExt;

use crate::common::fork::in_a_child;
use crate::common::module::{ulong, Module};
use crate::common::one_key::sign;
use crate::common::pin::{self, PIN};
use crate::common::process::{self, Helper};
use cryptoki_sys::*;

/// Where this process's memory holds the first 16 bytes of [`pin::secret`]. They are computed byte by byte, so that the search
/// does not find itself.
fn copies() -> Vec<u64> {
    let memory = fs::File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = bounds(range);
        let mut bytes = vec![0; (end - start) as usize];
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        let is_it = |window: &[u8]| window.iter().enumerate().all(|(i, byte)| *byte == (i * 37 + 11) as u8);
        let places = bytes.windows(16).enumerate().filter(|(_, window)| is_it(window));
        found.extend(places.map(|(place, _)| start + place as u64));
        bytes.fill(0);
    }
    found
}

fn bounds(range: &str) -> (u64, u64) {
    let (start, end) = range.split_once('-').unwrap();
    let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
    (start, end)
}

/// What the kernel does with the page at this address (proc_pid_smaps(5)).
fn flags(address: u64) -> Vec<String> {
    let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = smaps.lines().skip_while(|line| {
        let range = line.split_whitespace().next().filter(|word| word.contains('-'));
        range.map(bounds).is_none_or(|(start, end)| !(start..end).contains(&address))
    });
    let line = lines.find_map(|line| line.strip_prefix("VmFlags:")).unwrap();
    line.split_whitespace().map(str::to_owned).collect()
}

/// Whether all copies are in pages that are locked, left out of core dumps, and wiped in a forked child.
fn protected() -> bool {
    let copies = copies();
    let is_protected = |address: &u64| {
        let flags = flags(*address);
        ["lo", "dd", "wf"].iter().all(|flag| flags.iter().any(|other| other == flag))
    };
    !copies.is_empty() && copies.iter().all(is_protected)
}

/// Prints whether all copies are protected, and checks that a forked child has none.
fn say_protected() {
    process::say(&format!("protected: {}", protected()));
    in_a_child(|| copies().is_empty());
}

/// Overwrites the stack contents of earlier calls: AES puts the key it expands there, and docs/security.md says so.
#[inline(never)]
fn overwrite_stack() {
    std::hint::black_box(&mut [0_u8; 256 * 1024]);
}

/// A session key of the first `len` bytes of [`pin::secret`], of which the test keeps no copy.
fn session_key(module: &Module, session: CK_SESSION_HANDLE, key_type: CK_KEY_TYPE, len: usize) -> CK_OBJECT_HANDLE {
    let value = (0..len).map(|i| (i * 37 + 11) as u8).collect();
    let mut template = [
        (CKA_CLASS, ulong(CKO_SECRET_KEY)),
        (CKA_KEY_TYPE, ulong(key_type)),
        (CKA_VALUE, value),
        (CKA_SIGN, vec![CK_TRUE]),
    ];
    let key = module.create_object(session, &template).unwrap();
    template[2].1.fill(0);
    key
}

fn log_in_and_out(module: &Module) {
    let session = module.start();
    module.login(session, CKU_USER, PIN).unwrap();
    let key = module.private_keys(session)[0];
    sign(module, session, key).unwrap();
    process::say(&format!("locked: {}", process::status_kb("VmLck") > 0));
    say_protected();
    pin::logout(module, session).unwrap();
    process::say(&format!("logged out: {}", copies().len()));
    process::say(&format!("locked: {}", process::status_kb("VmLck") > 0));
    module.login(session, CKU_USER, PIN).unwrap();
    sign(module, session, module.private_keys(session)[0]).unwrap();
    module.finalize().unwrap();
    process::say(&format!("finalised: {}", copies().len()));
}

fn make_session_keys(module: &Module) {
    let session = module.start();
    for (key_type, len) in [(CKK_AES, 16), (CKK_AES, 32), (CKK_GENERIC_SECRET, 32)] {
        let key = session_key(module, session, key_type, len);
        overwrite_stack();
        say_protected();
        module.destroy(session, key).unwrap();
        process::say(&format!("destroyed: {}", copies().len()));
    }
}

/// The growth of the process in KiB after 20 logins compared with one, and after those of eight threads at once.
fn log_in_often(module: &Module) {
    let session = module.start();
    let again = |session| {
        // Of several threads one logs in.
        let _ = module.login(session, CKU_USER, PIN);
        let _ = pin::logout(module, session);
    };
    again(session);
    let before = process::status_kb("VmRSS");
    (0..20).for_each(|_| again(session));
    process::say(&(process::status_kb("VmRSS").saturating_sub(before)).to_string());
    let peak = process::status_kb("VmHWM");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..3).for_each(|_| again(session)));
        }
    });
    process::say(&(process::status_kb("VmRSS").saturating_sub(before)).to_string());
    process::say(&(process::status_kb("VmHWM") - peak).to_string());
}

#[test]
fn helper_process() {
    match process::role().as_deref() {
        None => {}
        Some("log in and out") => log_in_and_out(&Module::of_parent()),
        Some("make session keys") => make_session_keys(&Module::of_parent()),
        Some("log in often") => log_in_often(&Module::of_parent()),
        Some(role) => panic!("{role}"),
    }
}

fn said_by(role: &str) -> Vec<String> {
    let (module, _bus, ..) = pin::with_key();
    module.finalize().unwrap();
    Helper::start(module_path!(), &module, role).finish()
}

#[test]
fn the_secret_is_in_protected_memory_during_a_login_and_nowhere_afterwards() {
    let said = said_by("log in and out");
    assert_eq!(said[0], "locked: true", "RLIMIT_MEMLOCK allows a page");
    assert_eq!(said[1..], ["protected: true", "logged out: 0", "locked: false", "finalised: 0"]);
}

#[test]
fn session_keys_are_in_protected_memory_until_they_are_destroyed() {
    assert_eq!(said_by("make session keys"), ["protected: true", "destroyed: 0"].repeat(3));
}

#[test]
fn logins_leave_no_memory_behind_however_many_threads_log_in() {
    let said: Vec<usize> = said_by("log in often").iter().map(|kb| kb.parse().unwrap()).collect();
    // Threads leave stacks and arenas of the allocator; one Argon2 would leave 19 MiB.
    assert!(said[0] < 2048 && said[1] < 8 * 1024, "KiB left behind: {said:?}");
    assert!(said[2] < 19 * 1024, "KiB at once for eight threads: {said:?}");
}
