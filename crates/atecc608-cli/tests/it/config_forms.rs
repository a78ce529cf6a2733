// SPDX-License-Identifier: MIT OR Apache-2.0
//! A configuration in the usual forms: `config diff`, `check` and `set` read all of them, and name the place of what
//! they can't read.

use std::fmt::Write;
use std::process::Command;

use crate::support::{hex, stderr, stdout, Bench};
use atecc608_sim::Profile;

/// A chip with a configuration of its own, and its 128 bytes in the file `raw.bin`.
fn with_bytes() -> (Bench, Vec<u8>) {
    let bench = Bench::with_chip(Profile::MongooseOs);
    let bytes = bench.image().config().to_vec();
    std::fs::write(bench.path("raw.bin"), &bytes).unwrap();
    (bench, bytes)
}

/// What a command line of another tool prints.
fn made_with(bench: &Bench, line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).current_dir(bench.dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    stdout(&output)
}

#[track_caller]
fn is_the_chips(bench: &Bench, name: &str, contents: &[u8]) {
    std::fs::write(bench.path(name), contents).unwrap();
    let report = bench.json(&["config", "diff", name]);
    assert_eq!(report["differs"], false, "{name}: {report:#}\n{}", String::from_utf8_lossy(contents));
    // All of it is read: another value for the first slot's configuration is a difference.
    let other = bench.json(&["config", "diff", name, "profile:tls"]);
    assert_eq!(other["differs"], true, "{name}");
}

#[test]
fn the_bytes_themselves_are_read_with_and_without_the_factorys() {
    let (bench, bytes) = with_bytes();
    is_the_chips(&bench, "whole", &bytes);
    is_the_chips(&bench, "from-16", &bytes[16..]);
    for (len, count) in [(127, "it has 127"), (0, "it has 0"), (129, "it has 129")] {
        std::fs::write(bench.path("bad"), &[&bytes[..], &[0]].concat()[..len]).unwrap();
        let said = stderr(&bench.run(&["config", "check", "bad"]));
        assert!(said.contains("bad: ") && said.contains("128 bytes") && said.contains(count), "{said}");
    }
}

#[test]
fn dumps_of_other_peoples_tools_are_read() {
    let (bench, _) = with_bytes();
    for line in [
        "od -A x -t x1 -v raw.bin",
        "od -A d -t x1 -v raw.bin",
        "od -A o -t x1 raw.bin",
        "od -A x -t x1z -v -w8 raw.bin | cut -d'>' -f1",
        "python3 -c \"print(list(open('raw.bin','rb').read()))\"",
        "python3 -c \"print([hex(b) for b in open('raw.bin','rb').read()])\"",
        "python3 -c \"print(open('raw.bin','rb').read().hex())\"",
        "python3 -c \"print(open('raw.bin','rb').read().hex(':'))\"",
        "python3 -c \"print(open('raw.bin','rb').read().hex('-',4))\"",
        "python3 -c \"import json;print(json.dumps(['%02X'%b for b in open('raw.bin','rb').read()]))\"",
        "od -A n -t x1 -v raw.bin",
    ] {
        let text = made_with(&bench, line);
        is_the_chips(&bench, "dump", text.as_bytes());
        is_the_chips(&bench, "windows", text.replace('\n', "\r\n").as_bytes());
    }
}

