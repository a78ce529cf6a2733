// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 address`: the source of a chip's address, and changing it: with byte 16 while the configuration is not
//! locked, with UpdateExtra once and permanently afterwards, and not if another device uses that address.

use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{channel, Sender};
use std::thread;

use crate::sold::with_chip;
use crate::support::kernel::Kernel;
use crate::support::x509::{ok, openssl};
use crate::support::{stderr, stdout, Bench};
use atecc608_sim::image::Part;
use atecc608_sim::transfer::{write_result, Request, Segment};
use atecc608_sim::{Image, Profile, SimBus, SimChip, Timing};
use atecc608_testkit::master::Master;
use atecc608_testkit::{built, chip};
use atecc608_wire::commands::UpdateExtra;
use atecc608_wire::config_zone::offset;
use serde_json::{json, Value};

const SHOW: [&str; 4] = ["address", "set", "0x61", "--dry-run"];
const SET: [&str; 3] = ["address", "set", "0x61"];
/// The form that earlier versions required.
const OLD: [&str; 4] = ["address", "set", "0x61", "--write"];
const FOREVER: [&str; 4] = ["address", "set", "0x61", "--lock-forever"];

/// Writes an address into the configuration, as the tool says.
fn configure(bench: &Bench, address: &str) {
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    let lines = config.lines().filter(|line| !line.starts_with("address")).map(|line| format!("{line}\n"));
    std::fs::write(bench.path("config.toml"), lines.collect::<String>() + &format!("address = {address}\n")).unwrap();
}

/// Chips on one bus; the first is the configured one, at 0x60.
fn on_bus(images: impl IntoIterator<Item = Image>) -> (Bench, SimBus) {
    let bench = Bench::with_config(|dir| format!("bus = \"unix:{}/socket\"\n", dir.display()));
    let bus = chip::serve_all(images, &bench.path("socket"));
    (bench, bus)
}

/// A chip as `provision tls` leaves it, but for ChipMode bit 0: its address can be changed once.
fn movable() -> Image {
    let mut image = chip::provisioned();
    image.part_mut(Part::Config)[offset::CHIP_MODE] |= 1;
    image
}

/// The message of a command that failed.
#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    stderr(output)
}

fn address_of(bus: &SimBus, number: usize) -> u8 {
    bus.image(number).unwrap().config().i2c_address()
}

fn serial_of(image: &Image) -> String {
    image.config().serial_number().to_string()
}

#[test]
fn it_is_shown_with_the_byte_that_it_comes_from_and_whether_it_can_be_changed() {
    let shown = |bench: &Bench| {
        let report = bench.json(&["address"]);
        ["address", "source", "i2c_address", "user_extra_add", "user_extra_add_is_address", "config_locked", "change"]
            .map(|name| report[name].clone())
            .to_vec()
    };
    let blank = Bench::new();
    assert_eq!(
        json!(shown(&blank)),
        json!(["0x60", "i2c_address", "c0", "00", false, false, "until-locked"]),
        "of the chip {}",
        blank.serial()
    );
    let sold = with_chip(Profile::TngTls);
    assert_eq!(json!(shown(&sold)), json!(["0x35", "i2c_address", "6a", "00", true, true, "once"]));
    ok(&sold.run(&FOREVER));
    configure(&sold, "0x61");
    assert_eq!(json!(shown(&sold)), json!(["0x61", "user_extra_add", "6a", "c2", true, true, "never"]));
    let text = stdout(&sold.run(&["address"]));
    assert!(text.contains("UserExtraAdd (byte 85) is c2") && text.contains("can be written only once"), "{text}");
    blank.provision();
    assert_eq!(json!(shown(&blank)), json!(["0x60", "i2c_address", "c0", "00", false, true, "never"]));
    let text = stdout(&blank.run(&["address"]));
    assert!(text.contains("ChipMode bit 0 clear") && text.contains("multiplexer"), "{text}");
}

