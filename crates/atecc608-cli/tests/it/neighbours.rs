// SPDX-License-Identifier: MIT OR Apache-2.0
//! Root and members of the group share a state folder: a hostile member replaces what root opens there, and members use
//! each other's files. Run as several Unix users; in `tests/kernel/neighbours.sh` under the kernel's rules for sticky
//! folders (`fs.protected_regular`), which may be off on the build machine.

use std::fs;
use std::os::unix::fs::{chown, symlink, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::fs::{flock, FlockOperation};

use crate::support::kernel::Kernel;
use crate::support::{continued, copy_for_others, run_as, stderr, Bench};

/// The group that shares the state folder.
const GROUP: u32 = 4242;
/// A member of it.
const MEMBER: u32 = 4711;
/// Another one.
const ANOTHER: u32 = 4712;
const ROOT: u32 = 0;

/// Longer than any command takes here, shorter than a pipe without a writer.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Whether two more users are available; otherwise prints the reason.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not tested: only root can run programs of two users");
    }
    is_root
}

/// A provisioned chip whose state folder root has made and given to the group.
fn bench() -> Bench {
    let bench = Bench::new();
    fs::remove_dir(bench.path("state")).unwrap();
    bench.provision();
    let given = |name: PathBuf, mode| {
        chown(&name, None, Some(GROUP)).unwrap();
        fs::set_permissions(name, PermissionsExt::from_mode(mode)).unwrap();
    };
    given(chip_folder(&bench).join("state.toml"), 0o660);
    given(chip_folder(&bench), 0o2770);
    given(bench.path("state"), 0o3770);
    bench
}

fn chip_folder(bench: &Bench) -> PathBuf {
    bench.path("state").join(bench.serial())
}

/// What a member does in a folder. Returns whether it succeeded.
fn member(folder: &Path, script: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(folder).uid(MEMBER).gid(GROUP);
    let output = shell.output().unwrap();
    println!("{script}: {output:?}");
    output.status.success()
}

/// A command that must end soon in all cases.
fn at_once(mut command: Command) -> Output {
    let begun = Instant::now();
    let output = command.output().unwrap();
    assert!(begun.elapsed() < AT_ONCE, "{output:?}");
    output
}

fn generate(bench: &Bench) -> Output {
    at_once(bench.command(&["key", "generate", "--slot", "0"]))
}

/// A folder of root's that no other user may change.
fn private_folder(bench: &Bench) -> PathBuf {
    let folder = bench.path("roots");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).unwrap();
    folder
}

