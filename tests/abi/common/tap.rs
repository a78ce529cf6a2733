// SPDX-License-Identifier: MIT OR Apache-2.0
//! A listener on a simulated bus: records everything on its socket, in both directions.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

/// Copies the data of a socket to the chip's, and keeps it.
pub fn listen(on: &Path, chip: PathBuf) -> Arc<Mutex<Vec<u8>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = UnixListener::bind(on).unwrap();
    let all = heard.clone();
    thread::spawn(move || {
        for near in listener.incoming() {
            let (near, far) = (near.unwrap(), UnixStream::connect(&chip).unwrap());
            let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
            for (mut from, mut to) in [(near, far), back] {
                let all = all.clone();
                thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(len @ 1..) = from.read(&mut bytes) {
                        all.lock().unwrap().extend(&bytes[..len]);
                        to.write_all(&bytes[..len]).unwrap();
                    }
                });
            }
        }
    });
    heard
}
