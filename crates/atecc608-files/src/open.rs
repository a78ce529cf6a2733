// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opens and reads files that other users may have put there: never waits for the other end of a FIFO, never reads more
//! than the caller's limit.
//!
//! [`read`] and [`read_text`] take regular files only: configurations, images, templates. [`open_input`] also takes
//! pipes and terminals, for a path on a command line. [`open_output`] opens logs, devices and pipes for appending.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::fs::{fcntl_getfl, fcntl_setfl, OFlags};
use rustix::io::retry_on_intr;

/// How long to wait for a writer of a pipe.
const WRITER_WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Opens a regular file for reading, without waiting. Links are followed.
///
/// # Errors
/// Any I/O error; `InvalidInput` for anything except a regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // Opening a device may have an effect, and a socket can't be opened: check first.
    ensure(&path.metadata()?, |found| found.is_file())?;
    let file = without_waiting().read(true).open(path)?;
    // The file may have been replaced since the check.
    ensure(&file.metadata()?, |found| found.is_file())?;
    Ok(file)
}

/// Reads a regular file of at most `most` bytes. Links are followed.
///
/// # Errors
/// As [`open`]; `FileTooLarge` for more than `most` bytes.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    read_to(&open(path)?, most, &mut contents)?;
    Ok(contents)
}

/// Reads a regular file of at most `most` bytes of UTF-8. Links are followed.
///
/// # Errors
/// As [`read`]; `InvalidData` if the bytes are not UTF-8.
pub fn read_text(path: &Path, most: usize) -> io::Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not text in UTF-8"))
}

/// Appends the rest of `file` to `contents`, at most `most` bytes.
///
/// # Errors
/// Any I/O error; `FileTooLarge` for more than `most` bytes.
pub fn read_to(file: impl Read, most: usize, contents: &mut Vec<u8>) -> io::Result<()> {
    let before = contents.len();
    file.take(most as u64 + 1).read_to_end(contents)?;
    if contents.len() - before <= most {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::FileTooLarge,
        format!("it has more than {most} bytes, the limit for this file. Is it the right file?"),
    ))
}

/// Opens for reading a path that a user names on a command line: a regular file, a pipe (`/dev/stdin`, `<(command)`, a
/// FIFO) or a character device. Waits one second for a writer of a pipe.
///
/// # Errors
/// Any I/O error; `InvalidInput` for a folder, a socket or a block device; `TimedOut` if a pipe has no writer.
pub fn open_input(path: &Path) -> io::Result<File> {
    let can_be_read = |found: &Metadata| {
        let kind = found.file_type();
        kind.is_file() || kind.is_fifo() || kind.is_char_device()
    };
    ensure(&path.metadata()?, can_be_read)?;
    let file = without_waiting().read(true).open(path)?;
    let found = file.metadata()?;
    ensure(&found, can_be_read)?;
    if found.file_type().is_fifo() && is_without_writer(&file)? {
        return Err(io::Error::new(ErrorKind::TimedOut, "no program writes to this pipe: start the writer first"));
    }
    wait_again(&file)?;
    Ok(file)
}

/// Whether a pipe has neither bytes nor a writer after [`WRITER_WAIT`]. A pipe that was written to and closed is at its
/// end, which counts as an event.
fn is_without_writer(pipe: &File) -> io::Result<bool> {
    let mut polled = [PollFd::new(pipe, PollFlags::IN)];
    if retry_on_intr(|| poll(&mut polled, Some(&WRITER_WAIT)))? > 0 {
        return Ok(false);
    }
    // A read fails while there is a writer, and returns the end without one. A byte that arrives at this moment is
    // lost, as the pipe is refused.
    Ok(rustix::io::read(pipe, &mut [0; 1]).is_ok())
}

/// Opens for appending a path that a user names: a regular file, which is created with this mode if missing, a pipe, a
/// character device, or a socket that is the process's own standard output or error (`/dev/stderr` of a service). Links
/// are followed.
///
/// # Errors
/// Any I/O error; `ENXIO` for a FIFO without a reader; `InvalidInput` for a folder or a block device.
pub fn open_output(path: &Path, mode: u32) -> io::Result<File> {
    let can_be_written = |found: &Metadata| {
        let kind = found.file_type();
        kind.is_file() || kind.is_fifo() || kind.is_char_device()
    };
    match path.metadata() {
        Ok(found) if found.file_type().is_socket() => return own_stream(&found),
        Ok(found) => ensure(&found, can_be_written)?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = without_waiting().append(true).create(true).mode(mode).open(path)?;
    ensure(&file.metadata()?, can_be_written)?;
    wait_again(&file)?;
    Ok(file)
}

/// A socket can't be opened by its path, but the process may have it as standard error or output.
fn own_stream(socket: &Metadata) -> io::Result<File> {
    // Not those of std, which have locks and buffers.
    for stream in [rustix::stdio::stderr(), rustix::stdio::stdout()] {
        let open = File::from(stream.try_clone_to_owned()?);
        let found = open.metadata()?;
        if (found.dev(), found.ino()) == (socket.dev(), socket.ino()) {
            return Ok(open);
        }
    }
    Err(not_usable(socket))
}

/// Options with which opening never blocks, and never makes a terminal the process's controlling terminal.
fn without_waiting() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits() as i32);
    options
}

