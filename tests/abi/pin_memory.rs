//! Where the secret behind a PIN is in the memory of a process that logged in, and that it is gone after the logout.

use std::fs;
use std::os::unix::fs::FileExt;

use crate::common::module::Module;
use crate::common::one_key::sign;
use crate::common::pin::{self, PIN};
use crate::common::process::{self, Helper};
use cryptoki_sys::*;

/// How often this process's memory holds the first 16 bytes of the secret. It is computed byte by byte, so that the search
/// does not find itself.
fn copies() -> usize {
    let memory = fs::File::open("/proc/self/mem").unwrap();
    let mut found = 0;
    for line in fs::read_to_string("/proc/self/maps").unwrap().lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; (end - start) as usize];
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        let is_it = |window: &[u8]| window.iter().enumerate().all(|(i, byte)| *byte == (i * 37 + 11) as u8);
        found += bytes.windows(16).filter(|window| is_it(window)).count();
        bytes.fill(0);
    }
    found
}

/// Memory that is kept out of swap space.
fn locked_kb() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn helper_process() {
    if process::role().is_none() {
        return;
    }
    let module = Module::of_parent();
    let session = module.start();
    module.login(session, CKU_USER, PIN).unwrap();
    let key = module.private_keys(session)[0];
    sign(&module, session, key).unwrap();
    process::say(&format!("locked: {}", locked_kb() > 0));
    process::say(&format!("logged in: {}", copies()));
    pin::logout(&module, session).unwrap();
    process::say(&format!("logged out: {}", copies()));
    process::say(&format!("locked: {}", locked_kb() > 0));
    module.login(session, CKU_USER, PIN).unwrap();
    sign(&module, session, module.private_keys(session)[0]).unwrap();
    module.finalize().unwrap();
    process::say(&format!("finalised: {}", copies()));
}

#[test]
fn the_secret_is_in_memory_while_somebody_is_logged_in_and_not_afterwards() {
    let (module, _bus, ..) = pin::with_key();
    module.finalize().unwrap();
    let said = Helper::start(module_path!(), &module, "log in and out").finish();
    assert_eq!(said[0], "locked: true", "RLIMIT_MEMLOCK allows a page");
    assert_ne!(said[1], "logged in: 0", "the search finds what is there");
    assert_eq!(said[2..], ["logged out: 0", "locked: false", "finalised: 0"]);
}
