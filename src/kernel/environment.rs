//! Settings that a library takes from the environment alone.

/// Sets the environment variable `name` to `value`, unless it is set: before the process has a second thread, which might read the
/// environment meanwhile. `false`, and nothing is done, if it has one, or if the system does not say.
pub(crate) fn set_default(name: &str, value: &str) -> bool {
    if std::env::var_os(name).is_some() {
        return true;
    }
    let threads = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("Threads:"))?;
        line.trim().parse::<usize>().ok()
    });
    if threads != Some(1) {
        return false;
    }
    // SAFETY: this thread is the only one, so nobody reads or writes the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_stays_and_threads_forbid_the_rest() {
        let path = std::env::var_os("PATH");
        assert!(set_default("PATH", "elsewhere"));
        assert_eq!(std::env::var_os("PATH"), path);
        // Tests run on threads of their own, beside the main one.
        assert!(!set_default("FLEXIHASH_NOT_SET_BY_ANYBODY", "1"));
        assert_eq!(std::env::var_os("FLEXIHASH_NOT_SET_BY_ANYBODY"), None);
    }
}
