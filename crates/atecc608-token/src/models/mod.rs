// SPDX-License-Identifier: MIT OR Apache-2.0
//! Models of the data shared by the threads of one process: the queue (`fair.rs`) and the posted snapshot
//! (`posted.rs`), compiled a second time with shuttle's locks (`models::sync`). Shuttle runs few threads in thousands
//! of interleavings; a deadlock is a failure, and so is a failed check. A failure prints its schedule for
//! `shuttle::replay`.
//!
//! Locks between processes are the kernel's (flock, F_OFD_SETLK): they are not modelled, but tested (`bus/arrival.rs`,
//! `bus/lock.rs`, scripts/fairness.sh).

#[allow(clippy::duplicate_mod, reason = "the same source on other locks")]
#[path = "../fair.rs"]
mod fair;
#[allow(clippy::duplicate_mod, reason = "the same source on other locks")]
#[path = "../posted.rs"]
mod posted;
mod sync;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::thread;

use crate::deadline::Deadline;
use fair::FairMutex;
use posted::Posted;

/// The number of interleavings of each kind in a model; scripts/soak/models.sh sets a larger one.
const VARIABLE: &str = "ATECC608_TEST_INTERLEAVINGS";
const INTERLEAVINGS: usize = 400;
/// Maximum number of thread switches that lead to a failure: shuttle's PCT finds one of this depth with a known
/// probability.
const DEPTH: usize = 3;

fn check(model: impl Fn() + Send + Sync + Clone + 'static) {
    let count = std::env::var(VARIABLE).map_or(INTERLEAVINGS, |count| count.parse().unwrap());
    shuttle::check_random(model.clone(), count);
    shuttle::check_pct(model, count, DEPTH);
}

fn never() -> Deadline {
    Deadline::after(Duration::MAX)
}

/// A deadline that may pass at any moment while it is waited for ([`sync`]).
fn at_any_moment() -> Deadline {
    Deadline::after(Duration::from_secs(1))
}

/// The data that the queue protects: whether a thread is in it, and the turns so far.
#[derive(Default)]
struct Protected {
    occupied: bool,
    turns: Vec<TurnTaken>,
}

struct TurnTaken {
    thread: usize,
    /// How many threads waited when it started.
    waiting: usize,
}

type Queue = FairMutex<Protected>;

fn free_queue() -> Arc<Queue> {
    Arc::new(FairMutex::new(Protected::default()))
}

/// A turn, during which the others run.
fn take_turn(protected: &mut Protected, thread: usize, waiting: usize) {
    assert!(!protected.occupied, "two have the turn at once");
    protected.occupied = true;
    protected.turns.push(TurnTaken { thread, waiting });
    thread::yield_now();
    protected.occupied = false;
}

