// SPDX-License-Identifier: MIT OR Apache-2.0
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::Mode;

use super::*;

/// Names the work of a helper process: this program again, with the test [`helper_process`] alone.
const HELPER: &str = "ATECC608_FILES_HELPER";
const NAMES: &str = "ATECC608_FILES_PATH";

fn helper(work: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tests::helper_process", "--nocapture"]).env(HELPER, work).env(NAMES, path);
    command.stdout(Stdio::piped());
    command
}

/// Does nothing by itself: other tests run it in a process of their own.
#[test]
fn helper_process() {
    let Ok(work) = std::env::var(HELPER) else { return };
    let path = PathBuf::from(std::env::var_os(NAMES).unwrap());
    match work.as_str() {
        "begin and wait" => {
            let (folder, name) = Folder::containing(&path).unwrap();
            let mut draft = folder.draft(name, 0o600).unwrap();
            draft.write_all(b"half").unwrap();
            println!("begun");
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
        "replace often" => {
            for round in 0..100 {
                replace(&path, format!("{} {round}", std::process::id()).repeat(100).as_bytes(), 0o600).unwrap();
            }
        }
        "create" => {
            let result = create_new(&path, std::process::id().to_string().as_bytes(), 0o600);
            println!("created: {}", result.is_ok());
        }
        "too much" => {
            let error = replace(&path, &[7; 64 << 10], 0o600).unwrap_err();
            println!("failed: {error}");
        }
        "replace" => replace(&path, b"new", 0o640).unwrap(),
        umask => {
            rustix::process::umask(Mode::from_raw_mode(u32::from_str_radix(umask, 8).unwrap()));
            replace(&path.join("file"), b"x", 0o660).unwrap();
            create_new(&path.join("once"), b"x", 0o604).unwrap();
            Folder::make_all(&path.join("parent/folder"), 0o2770).unwrap();
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn modes_are_exact_whatever_the_umask() {
    for umask in ["077", "000"] {
        let dir = tempfile::tempdir().unwrap();
        assert!(helper(umask, dir.path()).status().unwrap().success());
        assert_eq!(mode(dir.path().join("file")), 0o660, "umask {umask}");
        assert_eq!(mode(dir.path().join("once")), 0o604, "umask {umask}");
        assert_eq!(mode(dir.path().join("parent/folder")), 0o2770, "umask {umask}");
        assert_eq!(mode(dir.path().join("parent")), 0o755, "umask {umask}");
        assert_eq!(names(dir.path()), ["file", "once", "parent"]);
    }
}

#[test]
fn a_replaced_file_gets_new_contents_and_the_new_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    replace(&path, b"a long old text", 0o666).unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let before = folder.version("file").unwrap().unwrap();
    let file = folder.replace("file", b"new", 0o600).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(mode(path), 0o600);
    let after = folder.version("file").unwrap().unwrap();
    assert_eq!(Version::of(&file).unwrap(), after);
    assert_ne!(before, after);
    assert_eq!(folder.version("nothing").unwrap(), None);
}

#[test]
fn the_group_of_a_file_can_be_set() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    // A process may give a file to its own group; root may give it to any.
    let group = if rustix::process::geteuid().is_root() { 12345 } else { rustix::process::getegid().as_raw() };
    replace(&path, b"x", Access { mode: 0o2640, owner: None, group: Some(group) }).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().gid(), group);
    assert_eq!(mode(path), 0o2640);
}

#[test]
fn a_link_at_the_target_is_replaced_and_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (elsewhere, path) = (dir.path().join("elsewhere"), dir.path().join("file"));
    fs::write(&elsewhere, b"untouched").unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert_eq!(create_new(&path, b"new", 0o600).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    replace(&path, b"new", 0o600).unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read(elsewhere).unwrap(), b"untouched");
}

#[test]
fn a_link_at_the_temporary_name_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, b"untouched").unwrap();
    symlink(&elsewhere, dir.path().join(".file.new")).unwrap();
    replace(&dir.path().join("file"), b"new", 0o600).unwrap();
    assert_eq!(fs::read(elsewhere).unwrap(), b"untouched");
    assert_eq!(names(dir.path()), [".file.new", "elsewhere", "file"]);
}

#[test]
fn an_existing_file_is_never_overwritten_by_create_new() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    create_new(&path, b"first", 0o600).unwrap();
    assert_eq!(create_new(&path, b"second", 0o600).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"first");
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn one_of_many_processes_creates_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let children: Vec<_> = (0..8).map(|_| helper("create", &path).spawn().unwrap()).collect();
    let pids: Vec<String> = children.iter().map(|child| child.id().to_string()).collect();
    let created: Vec<bool> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8_lossy(&output.stdout).contains("created: true")
        })
        .collect();
    let winners: Vec<&String> = pids.iter().zip(&created).filter(|(_, won)| **won).map(|(pid, _)| pid).collect();
    assert_eq!(winners, [&fs::read_to_string(&path).unwrap()]);
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn writers_in_many_processes_never_take_each_others_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let children: Vec<_> = (0..4).map(|_| helper("replace often", &path).spawn().unwrap()).collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
        let text = fs::read_to_string(&path).unwrap();
        let piece = &text[..text.len() / 100];
        assert_eq!(text, piece.repeat(100), "two writers in one file");
    }
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn what_a_killed_writer_left_is_removed_and_a_living_ones_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    replace(&path, b"old", 0o600).unwrap();
    let mut writer = helper("begin and wait", &path).spawn().unwrap();
    let mut said = BufReader::new(writer.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("begun")));

    replace(&path, b"new", 0o600).unwrap();
    assert_eq!(names(dir.path()), [".file.new", "file"], "its writer lives");
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    replace(&path, b"newer", 0o600).unwrap();
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_no_temporary_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    replace(&path, b"old", 0o600).unwrap();
    // The helper process can't write files of more than 1024 or 2048 bytes (ulimit's blocks differ between shells).
    let limited = helper("too much", &path);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"])
        .arg(limited.get_program())
        .args(limited.get_args());
    let output = shell.env(HELPER, "too much").env(NAMES, &path).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("failed: "), "{output:?}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn temporary_names_in_use_are_skipped_until_all_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::create_dir(dir.path().join(".file.new")).unwrap();
    replace(&path, b"old", 0o600).unwrap();
    (2..=100).for_each(|number| fs::create_dir(dir.path().join(format!(".file.new-{number}"))).unwrap());
    assert_eq!(replace(&path, b"new", 0o600).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"old");
}

