// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the fair mutex with real threads. Every interleaving of few threads: `models`.

use std::thread;
use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::fair::FairMutex;

const SOON: Duration = Duration::from_millis(30);

fn long() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// Returns when this many threads wait.
fn wait_for_waiters<T>(mutex: &FairMutex<T>, count: usize) {
    let start = Instant::now();
    while mutex.waiting() != count {
        assert!(start.elapsed() < Duration::from_secs(10), "there are not {count} waiters");
        thread::yield_now();
    }
}

#[test]
fn threads_get_it_in_the_order_in_which_they_asked() {
    let mutex = FairMutex::new(Vec::new());
    let first = mutex.lock(long()).unwrap();
    thread::scope(|scope| {
        for number in 0..32 {
            let mutex = &mutex;
            scope.spawn(move || mutex.lock(long()).unwrap().push(number));
            wait_for_waiters(mutex, number + 1);
        }
        drop(first);
    });
    assert_eq!(*mutex.lock(long()).unwrap(), (0..32).collect::<Vec<_>>());
}

#[test]
fn a_thread_that_comes_again_at_once_waits_for_the_others() {
    let mutex = FairMutex::new(Vec::new());
    let start = std::sync::Barrier::new(4);
    thread::scope(|scope| {
        for number in 0..4 {
            let (mutex, start) = (&mutex, &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..50 {
                    let mut turns = mutex.lock(long()).unwrap();
                    turns.push(number);
                    // Long enough for all threads to be back in the line when the turn ends.
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
    });
    let turns = mutex.lock(long()).unwrap();
    // After all threads have arrived, and until the first is done, no thread has two turns in a row, unless the machine
    // keeps the three others from the line. An unfair mutex gives nearly all turns to the previous holder.
    let in_a_row = turns[8..160].windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(in_a_row <= 10, "{in_a_row} of 151: {:?}", *turns);
}

#[test]
fn a_waiter_that_gives_up_leaves_the_order_of_the_others() {
    let mutex = FairMutex::new(Vec::new());
    let first = mutex.lock(long()).unwrap();
    thread::scope(|scope| {
        for number in 0..5 {
            let mutex = &mutex;
            let deadline = if number == 2 { Deadline::after(Duration::from_secs(1)) } else { long() };
            scope.spawn(move || match mutex.lock(deadline) {
                Some(mut numbers) => numbers.push(number),
                None => assert_eq!(number, 2),
            });
            wait_for_waiters(mutex, number + 1);
        }
        wait_for_waiters(&mutex, 4);
        drop(first);
    });
    assert_eq!(*mutex.lock(long()).unwrap(), [0, 1, 3, 4]);
}

#[test]
fn a_free_mutex_is_locked_even_after_the_deadline() {
    let mutex = FairMutex::new(());
    assert!(mutex.lock(Deadline::after(Duration::ZERO)).is_some());
}

#[test]
fn try_lock_fails_while_it_is_held_and_while_others_wait() {
    let mutex = FairMutex::new(0);
    let first = mutex.try_lock().unwrap();
    assert!(mutex.try_lock().is_none());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let guard = mutex.lock(long()).unwrap();
            thread::sleep(SOON);
            drop(guard);
        });
        wait_for_waiters(&mutex, 1);
        drop(first);
        // The waiter may not have run yet, but the mutex is reserved for it.
        assert!(mutex.try_lock().is_none());
        waiter.join().unwrap();
    });
    assert!(mutex.try_lock().is_some());
}

#[test]
fn a_holder_that_panics_unlocks_it() {
    let mutex = FairMutex::new(1);
    thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _guard = mutex.lock(long()).unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(holder.join().is_err());
    });
    assert_eq!(*mutex.lock(Deadline::after(SOON)).unwrap(), 1);
}

#[test]
fn a_waiter_whose_time_is_over_does_not_take_the_turn_with_it() {
    // Deadlines that end together with turns: in either order, the next waiter gets the mutex.
    let mutex = FairMutex::new(0_u32);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    if let Some(mut count) = mutex.lock(Deadline::after(Duration::from_micros(300))) {
                        *count += 1;
                        thread::sleep(Duration::from_micros(100));
                    }
                }
            });
        }
    });
    assert!(*mutex.lock(long()).unwrap() > 0);
    assert_eq!(mutex.waiting(), 0);
    assert!(mutex.try_lock().is_some());
}