#[test]
fn an_invalid_7_bit_address_is_wrong_usage_and_the_message_says_what_to_write() {
    let bench = Bench::new();
    let before = bench.image();
    for (given, said) in [
        ("0xC0", "0xc0 is the 8-bit form; write its 7 bits: 0x60"),
        ("0xd4", "0xd4 is the 8-bit form; write its 7 bits: 0x6a"),
        ("0x00", "the I2C specification reserves 0x00: expected 7 bits in hex digits, 0x08 to 0x77"),
        ("0x07", "reserves 0x07"),
        ("0x78", "reserves 0x78"),
        ("0xF0", "reserves 0xf0"),
        ("60", "60 may mean 0x60, as i2cdetect prints it, or 0x3c: write it with 0x"),
        ("6a", "write it with 0x: 0x6a"),
        ("0x100", "expected 7 bits in hex digits"),
        ("0x", "expected 7 bits in hex digits"),
        ("here", "expected 7 bits in hex digits"),
    ] {
        let output = bench.run(&["address", "set", given]);
        assert_eq!(output.status.code(), Some(2), "{given}: {output:?}");
        assert!(stderr(&output).contains(said), "{given}: {}", stderr(&output));
    }
    assert_eq!(bench.image(), before);
}

#[test]
fn an_address_that_is_also_the_8_bit_form_of_a_usual_one_is_warned_of() {
    let bench = Bench::new();
    let report = bench.json(&["address", "set", "0x6A", "--dry-run"]);
    assert!(report["warnings"][0].as_str().unwrap().contains("8-bit addresses, use 0x35"), "{report:#}");
    assert_eq!(bench.json(&SHOW)["warnings"], json!([]));
}

