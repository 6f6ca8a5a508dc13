//! Locks and atomics, chosen in this one place.
//!
//! Everything that takes a lock or an atomic takes it from here: `parking_lot` and `std` in a normal build,
//! loom's instrumented twins under `--cfg loom`, so that the protocol that is model-checked is the one that runs.

#[cfg(not(loom))]
mod imp {
    pub use parking_lot::{Condvar, Mutex, MutexGuard};
    pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    use std::time::Duration;

    /// Locks `mutex`, waiting as long as it takes.
    pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock()
    }

    /// Locks `mutex` if nobody holds it.
    pub fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        mutex.try_lock()
    }

    /// Unlocks in favour of whoever waits longest.
    pub fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
        MutexGuard::unlock_fair(guard);
    }

    /// Lets go of `mutex` until `condvar` is notified, `at_most` so long.
    pub fn wait_briefly<'a, T>(
        condvar: &Condvar,
        _mutex: &'a Mutex<T>,
        mut guard: MutexGuard<'a, T>,
        at_most: Duration,
    ) -> MutexGuard<'a, T> {
        condvar.wait_for(&mut guard, at_most);
        guard
    }
}

#[cfg(loom)]
mod imp {
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    pub use loom::sync::{Condvar, Mutex, MutexGuard};
    use std::time::Duration;

    /// Locks `mutex`, waiting as long as it takes. A poisoned lock is taken over: loom's threads only panic to
    /// report a failed check.
    pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Locks `mutex` if nobody holds it.
    pub fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        mutex.try_lock().ok()
    }

    /// Unlocks; loom tries every order of those that wait.
    pub fn unlock_fair<T>(guard: MutexGuard<'_, T>) {
        drop(guard);
    }

    /// Lets go of `mutex` and takes it again once others have gone on: loom has no clock, so this is the wait that ends before
    /// it is notified.
    pub fn wait_briefly<'a, T>(
        _condvar: &Condvar,
        mutex: &'a Mutex<T>,
        guard: MutexGuard<'a, T>,
        _at_most: Duration,
    ) -> MutexGuard<'a, T> {
        drop(guard);
        loom::thread::yield_now();
        lock(mutex)
    }
}

pub use imp::*;
