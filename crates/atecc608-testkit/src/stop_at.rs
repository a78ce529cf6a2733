// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disturbs a program at one of its steps: kills it, or makes its disk full or read-only from there on
//! (`tests/c/stop_at.c`).

use std::path::{Path, PathBuf};
use std::process::Command;

/// The disturbance at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// SIGKILL before the step. Transfers to a simulated bus on a socket are steps, too.
    Kill,
    /// ENOSPC for this step and each later one that needs space.
    Full,
    /// EROFS for this step and each later one.
    ReadOnly,
}

/// The exit status of a killed program.
pub const KILLED: i32 = 137;

/// Runs programs under `stop_at`, one at a time.
#[derive(Clone)]
pub struct StopAt {
    /// The compiled `stop_at`.
    pub program: PathBuf,
    /// The file that lists the steps.
    pub report: PathBuf,
    /// The folders whose files count.
    pub folders: Vec<PathBuf>,
    /// Files whose names start with this are not counted.
    pub spared: &'static str,
}

impl StopAt {
    /// Compiles the program into this folder.
    pub fn compile(folder: &Path) -> Self {
        let program = folder.join("stop_at");
        let size = if cfg!(target_pointer_width = "32") { "-m32" } else { "-m64" };
        let compiled = Command::new("cc")
            .args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&program)
            .args((cfg!(target_arch = "x86_64") || cfg!(target_arch = "x86")).then_some(size))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/c/stop_at.c"))
            .env_remove("LD_PRELOAD")
            .status()
            .expect("a C compiler");
        assert!(compiled.success());
        Self { program, report: folder.join("steps"), folders: Vec::new(), spared: "-" }
    }

    /// The start of a command line, to which the program and its arguments are appended. Step 0 disturbs nothing.
    pub fn command(&self, disturbance: Disturbance, step: usize) -> Command {
        let mode = match disturbance {
            Disturbance::Kill => "kill",
            Disturbance::Full => "full",
            Disturbance::ReadOnly => "readonly",
        };
        let folders: Vec<&str> = self.folders.iter().map(|folder| folder.to_str().unwrap()).collect();
        let mut command = Command::new(&self.program);
        command.arg(&self.report).args([mode, &step.to_string(), &folders.join(":"), self.spared]);
        command
    }

    /// The steps of the last run, such as `rename .state.toml.new`.
    pub fn steps(&self) -> Vec<String> {
        std::fs::read_to_string(&self.report).unwrap().lines().map(str::to_owned).collect()
    }
}

/// The steps to try: all of them if `ATECC608_TEST_STEPS` is `all`, else some of each, drawn from `ATECC608_TEST_SEED`,
/// or from a random seed that is printed.
pub struct Sample(Option<u64>);

impl Sample {
    /// Reads the environment.
    pub fn new() -> Self {
        if std::env::var("ATECC608_TEST_STEPS").is_ok_and(|steps| steps == "all") {
            return Self(None);
        }
        let given = std::env::var("ATECC608_TEST_SEED").ok().map(|seed| seed.parse().expect("ATECC608_TEST_SEED"));
        let seed = given.unwrap_or_else(|| u64::from(getrandom::u32().unwrap()));
        println!("ATECC608_TEST_SEED={seed} repeats it, ATECC608_TEST_STEPS=all tries every step");
        Self(Some(seed))
    }

    /// Returns the steps out of 1 to `last` to try; `some` of them unless all are.
    pub fn of(&mut self, last: usize, some: usize) -> Vec<usize> {
        let Some(seed) = &mut self.0 else { return (1..=last).collect() };
        let mut drawn: Vec<usize> = (0..some.min(last))
            .map(|_| {
                // Knuth's linear congruential generator; only its high bits are good.
                *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                1 + (*seed >> 33) as usize % last
            })
            .collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self::new()
    }
}