/// The output of xxd and hexdump, which not every machine has.
#[test]
fn the_column_of_characters_beside_a_dump_is_left_out() {
    let (bench, bytes) = with_bytes();
    let shown = |row: &[u8]| -> String {
        row.iter().map(|b| if (0x20..0x7F).contains(b) { char::from(*b) } else { '.' }).collect()
    };
    let (mut xxd, mut canonical, mut narrow, mut grouped) =
        (String::new(), String::new(), String::new(), String::new());
    for (number, row) in bytes.chunks(16).enumerate() {
        let pairs: Vec<String> = row.chunks(2).map(|pair| format!("{:02x}{:02x}", pair[0], pair[1])).collect();
        writeln!(xxd, "{:08x}: {}  {}", 16 * number, pairs.join(" "), shown(row)).unwrap();
        let half = |row: &[u8]| row.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
        let (first, second) = (half(&row[..8]), half(&row[8..]));
        writeln!(canonical, "{:08x}  {first}  {second}  |{}|", 16 * number, shown(row)).unwrap();
        writeln!(grouped, "{:02x}: {first}  {second}    {}", 16 * number, shown(row)).unwrap();
        for (at, byte) in row.iter().enumerate() {
            writeln!(narrow, "{:03}: {byte:02X}", 16 * number + at).unwrap();
        }
    }
    canonical += "00000080\n";
    for text in [&xxd, &canonical, &narrow, &grouped, &xxd.replace(" \n", "\n")] {
        is_the_chips(&bench, "dump", text.as_bytes());
    }
    let from_16: String = narrow.lines().skip(16).map(|line| format!("{line}\n")).collect();
    is_the_chips(&bench, "from-16", from_16.as_bytes());
    // xxd -a and hexdump -C abbreviate a row that equals the row before.
    bench.tamper(|config| config[96..128].copy_from_slice(&[0x3C, 0x00].repeat(16)));
    let rows: Vec<&str> = xxd.lines().take(6).collect();
    let repeated =
        format!("{}\n00000060: {}  {}\n*\n00000080\n", rows.join("\n"), "3c00 ".repeat(8).trim(), "<.".repeat(8));
    is_the_chips(&bench, "repeated", repeated.as_bytes());
    let lost = xxd.replacen("00000020", "00000030", 1);
    std::fs::write(bench.path("lost"), lost).unwrap();
    let said = stderr(&bench.run(&["config", "check", "lost"]));
    assert!(said.contains("lost: line 3: offset \"00000030\": expected 32 (0x20)"), "{said}");
}

#[test]
fn arrays_of_programs_are_read_with_their_declarations_and_comments() {
    let (bench, bytes) = with_bytes();
    let all: Vec<String> = bytes.iter().map(|b| format!("0x{b:02X}")).collect();
    let c = format!(
        "// Made by hand.\n/* The chip's 128 bytes,\n   0xFF is not one of them */\n#include <stdint.h>\n\
         static const uint8_t config[128] = {{\n  {}, // 16: address 0xC0\n  {}\n}};\n",
        all[..17].join(", "),
        all[17..].join(",\n  /* next */ ")
    );
    is_the_chips(&bench, "config.h", c.as_bytes());
    let nested: Vec<String> = all.chunks(4).map(|word| format!("{{ {} }}", word.join(", "))).collect();
    is_the_chips(&bench, "nested.c", format!("uint8_t words[32][4] = {{\n{}\n}};", nested.join(",\n")).as_bytes());
    let python = format!("CONFIG = bytearray([\n    {},  # from byte 16\n])\n", all[16..].join(",\n    "));
    is_the_chips(&bench, "config.py", python.as_bytes());
    let said = |text: &str| {
        std::fs::write(bench.path("bad.c"), text).unwrap();
        stderr(&bench.run(&["config", "check", "bad.c"]))
    };
    let with_name = said(&c.replace("0xC0, //", "ADDRESS << 1, //"));
    assert!(with_name.contains("bad.c: line 6: \"ADDRESS\": expected a byte as 0xC0 or 192"), "{with_name}");
}