/// Makes reads and writes blocking again. The flag belongs to this open file only.
fn wait_again(file: &File) -> io::Result<()> {
    fcntl_setfl(file, fcntl_getfl(file)? - OFlags::NONBLOCK)?;
    Ok(())
}

fn ensure(found: &Metadata, can_be_used: impl Fn(&Metadata) -> bool) -> io::Result<()> {
    if can_be_used(found) {
        Ok(())
    } else {
        Err(not_usable(found))
    }
}

fn not_usable(found: &Metadata) -> io::Error {
    let kind = found.file_type();
    let what = match () {
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    io::Error::new(ErrorKind::InvalidInput, format!("it is {what} instead of a regular file"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use super::*;

    /// Creates one file of each kind in a folder: regular, FIFO, folder, socket, device, a link to the FIFO, and a file
    /// of a terabyte.
    fn kinds(folder: &Path) -> [PathBuf; 7] {
        let paths = ["file", "fifo", "folder", "socket", "device", "link", "large"].map(|name| folder.join(name));
        std::fs::write(&paths[0], "text").unwrap();
        assert!(Command::new("mkfifo").arg(&paths[1]).status().unwrap().success());
        std::fs::create_dir(&paths[2]).unwrap();
        drop(UnixListener::bind(&paths[3]).unwrap());
        symlink("/dev/zero", &paths[4]).unwrap();
        symlink("fifo", &paths[5]).unwrap();
        File::create(&paths[6]).unwrap().set_len(1 << 40).unwrap();
        paths
    }

    #[test]
    fn only_a_regular_file_up_to_the_limit_is_read_and_all_else_is_named_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let [file, fifo, folder, socket, device, link, large] = kinds(dir.path());
        assert_eq!(read_text(&file, 4).unwrap(), "text");
        for (path, kind) in [(fifo, "FIFO"), (folder, "folder"), (socket, "socket"), (device, "device"), (link, "FIFO")]
        {
            let error = read(&path, 4).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), format!("it is a {kind} instead of a regular file"));
        }
        for path in [&file, &large] {
            let error = read(path, 3).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::FileTooLarge);
            assert!(error.to_string().contains("more than 3 bytes"), "{error}");
        }
        std::fs::write(&file, [0xFF]).unwrap();
        assert_eq!(read_text(&file, 4).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read(&dir.path().join("none"), 4).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn an_input_may_be_a_pipe_that_somebody_writes_to() {
        let dir = tempfile::tempdir().unwrap();
        let [file, fifo, folder, socket, _, link, _] = kinds(dir.path());
        let contents = |path: &Path| {
            let mut contents = Vec::new();
            open_input(path).and_then(|file| read_to(file, 99, &mut contents)).map(|()| contents)
        };
        assert_eq!(contents(&file).unwrap(), b"text");
        assert_eq!(contents(&fifo).unwrap_err().kind(), ErrorKind::TimedOut);
        for path in [folder, socket] {
            assert_eq!(contents(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        // The writer opens the pipe later and writes in parts.
        for path in [&fifo, &link] {
            let mut writer = Command::new("sh").args(["-c", "(echo one; echo two) >\"$0\""]).arg(path).spawn().unwrap();
            assert_eq!(contents(path).unwrap(), b"one\ntwo\n");
            assert!(writer.wait().unwrap().success());
        }
    }

    #[test]
    fn an_output_is_a_file_a_device_or_a_pipe_that_somebody_reads() {
        let dir = tempfile::tempdir().unwrap();
        let [file, fifo, folder, socket, ..] = kinds(dir.path());
        for path in [&file, &dir.path().join("new")] {
            open_output(path, 0o640).unwrap().write_all(b" more").unwrap();
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"text more");
        assert!(open_output(Path::new("/dev/null"), 0o640).unwrap().write_all(b"x").is_ok());
        for path in [folder, socket] {
            assert_eq!(open_output(&path, 0o640).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let no_reader = open_output(&fifo, 0o640).unwrap_err();
        assert_eq!(no_reader.raw_os_error(), Some(rustix::io::Errno::NXIO.raw_os_error()));
        let mut reader = without_waiting().read(true).open(&fifo).unwrap();
        open_output(&fifo, 0o640).unwrap().write_all(b"read").unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "read");
    }

    #[test]
    fn a_services_socket_is_written_to_by_the_name_of_its_standard_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let this = std::env::current_exe().unwrap();
        let mut child = Command::new(this);
        child.args(["--exact", "open::tests::helper_process", "--nocapture"]).env("OPEN_TEST_HELPER", "1");
        let status = child.stdout(Stdio::null()).stderr(std::os::fd::OwnedFd::from(theirs)).status().unwrap();
        drop(child);
        assert!(status.success());
        let mut written = String::new();
        (&ours).read_to_string(&mut written).unwrap();
        assert!(written.contains("by its name"), "{written}");
    }

    #[test]
    fn helper_process() {
        if std::env::var_os("OPEN_TEST_HELPER").is_some() {
            open_output(Path::new("/dev/stderr"), 0o640).unwrap().write_all(b"by its name").unwrap();
        }
    }
}
