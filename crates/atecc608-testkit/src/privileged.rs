// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that run with more rights than the user who starts them.

use std::os::unix::fs::{chown, MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes a program setgid, with a group that this process does not run with. Returns `false`, and prints the reason, if
/// that can't be done or the kernel would ignore it.
pub fn make_setgid(program: &Path) -> bool {
    let obstacle = obstacle(program);
    if let Some(obstacle) = obstacle {
        eprintln!("not tested: {obstacle}");
        return false;
    }
    let group = other_group().expect("there is one");
    chown(program, None, Some(group)).unwrap();
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o2755)).unwrap();
    assert_eq!(std::fs::metadata(program).unwrap().mode() & 0o7777, 0o2755);
    true
}

fn obstacle(program: &Path) -> Option<&'static str> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    if status.lines().any(|line| line.split_whitespace().eq(["NoNewPrivs:", "1"])) {
        return Some("this process may start no program with more rights (no_new_privs)");
    }
    let mount = rustix::fs::statvfs(program).unwrap().f_flag;
    if mount.contains(rustix::fs::StatVfsMountFlags::NOSUID) {
        return Some("the file system of temporary files ignores setgid (nosuid)");
    }
    other_group().is_none().then_some("setgid needs root, or a user with a second group")
}

/// A group that this process may give its files to, and does not run with: for root any, for others one of theirs.
fn other_group() -> Option<u32> {
    let own = rustix::process::getegid();
    if rustix::process::geteuid().is_root() {
        return Some(own.as_raw() + 1);
    }
    let groups = rustix::process::getgroups().unwrap();
    groups.into_iter().find(|group| *group != own).map(rustix::process::Gid::as_raw)
}