#[test]
fn an_unlocked_chip_changes_its_address_and_back() {
    let bench = Bench::new();
    let before = bench.image();
    let report = bench.json(&SHOW);
    assert_eq!((&report["result"], &report["permanent"]), (&json!("would-set"), &json!(false)), "{report:#}");
    let text = stdout(&bench.run(&SHOW));
    for part in [
        "- c0 (0x60 in 7 bits)",
        "+ c2 (0x61 in 7 bits)",
        "after its next sleep",
        "To do it: atecc608 address set 0x61\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(bench.image(), before, "shown first");
    let output = bench.run(&FOREVER);
    assert!(refused(&output).contains("leave --lock-forever out") && bench.image() == before, "{output:?}");

    let output = bench.run(&SET);
    ok(&output);
    let file = bench.path("config.toml").display().to_string();
    let line = format!("In {file} write\n\n   address = 0x61\n\ninto the [[token]] with the bus sim:");
    assert!(stdout(&output).contains(&line), "{output:?}");
    assert_eq!(bench.image().config()[16..20], [0xC2, 0, before.config()[18], before.config()[19]]);
    // As long as the configuration names the old address, the error says so.
    let output = bench.run(&["info"]);
    assert!(refused(&output).contains("0x60") && stderr(&output).contains("scan --all-addresses"), "{output:?}");
    configure(&bench, "0x61");
    assert_eq!(bench.json(&["info"])["serial_number"], bench.serial());
    ok(&bench.run(&["address", "set", "0x60"]));
    configure(&bench, "0x60");
    assert_eq!((bench.image(), bench.json(&["address"])["address"].clone()), (before, json!("0x60")));
}

#[test]
fn a_second_address_of_an_unlocked_chip_is_removed_when_an_address_is_set() {
    let mut image = chip::blank();
    let config = image.part_mut(Part::Config);
    (config[offset::CHIP_MODE], config[offset::USER_EXTRA_ADD]) = (0x03, 0x42 << 1);
    let (bench, bus) = on_bus([image]);
    configure(&bench, "0x42");
    ok(&bench.run(&SET));
    configure(&bench, "0x61");
    let config = *bus.image(0).unwrap().config().as_bytes();
    assert_eq!((config[16], config[19], config[85]), (0xC2, 0x02, 0x84));
    assert_eq!(bench.json(&["address"])["source"], "i2c_address");
}

#[test]
fn provisioning_keeps_the_address_and_setting_only_a_profile_names_the_address_of_the_profile() {
    let bench = Bench::new();
    ok(&bench.run(&SET));
    configure(&bench, "0x61");
    let report = bench.json(&["config", "set", "profile:tls", "--dry-run"]);
    assert_eq!(report["new_address"], "0x60");
    bench.provision();
    assert_eq!(bench.image().config()[16], 0xC2);
    assert_eq!(bench.json(&["info"])["profile"], "tls");
    ok(&bench.run(&["key", "generate"]));
    ok(&bench.run(&["csr", "--subject", "/CN=x"]));
    // In the other order it is too late.
    let before = bench.image();
    for more in [&[][..], &["--dry-run"], &["--lock-forever"]] {
        let said = refused(&bench.run(&[&["address", "set", "0x60"], more].concat()));
        for part in ["stays 0x61, permanently", "ChipMode bit 0 clear", "multiplexer", "before it is provisioned"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    assert_eq!(bench.image(), before);
}

#[test]
fn a_locked_chip_moves_once_and_only_with_lock_forever() {
    let bench = with_chip(Profile::TngTls);
    let before = bench.image();
    let text = stdout(&bench.run(&SHOW));
    for part in
        ["user_extra_add", "+ c2 (0x61 in 7 bits; ", "permanently", "address set 0x61 --lock-forever\n", "can undo it"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(bench.json(&SET)["result"], "would-set");
    let output = bench.run(&OLD);
    assert!(refused(&output).contains("add --lock-forever"), "{output:?}");
    assert_eq!(bench.run(&[&FOREVER[..], &["--dry-run"]].concat()).status.code(), Some(2));
    assert_eq!(bench.image(), before);
    let report = bench.json(&FOREVER);
    assert_eq!(
        (&report["result"], &report["permanent"], &report["serial_number"]),
        (&json!("set"), &json!(true), &json!(bench.serial())),
        "{report:#}"
    );
    configure(&bench, "0x61");
    let moved = bench.image();
    assert_eq!((moved.config()[16], moved.config()[85]), (0x6A, 0xC2));
    let again = bench.run(&["address", "set", "0x62", "--lock-forever"]);
    assert!(refused(&again).contains("can be written only once, and it is already c2"), "{again:?}");
    assert_eq!(bench.image(), moved);
    ok(&bench.run(&["csr", "--key", "device", "--subject", "/CN=x"]));
}

#[test]
fn a_chip_that_has_the_address_already_is_left_as_it_is() {
    let kernel = Kernel::new();
    let output = kernel.command(&["address", "set", "0x60"]).output().unwrap();
    ok(&output);
    assert!(
        stdout(&output).contains("has the address 0x60 already") && !stdout(&output).contains("write"),
        "{output:?}"
    );
    let report = kernel.json(&["address", "set", "0x60", "--lock-forever"]);
    assert_eq!((&report["result"], &report["configuration"]), (&json!("already-set"), &Value::Null));
}

#[test]
fn an_address_that_a_device_or_a_driver_has_is_refused_and_the_device_is_only_read() {
    let mut kernel = Kernel::new();
    let before = kernel.bench.image();
    kernel.foreign(0x61);
    kernel.bind(0x62, "lm75");
    for (address, said) in
        [("0x61", "another device responds at 0x61"), ("0x62", "a kernel driver has the address 0x62")]
    {
        for more in [&[][..], &["--dry-run"]] {
            let output = kernel.command(&[&["address", "set", address], more].concat()).output().unwrap();
            assert!(refused(&output).contains(said) && stderr(&output).contains("scan --all-addresses"), "{output:?}");
        }
    }
    assert!(kernel.messages(0x61).iter().all(|message| message == "read 4"), "{:?}", kernel.messages(0x61));
    assert_eq!((kernel.messages(0x62), kernel.bench.image()), (vec![], before));
    // Only these two addresses and the chip's are accessed.
    let asked: Vec<u8> = (1..0x80).filter(|address| !kernel.messages(*address).is_empty()).collect();
    assert_eq!(asked, [0x60, 0x61]);
}

#[test]
fn an_address_that_another_chip_or_another_token_has_is_refused() {
    let (bench, bus) = on_bus([chip::blank(), chip::moved_to(0x61, chip::provisioned())]);
    let output = bench.run(&SET);
    assert!(refused(&output).contains("another chip of the family responds at 0x61"), "{output:?}");
    assert_eq!((address_of(&bus, 0), address_of(&bus, 1)), (0x60, 0x61));

    let bus_line = format!("bus = \"unix:{}\"\n", bench.path("socket").display());
    let two =
        format!("[[token]]\n{bus_line}address = 0x62\nlabel = \"other\"\n[[token]]\n{bus_line}label = \"this\"\n");
    std::fs::write(bench.path("config.toml"), two).unwrap();
    let output = bench.run(&["--token", "this", "address", "set", "0x62"]);
    assert!(refused(&output).contains("another [[token]] at 0x62 on this bus (PKCS#11 slot 0)"), "{output:?}");
    assert_eq!(address_of(&bus, 0), 0x60);
    ok(&bench.run(&["--token", "this", "address", "set", "0x63"]));
    assert_eq!(address_of(&bus, 0), 0x63);
}

#[test]
fn of_two_chips_at_one_address_neither_is_changed() {
    let (bench, bus) = on_bus([chip::blank(), chip::blank()]);
    let output = bench.run(&SET);
    assert!(refused(&output).contains("the reply to Read is damaged"), "{output:?}");
    assert_eq!((address_of(&bus, 0), address_of(&bus, 1)), (0x60, 0x60));
}

#[test]
fn another_model_is_left_alone() {
    let bench = Bench::with_chip(Profile::Blank508A);
    let before = bench.image();
    for arguments in [&["address"][..], &SHOW, &SET, &OLD] {
        assert!(refused(&bench.run(arguments)).contains("not an ATECC608"), "{arguments:?}");
    }
    assert_eq!(bench.image(), before);
}

#[test]
fn the_keys_of_a_chip_that_moved_are_found_and_sign_at_the_new_address() {
    let (bench, bus) = on_bus([movable()]);
    let serial = serial_of(&bus.image(0).unwrap());
    let key = bench.json(&["key", "generate", "--label", "mine"]);
    ok(&bench.run(&FOREVER));
    configure(&bench, "0x61");
    assert_eq!(bench.json(&["info"])["serial_number"], serial);
    let found = bench.json(&["key", "public", "--key", "mine"]);
    assert_eq!(found["public_key"], key["public_key"]);
    ok(&bench.run(&["csr", "--key", "mine", "--subject", "/CN=x", "--output", "r.csr"]));
    assert_eq!(openssl(bench.dir.path(), "req -in r.csr -noout -verify -pubkey"), key["public_key"].as_str().unwrap());
    // And through the module, by GnuTLS, which verifies the signature itself.
    let mut p11tool = Command::new("p11tool");
    p11tool
        .args([&format!("--provider={}", built::module().display()), "--test-sign", "pkcs11:object=mine;type=private"])
        .env("ATECC608_PKCS11_CONF", bench.path("config.toml"));
    let output = p11tool.output().unwrap();
    assert!(output.status.success() && stderr(&output).contains("ok"), "{output:?}");
    // A locked configuration that differs from the profile is named; the address is no difference.
    let again = stderr(&bench.run(&["provision", "tls", "--lock-forever"]));
    assert!(again.contains("differs from it in chip_mode"), "{again}");
    assert!(!again.contains("i2c_address"), "{again}");
}

#[test]
fn a_chip_that_was_left_awake_with_its_new_address_is_found_there() {
    let (bench, bus) = on_bus([movable()]);
    let awake = Master { bus: bus.clone(), address: 0x60 };
    awake.wake();
    assert_eq!(awake.status_on(&UpdateExtra::UserExtraAdd(0xC2)), 0);
    assert!(awake.write(&[0x00]).is_ok(), "still at its old address, for it has not slept");
    let report = bench.json(&FOREVER);
    assert_eq!(
        (&report["result"], &report["serial_number"]),
        (&json!("already-set"), &json!(serial_of(&bus.image(0).unwrap()))),
        "{report:#}"
    );
    assert_eq!(report["configuration"]["line"], "address = 0x61", "{report:#}");
    assert!(report["warnings"][0].as_str().unwrap().contains("nothing responds at 0x60 any more"), "{report:#}");
    // A chip at neither address is reported absent as before.
    let output = bench.run(&["address", "set", "0x62", "--lock-forever"]);
    let said = refused(&output);
    assert!(said.contains("no chip responds at address 0x60") && said.contains("scan --all-addresses"), "{said}");
}

#[test]
fn a_chip_that_was_left_awake_at_its_new_address_is_found_after_its_watchdog_expired() {
    let bench = Bench::with_config(|dir| format!("bus = \"unix:{}/socket\"\n", dir.display()));
    let bus = chip::serve_in_real_time(chip::moved_to(0x61, chip::blank()), &bench.path("socket"));
    Master { bus: bus.clone(), address: 0x61 }.wake();
    let report = bench.json(&SET);
    assert_eq!(
        (&report["result"], &report["serial_number"]),
        (&json!("already-set"), &json!(serial_of(&bus.image(0).unwrap()))),
        "{report:#}"
    );
}

/// What a process under observation has done.
enum Event {
    /// The chip has done the given number of transfers; the last one gets no response.
    Reached,
    /// The process has closed its standard error.
    Ended,
}

/// The bus at a socket. The transfer with this number is done, and gets no response.
fn serve_until(bus: &SimBus, socket: &Path, last: u64, events: Sender<Event>) {
    let (listener, bus) = (UnixListener::bind(socket).unwrap(), bus.clone());
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, bus, events) = (client.unwrap(), bus.clone(), events.clone());
            thread::spawn(move || answer(client, &bus, last, &events));
        }
    });
}

