// SPDX-License-Identifier: MIT OR Apache-2.0
//! `atecc608 selftest`, `counter` and `random`: functions of the chip without keys.

use crate::support::{control, served, stderr, stdout, Bench};

#[test]
fn the_chip_tests_its_engines_and_a_broken_one_is_named_while_the_others_are_tested_all_the_same() {
    let (bench, _server) = served();
    let passed = bench.json(&["selftest"]);
    assert_eq!((&passed["passed"], passed["tests"].as_array().unwrap().len()), (&true.into(), 5));
    control(&bench, &["faults", "selftest:04"]);
    let output = bench.run(&["selftest"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = stdout(&output);
    assert!(said.contains("ECDSA, sign and verify  FAILED"), "{said}");
    assert_eq!(said.matches(" passed\n").count(), 4, "{said}");
    assert!(said.contains("defective") && said.contains("replace it"), "{said}");
}

#[test]
fn counters_are_shown_and_go_up_by_one_only_when_that_is_asked_for() {
    let bench = Bench::new();
    let blank = bench.run(&["counter", "1", "--increment"]);
    assert_eq!(blank.status.code(), Some(1));
    assert!(stderr(&blank).contains("`atecc608 provision tls`"), "{}", stderr(&blank));
    bench.provision();
    assert_eq!(stdout(&bench.run(&["counter"])), "counter 0  0  (2097151 more)\ncounter 1  0  (2097151 more)\n");
    let counted = bench.json(&["counter", "1", "--increment"]);
    assert_eq!((&counted["counters"][0]["value"], &counted["counters"][0]["left"]), (&1.into(), &2_097_150.into()));
    assert_eq!(stdout(&bench.run(&["counter", "1"])), "counter 1  1  (2097150 more)\n");
    assert_eq!(bench.run(&["counter", "--increment"]).status.code(), Some(2));
    assert_eq!(bench.run(&["counter", "2"]).status.code(), Some(2));
}

#[test]
fn a_counter_that_keys_depend_on_or_that_is_at_its_end_is_not_counted() {
    let bench = Bench::new();
    bench.provision();
    // The last value: fact sheet section 5.6.
    let end = atecc608_wire::config_zone::counter_encode(2_097_151);
    // LimitedUse of slot 3 is bit 5 of the first byte of its SlotConfig.
    bench.tamper(|config| {
        config[60..68].copy_from_slice(&end);
        config[20 + 2 * 3] |= 0x20;
    });
    let before = bench.image();
    for (number, part) in
        [("0", "counter 0 limits the uses of the keys in slots 3"), ("1", "has reached its maximum (2097151)")]
    {
        let output = bench.run(&["counter", number, "--increment"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    assert!(bench.image() == before);
}