fn assert_untouched(folder: &Path) {
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
    assert_eq!(fs::metadata(folder).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_member_can_not_move_the_folder_of_a_chip_away() {
    if !is_root() {
        return;
    }
    let bench = bench();
    assert!(!member(&bench.path("state"), &format!("mv {} aside", bench.serial())));
    assert!(member(&chip_folder(&bench), "touch mine"), "members write in the chip's own folder");
    assert!(generate(&bench).status.success());
}

#[test]
fn root_writes_nothing_through_a_link_in_the_place_of_the_folder_of_a_chip() {
    if !is_root() {
        return;
    }
    let bench = bench();
    let target = private_folder(&bench);
    // The member created it first.
    fs::remove_dir_all(chip_folder(&bench)).unwrap();
    assert!(member(&bench.path("state"), &format!("ln -s {} {}", target.display(), bench.serial())));
    let output = generate(&bench);
    assert!(!output.status.success());
    assert!(stderr(&output).contains(&bench.serial()), "{output:?}");
    assert_untouched(&target);
}

#[test]
fn what_is_no_file_of_its_own_in_the_place_of_the_state_is_an_error_at_once_and_nothing_is_changed() {
    if !is_root() {
        return;
    }
    for script in [
        "ln -s $TARGET/state.toml state.toml",
        "ln -s /dev/zero state.toml",
        "mkfifo state.toml",
        "mkdir state.toml",
        "cat state.toml.mine > mine && ln mine state.toml",
    ] {
        let bench = bench();
        let (target, slot) = (private_folder(&bench), bench.image().slot(0).to_vec());
        let folder = chip_folder(&bench);
        let file = folder.join("state.toml");
        assert!(member(&folder, "mv state.toml state.toml.mine"));
        assert!(member(&folder, &script.replace("$TARGET", &target.display().to_string())));
        let inode = fs::symlink_metadata(&file).unwrap().ino();
        let output = generate(&bench);
        assert!(!output.status.success(), "{script}");
        assert!(stderr(&output).contains(&file.display().to_string()), "{script}: {output:?}");
        assert_eq!(fs::symlink_metadata(&file).unwrap().ino(), inode, "{script}");
        assert_untouched(&target);
        assert_eq!(bench.image().slot(0), slot, "{script}: no key was generated");
    }
}

#[test]
fn a_link_at_the_name_of_a_temporary_file_is_not_followed() {
    if !is_root() {
        return;
    }
    let bench = bench();
    let target = private_folder(&bench);
    let links = "for name in .state.toml.new .state.toml.new-2; do ln -s $TARGET/file $name; done";
    assert!(member(&chip_folder(&bench), &links.replace("$TARGET", &target.display().to_string())));
    assert!(generate(&bench).status.success());
    assert_untouched(&target);
}

#[test]
fn what_is_no_file_in_the_place_of_a_lock_file_is_an_error_at_once() {
    if !is_root() {
        return;
    }
    let kernel = Kernel::new();
    let lock = kernel.bench.path("state").join("i2c-1.lock");
    let info = || at_once(kernel.command(&["info"]));
    assert!(info().status.success());
    assert_eq!(fs::metadata(&lock).unwrap().mode() & 0o7777, 0o660);
    let another = kernel.bench.path("another");
    fs::write(&another, "").unwrap();
    for thing in ["link", "pipe", "folder", "second name"] {
        let _ = fs::remove_file(&lock).or_else(|_| fs::remove_dir(&lock));
        match thing {
            "link" => symlink(&another, &lock).unwrap(),
            "pipe" => assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success()),
            "folder" => fs::create_dir(&lock).unwrap(),
            _ => fs::hard_link(&another, &lock).unwrap(),
        }
        let output = info();
        assert!(!output.status.success(), "{thing}");
        assert!(stderr(&output).contains(&format!("lock file {}", lock.display())), "{thing}: {output:?}");
    }
    assert_eq!(fs::metadata(&another).unwrap().mode() & 0o7777, 0o644, "not made one for the group");
}

/// A chip on /dev/i2c-1 that the group may use, with a state folder as packages make it, and no waiting for the bus.
fn shared() -> Kernel {
    let kernel = Kernel::new();
    let config = kernel.bench.path("config.toml");
    fs::write(&config, format!("lock_timeout = 0\n{}", fs::read_to_string(&config).unwrap())).unwrap();
    let state = kernel.bench.path("state");
    chown(&state, None, Some(GROUP)).unwrap();
    for (name, mode) in [(state, 0o3770), (kernel.bench.path("socket"), 0o666)] {
        fs::set_permissions(name, PermissionsExt::from_mode(mode)).unwrap();
    }
    kernel
}

fn info_as(kernel: &Kernel, user: u32) -> Output {
    let mut info = kernel.command(&["info"]);
    info.env("ATECC608_LOG", "debug");
    run_as(&kernel.bench, &info, user, if user == ROOT { ROOT } else { GROUP })
}

/// What `DynamicUser=yes` with `SupplementaryGroups=` gives a service: a user and group of its own, and the group.
fn service(kernel: &Kernel, user: u32, arguments: &[&str]) {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user.to_string(), "--regid", &user.to_string(), "--groups", &GROUP.to_string()]);
    command.args(["--no-new-privs", "--"]).arg(copy_for_others(&kernel.bench));
    let output = at_once(continued(command, &kernel.command(arguments)));
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[test]
fn services_whose_users_are_new_at_each_start_share_the_state() {
    if !is_root() {
        return;
    }
    let kernel = shared();
    kernel.configure_with_io_key();
    let provisioned = at_once(kernel.command(&["provision", "tls", "--lock-forever", "--unproven"]));
    assert!(provisioned.status.success(), "{provisioned:?}");
    chown(kernel.bench.path("io.key"), None, Some(GROUP)).unwrap();
    for (user, label) in [(61184, "a"), (65519, "b")] {
        service(&kernel, user, &["key", "generate", "--label", label]);
        service(&kernel, user, &["csr", "--key", "a", "--subject", "/CN=x"]);
    }
}

