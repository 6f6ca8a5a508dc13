//! SIGINT and SIGTERM: the first asks the run to finish what was read and checkpoint, the second leaves at once.

use crate::error::{CommandError, usage};
use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A flag that the first signal sets.
pub(crate) fn on_signal() -> Result<Arc<AtomicBool>, CommandError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset, sets it, and the second one leaves.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| usage(format!("signal {signal} cannot be handled: {error}")))?;
    }
    Ok(stop)
}

/// Lets a write beyond the limit on file sizes fail like any other, instead of ending the process without a word.
pub(crate) fn survive_file_limits() {
    // If that cannot be had, the system's way stays.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}