#[test]
fn a_rename_that_fails_leaves_no_temporary_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("name")).unwrap();
    assert!(replace(&dir.path().join("name"), b"x", 0o600).is_err());
    assert_eq!(names(dir.path()), ["name"]);
}

#[test]
fn a_dropped_draft_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    drop(folder.draft("file", 0o600).unwrap());
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_folder_that_is_a_link_is_followed_only_where_a_path_may_name_one() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    assert!(Folder::open(&link).is_err());
    let parent = Folder::open(dir.path()).unwrap();
    assert!(parent.folder("link").is_err());
    assert!(parent.make("link", 0o700).is_err());
    Folder::follow(&link).unwrap().replace("one", b"x", 0o600).unwrap();
    replace(&link.join("two"), b"x", 0o600).unwrap();
    assert_eq!(names(&real), ["one", "two"]);
}

#[test]
fn a_folder_that_is_there_keeps_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("folder");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o711)).unwrap();
    Folder::make_all(&path, 0o700).unwrap();
    let again = Folder::open(dir.path()).unwrap().make("folder", 0o700).unwrap();
    assert_eq!(again.metadata().unwrap().permissions().mode() & 0o7777, 0o711);
    assert_eq!(mode(path), 0o711);
}

#[test]
fn names_do_not_leave_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    for name in ["", ".", "..", "a/b", "../x", "/x"] {
        assert_eq!(folder.replace(name, b"x", 0o600).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        assert_eq!(folder.file(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        assert_eq!(folder.rename("file", name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
    assert_eq!(replace(Path::new("/"), b"x", 0o600).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_file_is_renamed_and_removed_and_no_other_is_lost_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    folder.create_new("one", b"1", 0o600).unwrap();
    folder.create_new("two", b"2", 0o600).unwrap();
    assert_eq!(folder.rename("one", "two").unwrap_err().kind(), ErrorKind::AlreadyExists);
    folder.rename("one", "three").unwrap();
    folder.remove("two").unwrap();
    assert_eq!(names(dir.path()), ["three"]);
    assert_eq!(fs::read(dir.path().join("three")).unwrap(), b"1");
}

/// The order of the system calls makes the write durable; only strace can show it.
#[test]
fn the_file_is_synced_before_the_rename_and_the_folder_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let traced = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !traced(Command::new("strace").arg("-o").arg(&trace).arg("true")) {
        eprintln!("not tested: strace is not installed, or may not trace here");
        return;
    }
    let path = dir.path().join("file");
    let helper = helper("replace", &path);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2", "-o"])
        .arg(&trace)
        .arg(helper.get_program());
    assert!(traced(command.args(helper.get_args()).env(HELPER, "replace").env(NAMES, &path)));
    let calls = fs::read_to_string(&trace).unwrap();
    let at = |what: &str| {
        let line = calls.lines().position(|line| line.contains(what));
        line.unwrap_or_else(|| panic!("no {what} in {calls}"))
    };
    let folder = dir.path().display();
    let file_synced = calls.lines().position(|line| line.contains("fsync(") && line.contains("/.file.new>"));
    let folder_synced = calls.lines().position(|line| line.contains("fsync(") && line.contains(&format!("{folder}>")));
    let renamed = at("\".file.new\"");
    assert!(file_synced.is_some_and(|synced| synced < renamed), "{calls}");
    assert!(folder_synced.is_some_and(|synced| synced > renamed), "{calls}");
}

#[test]
fn only_a_regular_file_with_one_name_is_opened_and_nothing_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("file"), b"x").unwrap();
    assert_eq!(folder.file("file").unwrap().metadata().unwrap().len(), 1);
    assert!(folder.lock_file("file", 0o660).is_ok());
    symlink(path("file"), path("link")).unwrap();
    assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    fs::create_dir(path("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    for name in ["link", "pipe", "folder", "socket"] {
        assert!(folder.file(name).is_err(), "{name}");
        assert!(folder.lock_file(name, 0o660).is_err(), "{name}");
    }
    fs::hard_link(path("file"), path("second name")).unwrap();
    for name in ["file", "second name"] {
        assert!(folder.file(name).unwrap_err().to_string().contains("hard link"));
        assert!(folder.lock_file(name, 0o660).unwrap_err().to_string().contains("hard link"));
    }
}

#[test]
fn a_lock_file_is_created_once_and_keeps_its_contents() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::open(dir.path()).unwrap();
    folder.lock_file("lock", 0o660).unwrap().write_all(b"appended").unwrap();
    assert_eq!(mode(dir.path().join("lock")), 0o660);
    fs::set_permissions(dir.path().join("lock"), Permissions::from_mode(0o600)).unwrap();
    let again = folder.lock_file("lock", 0o660).unwrap();
    assert_eq!(again.metadata().unwrap().len(), 8);
    assert_eq!(mode(dir.path().join("lock")), 0o600, "an existing file keeps its mode");
    assert_eq!(names(dir.path()), ["lock"]);
}