/// Starts a thread for each number, and joins all.
fn run_threads<S: Send + Sync + 'static>(shared: &Arc<S>, count: usize, work: fn(&S, usize)) {
    let threads: Vec<_> = (0..count)
        .map(|number| {
            let shared = Arc::clone(shared);
            thread::spawn(move || work(&shared, number))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Asserts that a queue without threads is free and consistent.
fn assert_at_rest(queue: &Queue) {
    assert_eq!(queue.waiting(), 0);
    assert!(!queue.try_lock().unwrap().occupied);
    assert!(queue.lock(never()).is_some());
}

#[test]
fn a_waiter_waits_for_at_most_one_turn_of_each_other_thread() {
    check(|| {
        let queue = free_queue();
        run_threads(&queue, 4, |queue, number| {
            for _ in 0..3 {
                let mut protected = queue.lock(never()).unwrap();
                let waiting = queue.waiting();
                take_turn(&mut protected, number, waiting);
            }
        });
        assert_at_rest(&queue);
        let turns = &queue.lock(never()).unwrap().turns;
        assert_eq!(turns.len(), 12);
        // The waiting threads get the next turns, one each, and the thread with the present turn comes after them.
        for (at, turn) in turns.iter().enumerate() {
            let next: BTreeSet<_> = turns[at..=at + turn.waiting].iter().map(|turn| turn.thread).collect();
            assert_eq!(next.len(), turn.waiting + 1, "somebody went ahead of a thread that waited");
        }
    });
}

#[test]
fn waiters_get_their_turns_in_the_order_of_arrival() {
    check(|| {
        let queue = free_queue();
        let first = queue.lock(never()).unwrap();
        let mut threads = Vec::new();
        for number in 0..3 {
            let in_line = Arc::clone(&queue);
            threads.push(thread::spawn(move || take_turn(&mut in_line.lock(never()).unwrap(), number, 0)));
            while queue.waiting() <= number {
                thread::yield_now();
            }
        }
        let late = Arc::clone(&queue);
        threads.push(thread::spawn(move || {
            if let Some(mut protected) = late.try_lock() {
                take_turn(&mut protected, 3, 0);
            }
            take_turn(&mut late.lock(never()).unwrap(), 4, 0);
        }));
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_at_rest(&queue);
        let turns: Vec<_> = queue.lock(never()).unwrap().turns.iter().map(|turn| turn.thread).collect();
        let late: Vec<_> = turns.iter().filter(|thread| **thread >= 3).collect();
        assert_eq!(turns[..3], [0, 1, 2], "{turns:?}");
        assert!(late == [&4] || late == [&3, &4], "{turns:?}");
    });
}

#[test]
fn a_waiter_whose_deadline_passes_takes_neither_a_turn_nor_the_place_of_another_with_it() {
    check(|| {
        let queue = free_queue();
        run_threads(&queue, 4, |queue, number| {
            for _ in 0..2 {
                // Half of them can wait, and must get their turns.
                let deadline = if number % 2 == 0 { never() } else { at_any_moment() };
                match queue.lock(deadline) {
                    Some(mut protected) => take_turn(&mut protected, number, 0),
                    None => assert_eq!(number % 2, 1, "a deadline passed that is none"),
                }
            }
        });
        assert_at_rest(&queue);
        let protected = queue.lock(never()).unwrap();
        assert_eq!(protected.turns.iter().filter(|turn| turn.thread % 2 == 0).count(), 4);
    });
}

#[test]
fn a_thread_that_calls_try_lock_disturbs_no_other() {
    check(|| {
        let queue = free_queue();
        run_threads(&queue, 3, |queue, number| {
            for _ in 0..3 {
                let protected = if number == 0 { queue.try_lock() } else { queue.lock(never()) };
                if let Some(mut protected) = protected {
                    take_turn(&mut protected, number, 0);
                }
            }
        });
        assert_at_rest(&queue);
        let protected = queue.lock(never()).unwrap();
        assert_eq!(protected.turns.iter().filter(|turn| turn.thread > 0).count(), 6);
    });
}

#[test]
fn a_holder_that_panics_gives_its_turn_to_the_next() {
    check(|| {
        let queue = free_queue();
        run_threads(&queue, 3, |queue, number| {
            let turn = || {
                let mut protected = queue.lock(never()).unwrap();
                take_turn(&mut protected, number, 0);
                if number < 2 {
                    std::panic::resume_unwind(Box::new("on purpose"));
                }
            };
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(turn));
            assert_eq!(ended.is_err(), number < 2);
        });
        assert_at_rest(&queue);
        assert_eq!(queue.lock(never()).unwrap().turns.len(), 3);
    });
}

#[test]
fn a_reader_has_a_whole_snapshot_never_an_older_one_and_no_change_is_lost() {
    const CHANGES: u32 = 3;
    check(|| {
        let board = Arc::new(Posted::new((0_u32, 0_u32)));
        run_threads(&board, 4, |board, number| {
            let mut last = 0;
            for _ in 0..CHANGES {
                if number < 2 {
                    board.change(|value| {
                        value.0 += 1;
                        thread::yield_now();
                        value.1 += 1;
                    });
                }
                let read = board.get();
                if shuttle::rand::thread_rng().gen() {
                    thread::yield_now();
                }
                assert_eq!(read.0, read.1, "half of a change");
                assert!(read.0 >= last, "{} after {last}", read.0);
                last = read.0;
            }
        });
        assert_eq!(*board.get(), (2 * CHANGES, 2 * CHANGES));
    });
}