#[test]
fn the_lock_files_of_one_member_are_locked_by_all_others_and_root() {
    if !is_root() {
        return;
    }
    for creator in [MEMBER, ROOT] {
        let kernel = shared();
        let state = kernel.bench.path("state");
        let (lock, queue) = (state.join("i2c-1.lock"), state.join("i2c-1.queue"));
        let identities = || {
            [&lock, &queue].map(|path| {
                let found = fs::metadata(path).unwrap();
                (found.uid(), found.gid(), found.mode() & 0o7777, found.ino())
            })
        };
        assert!(info_as(&kernel, creator).status.success());
        let created = identities();
        assert!(created.iter().all(|file| (file.0, file.1, file.2) == (creator, GROUP, 0o660)), "{created:?}");
        for user in [MEMBER, ANOTHER, ROOT] {
            let free = info_as(&kernel, user);
            assert!(free.status.success(), "user {user}, file of {creator}: {free:?}");
            assert!(!stderr(&free).contains("order of arrival"), "user {user} is not in the queue: {free:?}");

            let holder = fs::File::open(&lock).unwrap();
            flock(&holder, FlockOperation::LockExclusive).unwrap();
            let held = info_as(&kernel, user);
            // Closing is not enough: a child of another test may have a copy.
            flock(&holder, FlockOperation::Unlock).unwrap();
            assert!(!held.status.success(), "user {user} has not locked the file of {creator}");
            assert!(stderr(&held).contains(&format!("{} has been locked", lock.display())), "user {user}: {held:?}");
        }
        assert_eq!(identities(), created, "the same files as before");
    }
}

#[test]
fn a_lock_file_that_another_member_keeps_to_themselves_is_an_error_that_names_it() {
    if !is_root() {
        return;
    }
    let kernel = shared();
    let lock = kernel.bench.path("state/i2c-1.lock");
    assert!(info_as(&kernel, ANOTHER).status.success());
    fs::set_permissions(&lock, PermissionsExt::from_mode(0o600)).unwrap();
    let output = info_as(&kernel, MEMBER);
    assert!(!output.status.success(), "{output:?}");
    assert!(stderr(&output).contains(&format!("lock file {}: Permission denied", lock.display())), "{output:?}");
    // A user who may open it locks it.
    for user in [ANOTHER, ROOT] {
        assert!(info_as(&kernel, user).status.success(), "user {user}");
    }
}

#[test]
fn without_a_queue_file_that_it_may_open_a_member_gets_its_turn_and_a_warning_that_names_it() {
    if !is_root() {
        return;
    }
    let kernel = shared();
    let queue = kernel.bench.path("state/i2c-1.queue");
    assert!(info_as(&kernel, ANOTHER).status.success());
    fs::set_permissions(&queue, PermissionsExt::from_mode(0o600)).unwrap();
    let output = info_as(&kernel, MEMBER);
    assert!(output.status.success(), "{output:?}");
    let warning = format!("lock file {}: Permission denied", queue.display());
    assert!(stderr(&output).lines().any(|line| line.contains(" warn: ") && line.contains(&warning)), "{output:?}");
}
