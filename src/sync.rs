//! Locks and atomics, chosen in this one place.
//!
//! Everything that takes a lock or an atomic takes it from here: `parking_lot` and `std` in a normal build,
//! loom's instrumented twins under `--cfg loom`, so that the protocol that is model-checked is the one that runs.

#[cfg(not(loom))]
mod imp {
    pub use parking_lot::{Condvar, Mutex, MutexGuard};
    pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

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
}

#[cfg(loom)]
mod imp {
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    pub use loom::sync::{Condvar, Mutex, MutexGuard};

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
}

pub use imp::*;
