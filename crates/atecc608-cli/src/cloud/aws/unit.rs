// SPDX-License-Identifier: MIT OR Apache-2.0
//! A systemd unit for Device Client: restarted on failure, started after the chip's bus, and restricted to what it
//! needs.

use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::device_client;
use crate::cloud::folder::Folder;
use atecc608_token::config::{BusLocation, Config, TokenConfig, CONF_VARIABLE};

/// The file.
pub const FILE: &str = "aws-iot-device-client.service";
/// Its mode: it contains no secret.
pub const MODE: u32 = 0o644;
/// The client's program, and the folder of its own setup script.
const PROGRAM: &str = "aws-iot-device-client";
const USUAL: &str = "/sbin/aws-iot-device-client";

/// The inputs of the unit.
pub struct Service<'a> {
    /// The thing.
    pub thing: &'a str,
    /// Whether the token has a PIN.
    pub has_pin: bool,
    /// The configuration file of the module, if it is not the default one.
    pub config: Option<&'a str>,
    /// The folders that the module may write to: the state folder, and those of a simulated chip.
    pub writable: &'a [PathBuf],
    /// The node of the chip's bus.
    pub node: Option<&'a Path>,
}

/// Returns the folders that the module may write to, and the node that it opens.
pub fn places(config: &Config, token: &TokenConfig) -> (Vec<PathBuf>, Option<PathBuf>) {
    let mut writable = vec![config.state_dir.clone()];
    match &token.bus {
        BusLocation::Linux(node) => return (writable, Some(node.clone())),
        BusLocation::Sim(file) => writable.extend(file.parent().map(Path::to_owned)),
        BusLocation::Unix(_) => {}
    }
    (writable, None)
}

/// Returns the unit, for the user who runs the setup.
pub fn unit(folder: &Folder, service: &Service<'_>) -> String {
    let thing = service.thing;
    let configuration = quoted(&folder.file(device_client::FILE).display().to_string());
    let program = quoted(&program().display().to_string());
    let user = geteuid().as_raw();
    let mut device = String::new();
    let mut bus = String::new();
    if let Some(node) = service.node {
        device = "DevicePolicy=closed\nDeviceAllow=char-i2c rw\n".to_owned();
        if let Some(unit) = device_unit(node) {
            bus = format!(
                "# The udev rule of the package tags the bus for systemd. Without the tag this waits for 90 s and goes on.\n\
                 Wants={unit}\nAfter={unit}\n"
            );
        }
    }
    let environment = environment(service.config);
    let writable: Vec<String> = service.writable.iter().map(|path| quoted(&format!("-{}", path.display()))).collect();
    let writable = writable.join(" ");
    let limit = if service.has_pin {
        "# A wrong PIN ends the client. Each further start fails, too, until the PIN is corrected.\n\
         StartLimitIntervalSec=1h\nStartLimitBurst=3\n"
    } else {
        "StartLimitIntervalSec=0\n"
    };
    format!(
        "# AWS IoT Device Client for the thing {thing}, made by `atecc608 aws setup`:
#
#     sudo install -m 644 {file} /etc/systemd/system/
#     sudo systemctl enable --now {FILE}
[Unit]
Description=AWS IoT Device Client, thing {thing}
Wants=network-online.target
After=network-online.target time-sync.target
{bus}{limit}
[Service]
ExecStart={program} --config-file {configuration}
User={user}
{environment}Environment=HOME=/var/lib/aws-iot-device-client
StateDirectory=aws-iot-device-client
LogsDirectory=aws-iot-device-client
LogsDirectoryMode=0745
Restart=on-failure
RestartSec=10
# While it has no connection it takes up to 15 s to stop.
TimeoutStopSec=30

# What it needs: the network, the chip's bus, the state folder, its own folders. Jobs that change the machine need more: give it to
# them in a drop-in (systemctl edit {FILE}).
{device}ReadWritePaths={writable} -/run/lock
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# The PIN is in this process: it is not written to a core file.
LimitCORE=0

[Install]
WantedBy=multi-user.target
",
        file = folder.file(FILE).display(),
    )
}

/// Returns the client's program: from the search path, else from the folder of its own script.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|folder| folder.join(PROGRAM));
    found.find(|path| path.is_absolute() && path.is_file()).unwrap_or_else(|| PathBuf::from(USUAL))
}

/// Returns the name of a node's device unit, like `systemd-escape --path`.
fn device_unit(node: &Path) -> Option<String> {
    let path = node.to_str()?.trim_matches('/');
    let mut name = String::new();
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name += "\\x2e",
            byte if byte.is_ascii_alphanumeric() || b":_.".contains(&byte) => name.push(char::from(byte)),
            byte => name += &format!("\\x{byte:02x}"),
        }
    }
    Some(name + ".device")
}

/// Returns the line of a unit with the module's configuration, if it is not the default one.
pub fn environment(config: Option<&str>) -> String {
    config.map_or_else(String::new, |config| format!("Environment={}\n", quoted(&format!("{CONF_VARIABLE}={config}"))))
}

/// A value of a unit, in quotes.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('%', "%%").replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: `systemd-escape --path --suffix=device`.
    #[test]
    fn device_units_are_named_as_systemd_does() {
        assert_eq!(device_unit(Path::new("/dev/i2c-1")).unwrap(), r"dev-i2c\x2d1.device");
        assert_eq!(device_unit(Path::new("/dev/secure_element.0")).unwrap(), "dev-secure_element.0.device");
    }
}