/// Microchip's own samples count slots in hexadecimal, and name a 508's fields differently.
fn xml(bytes: &[u8]) -> String {
    let spaced = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(" ");
    let list = |name: &str, at: usize| {
        let slots = bytes[at..at + 32].chunks(2).enumerate();
        let slots: String = slots
            .map(|(slot, word)| format!("    <!-- slot --><{name} Index=\"{slot:X}\">{}</{name}>\n", spaced(word)))
            .collect();
        format!("  <{name}s Size=\"16\">\n{slots}  </{name}s>\n")
    };
    let one = |name: &str, at: usize, len: usize| {
        format!("  <{name} Size=\"{len}\">{}</{name}>\n", spaced(&bytes[at..at + len]))
    };
    [
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<ATECC608A xmlns=\"https://www.microchip.com/schema\">\n<Device>\n\
         <ConfigurationZone>\n  <SN01>01 23</SN01>\n  <SN8>EE</SN8>\n  <AESEnable>61</AESEnable>\n"
            .to_owned(),
        one("I2CAddress", 16, 1),
        "  <Reserved Address=\"17\" Size=\"1\">00</Reserved>\n".to_owned(),
        one("CountMatch", 18, 1),
        one("ChipMode", 19, 1),
        list("SlotConfiguration", 20),
        one("Counter0", 52, 8),
        one("Counter1", 60, 8),
        one("UseLock", 68, 1),
        one("VolatileKeyPermission", 69, 1),
        one("SecureBoot", 70, 2),
        one("KdfIvLoc", 72, 1),
        one("KdfIvStr", 73, 2),
        "  <Reserved Address=\"75\" Size=\"9\">".to_owned() + &spaced(&bytes[75..84]) + "</Reserved>\n",
        one("UserExtra", 84, 1),
        one("UserExtraAdd", 85, 1),
        one("SlotLocked", 88, 2),
        one("ChipOptions", 90, 2),
        one("X509format", 92, 4),
        list("KeyConfiguration", 96),
        "</ConfigurationZone>\n<DataZone><Slot Index=\"0\">secret</Slot></DataZone>\n</Device>\n</ATECC608A>\n".to_owned(),
    ]
    .concat()
}

#[test]
fn the_xml_of_microchips_trust_platform_is_read() {
    let (bench, bytes) = with_bytes();
    let good = xml(&bytes);
    is_the_chips(&bench, "config.xml", good.as_bytes());
    is_the_chips(&bench, "no-name", good.as_bytes());
    let start = good.find("  <UseLock").unwrap();
    let end = good.find("  <UserExtra ").unwrap();
    let last_key_use: Vec<String> = bytes[68..84].iter().map(|b| format!("{b:02X}")).collect();
    let of_508 = format!("{}<LastKeyUse>{}</LastKeyUse>{}", &good[..start], last_key_use.join(" "), &good[end..]);
    let of_508 = of_508.replace("CountMatch", "OTPMode").replace("UserExtraAdd", "Selector");
    let (before, after) = of_508.split_once("  <ChipOptions").unwrap();
    let after = after.split_once("</ChipOptions>\n").unwrap().1;
    let reserved = "<Reserved Address=\"90\" Size=\"2\">00 00</Reserved>";
    is_the_chips(&bench, "508.xml", format!("{before}{reserved}{after}").as_bytes());
    for (from, to, problem) in [
        ("</ATECC608A>", "", "bad.xml: not XML: "),
        (
            "<SlotConfiguration Index=\"3\">",
            "<SlotConfiguration Index=\"G\">",
            "line 16: <SlotConfiguration>: expected Index",
        ),
        (
            "<SlotConfiguration Index=\"3\">",
            "<SlotConfiguration Index=\"2\">",
            "line 16: <SlotConfiguration>: an element before",
        ),
        ("<ChipMode Size=\"1\">00", "<ChipMode Size=\"1\">0", "<ChipMode>: expected 2 hex digits"),
        ("<UserExtra ", "<Unknown/><UserExtra ", "<Unknown>: this element is not known here"),
        ("Address=\"75\"", "Address=\"18446744073709551615\"", "<Reserved>: expected Address and Size within 128"),
        ("  <ChipMode Size=\"1\">00</ChipMode>\n", "", "incomplete: no element has byte 19"),
        ("ConfigurationZone>", "Zone>", "expected one element <ConfigurationZone>"),
        ("<?xml version=\"1.0\" encoding=\"utf-8\"?>", "<!DOCTYPE a [<!ENTITY b \"c\">]>", "not XML: "),
    ] {
        assert!(good.contains(from), "{from}");
        std::fs::write(bench.path("bad.xml"), good.replace(from, to)).unwrap();
        let said = stderr(&bench.run(&["config", "check", "bad.xml"]));
        assert!(said.contains(problem), "{problem}: {said}");
    }
}

