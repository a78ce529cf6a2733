// SPDX-License-Identifier: MIT OR Apache-2.0
//! A container and its host: each has its own device node for one bus, and they share the state folder.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{flock, FlockOperation};
use rustix::process::{kill_process, Pid, Signal};

use crate::support::kernel::Kernel;
use crate::support::{continued, stderr};

/// A container's /dev: its own file system with a device node. Of the host's it has what the test's files may be in.
const OWN_DEVICES: &str = r#"
    devices=$1 && shift
    mount -t tmpfs devices "$devices"
    cp -a /dev/null /dev/zero /dev/random /dev/urandom "$devices"
    mknod -m 660 "$devices/i2c-1" c 89 1
    mkdir "$devices/shm"
    mount --bind /dev/shm "$devices/shm"
    mount --move "$devices" /dev
    exec "$@"
"#;

/// The tool in a mount namespace with its own /dev/i2c-1.
fn contained(kernel: &Kernel, name: &str, arguments: &[&str]) -> Command {
    let devices = kernel.bench.path(name);
    std::fs::create_dir(&devices).unwrap();
    let tool = kernel.command(arguments);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-euc", OWN_DEVICES, "sh"]).arg(devices).arg(tool.get_program());
    continued(command, &tool)
}

#[test]
fn two_containers_with_nodes_of_their_own_keep_each_other_out() {
    let kernel = Kernel::new();
    let may = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("not tested: this user may not make mount namespaces");
        return;
    }
    let first = contained(&kernel, "first", &["info"]).output().unwrap();
    assert!(first.status.success(), "{first:?}");
    let lock = File::open(kernel.bench.path("state/i2c-1.lock")).expect("the lock is named by the device's number");

    // The chip does not respond, so the process that has the bus keeps it.
    let server = Pid::from_raw(kernel.server().try_into().unwrap()).unwrap();
    kill_process(server, Signal::STOP).unwrap();
    let holder = contained(&kernel, "holder", &["info"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
        flock(&lock, FlockOperation::Unlock).unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "nobody takes the lock");
        std::thread::sleep(Duration::from_millis(1));
    }
    let config = std::fs::read_to_string(kernel.bench.path("config.toml")).unwrap();
    std::fs::write(kernel.bench.path("config.toml"), format!("lock_timeout = 0.1\n{config}")).unwrap();
    let other = contained(&kernel, "other", &["info"]).output().unwrap();
    kill_process(server, Signal::CONT).unwrap();
    assert!(!other.status.success(), "{other:?}");
    assert!(stderr(&other).contains("state/i2c-1.lock has been locked for "), "{other:?}");
    let holder = holder.wait_with_output().unwrap();
    assert!(holder.status.success(), "{holder:?}");
    let next = contained(&kernel, "next", &["info"]).output().unwrap();
    assert!(next.status.success(), "{next:?}");
}