fn answer(mut client: UnixStream, bus: &SimBus, last: u64, events: &Sender<Event>) {
    while let Ok(Some(Request::Transfer(segments))) = Request::read_from(&mut client) {
        let result = bus.transfer(&segments);
        if bus.stats().transfers == last {
            events.send(Event::Reached).unwrap();
            // Until the process has ended.
            let _ = client.read(&mut [0]);
            return;
        }
        if write_result(&mut client, &result, segments.len() as u8).is_err() {
            return;
        }
    }
}

/// Returns the number of transfers of a command on this chip, which is not the caller's afterwards.
fn transfers(image: &Image, arguments: &[&str]) -> u64 {
    let (bench, bus) = on_bus([image.clone()]);
    ok(&bench.run(arguments));
    bus.stats().transfers
}

/// Runs the command, kills it (SIGKILL) at this transfer, and runs it again.
fn killed_at(image: &Image, transfer: u64, arguments: &[&str]) -> (Value, SimBus) {
    let bench = Bench::with_config(|dir| format!("bus = \"unix:{}/first\"\n", dir.display()));
    let bus = SimBus::with_timing(100_000, Timing::Fast);
    bus.add_chip(SimChip::from_image(image.clone()));
    let (sender, events) = channel();
    serve_until(&bus, &bench.path("first"), transfer, sender.clone());
    let mut tool = bench.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = tool.stderr.take().unwrap();
    thread::spawn(move || {
        let _ = said.read_to_end(&mut Vec::new());
        let _ = sender.send(Event::Ended);
    });
    assert!(matches!(events.recv().unwrap(), Event::Reached), "it ended before transfer {transfer}");
    tool.kill().unwrap();
    tool.wait().unwrap();
    // This bus has no watchdog, which ends a conversation that was left at the new address.
    let _ = bus.transfer(&[Segment::Write { address: 0x61, data: vec![0x01] }]);
    serve_until(&bus, &bench.path("second"), 0, channel().0);
    let config = std::fs::read_to_string(bench.path("config.toml")).unwrap();
    std::fs::write(bench.path("config.toml"), config.replace("/first", "/second")).unwrap();
    let again = bench.json(arguments);
    configure(&bench, "0x61");
    assert_eq!(bench.json(&["address"])["address"], "0x61", "transfer {transfer}: {again:#}");
    (again, bus)
}