#[test]
fn a_dump_of_a_508_is_checked_as_what_a_608_makes_of_it() {
    let bench = Bench::with_chip(Profile::Blank508A);
    bench.tamper(|config| {
        config[18] = 0x55;
        config[68..84].fill(0xFF);
    });
    let text = stdout(&bench.run(&["config", "get", "--hex"]));
    std::fs::write(bench.path("508.txt"), text).unwrap();
    let text = stdout(&bench.run(&["config", "check", "508.txt"]));
    for part in [
        "the revision is that of an ATECC508A: this is what the bytes mean on an ATECC608",
        "byte 18 is 0x55: OTPmode of a 508",
        "bytes 68 to 83 are FF: LastKeyUse of a 508",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    // On the 508 itself these bytes are right.
    let text = stdout(&bench.run(&["config", "check"]));
    assert!(!text.contains("of a 508"), "{text}");
}

#[test]
fn addresses_that_are_not_what_they_look_like_are_named() {
    let bench = Bench::new();
    let check = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = bench.image().config().to_vec();
        change(&mut bytes);
        std::fs::write(bench.path("changed"), bytes).unwrap();
        stdout(&bench.run(&["config", "check", "changed"]))
    };
    let seven_bits =
        "byte 16 is 0x60, which looks like an address of 7 bits: the chip would respond at 0x30. For 0x60 write 0xc0";
    assert!(check(&|config| config[16] = 0x60).contains(seven_bits));
    for right in [0xC0, 0x6A, 0x6C, 0x70, 0xB0, 0xC8] {
        assert!(!check(&|config| config[16] = right).contains("7 bits"), "{right:#x}");
    }
    let unused = "user_extra_add is 0x6a, and ChipMode bit 0 is clear";
    assert!(check(&|config| config[85] = 0x6A).contains(unused));
    assert!(!check(&|config| (config[85], config[19]) = (0x6A, 1)).contains(unused));
}

#[test]
fn what_is_the_same_of_many_slots_is_one_line() {
    let bench = Bench::new();
    let mut bytes = bench.image().config().to_vec();
    bytes[96..128].copy_from_slice(&[0x3C, 0x02].repeat(16));
    std::fs::write(bench.path("alike"), &bytes).unwrap();
    let text = stdout(&bench.run(&["config", "check", "alike"]));
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("AuthKey is set without ReqAuth")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    let all: Vec<String> = (0..16).map(|slot| slot.to_string()).collect();
    assert!(lines[0].contains(&format!("slots {}", all.join(", "))), "{}", lines[0]);
    // Programs get one finding for each slot.
    let report = bench.json(&["config", "check", "alike"]);
    let alike = report["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["detail"].as_str().unwrap().contains("AuthKey is set"));
    assert_eq!(alike.count(), 16);
}

#[test]
fn text_that_is_not_utf_8_is_named() {
    let (bench, bytes) = with_bytes();
    let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let utf_16: Vec<u8> = "\u{feff}".encode_utf16().chain(digits.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    std::fs::write(bench.path("utf-16"), utf_16).unwrap();
    assert!(stderr(&bench.run(&["config", "check", "utf-16"])).contains("utf-16: the file is text in UTF-16"));
    is_the_chips(&bench, "with-mark", format!("\u{feff}{digits}").as_bytes());
    let output = bench.run(&["config", "check", "raw.bin", "--format", "toml"]);
    assert!(stderr(&output).contains("raw.bin: the file is not text in UTF-8; for the bytes"), "{}", stderr(&output));
    assert_eq!(hex(&digits), bytes);
}