#[test]
fn a_process_that_is_killed_at_any_transfer_of_the_change_leaves_one_that_the_next_finishes() {
    for (image, arguments) in [(chip::blank(), &SET[..]), (movable(), &FOREVER[..])] {
        // Up to here the two commands do the same: nothing is written.
        let first = transfers(&image, &SHOW);
        let all: Vec<u64> = (first..=transfers(&image, arguments)).collect();
        let mut results = Vec::new();
        for some in all.chunks(6) {
            let image = &image;
            results.extend(thread::scope(|scope| {
                let runs: Vec<_> =
                    some.iter().map(|transfer| scope.spawn(move || killed_at(image, *transfer, arguments))).collect();
                runs.into_iter().map(|run| run.join().unwrap()).collect::<Vec<_>>()
            }));
        }
        for (again, bus) in &results {
            assert_eq!(again["serial_number"], serial_of(&image), "{again:#}");
            assert_eq!(address_of(bus, 0), 0x61);
        }
        let count = |result: &str| results.iter().filter(|(again, _)| again["result"] == result).count();
        let (set, already) = (count("set"), count("already-set"));
        assert!(set > 0 && already > 5 && set + already == results.len(), "{set} and {already} of {}", results.len());
    }
}

#[test]
fn a_chip_that_is_pulled_during_the_change_is_finished_by_the_next_run() {
    for (image, arguments) in [(chip::blank(), &SET[..]), (movable(), &FOREVER[..])] {
        let first = transfers(&image, &SHOW);
        // The command, its response, and the sleep after them.
        for transfer in (first..first + 6).step_by(2) {
            let (bench, bus) = on_bus([image.clone()]);
            bus.set_faults(format!("pull@{transfer}").parse().unwrap());
            let output = bench.run(arguments);
            let said = refused(&output);
            assert!(said.contains("run the same command again") || said.contains("no chip responds"), "{said}");
            bus.set_faults("none".parse().unwrap());
            bus.insert();
            let again = bench.json(arguments);
            assert!(again["result"] == "set" || again["result"] == "already-set", "transfer {transfer}: {again:#}");
            assert_eq!(address_of(&bus, 0), 0x61);
        }
    }
}

#[test]
fn a_chip_that_refuses_update_extra_stays_and_says_so() {
    let (bench, bus) = on_bus([movable()]);
    bus.set_faults("refuse@20:01:0F".parse().unwrap());
    let output = bench.run(&FOREVER);
    let said = refused(&output);
    assert!(said.contains("the chip refused UpdateExtra") && said.contains("stays at 0x60"), "{said}");
    assert_eq!(address_of(&bus, 0), 0x60);
}

#[test]
fn doctor_names_the_command_that_shows_a_chip_at_another_address() {
    let bench = Bench::new();
    ok(&bench.run(&SET));
    let doctor = bench.json(&["doctor"]);
    let wake = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "wake").unwrap();
    assert!(wake["remedy"].as_str().unwrap().contains("atecc608 scan --all-addresses"), "{wake:#}");
    let lines = stdout(&bench.run(&["scan", "--all-addresses"]));
    assert!(lines.contains("0x61  ATECC608B") && lines.contains("address = 0x61"), "{lines}");
}
