//! Where a partition is taken up.
//!
//! ```text
//! committed offset of the group      it counts, always
//! else the model's own position      the group's offsets have expired, the model still knows
//! else, if the group has committed
//!   in another partition             the partition is new: from its first record
//! else auto.offset.reset             by default the first record
//! ```
//!
//! An offset outside of what the partition holds is a gap: records were deleted before anybody read them, or the topic is
//! another one by now. What then happens was decided by whoever runs this (`--on-gap`), because either way
//! something is lost that only they can judge.

use super::options::{OnGap, Reset};

/// What is known of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    /// The group's committed offset.
    pub(super) committed: Option<u64>,
    /// Where the model left it.
    pub(super) known: Option<u64>,
    /// The group has committed in another partition of the topic.
    pub(super) topic_known: bool,
    /// Its first offset, and the one after its last.
    pub(super) low: u64,
    pub(super) high: u64,
}

/// A start, and what is to be said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) at: u64,
    pub(super) note: Option<String>,
}

impl Facts {
    pub(super) fn decide(&self, reset: Reset, on_gap: OnGap) -> Result<Start, String> {
        let quiet = |at| Ok(Start { at, note: None });
        match (self.committed, self.known) {
            (Some(committed), _) => self.at(committed, None, on_gap),
            (None, Some(known)) => {
                let note =
                    format!("the group has no offset here any more: goes on at the model's own, {known}");
                self.at(known, Some(note), on_gap)
            }
            (None, None) if self.topic_known => {
                let note = Some("a new partition: taken up from its first record".to_owned());
                Ok(Start { at: self.low, note })
            }
            (None, None) => match reset {
                Reset::Earliest => quiet(self.low),
                Reset::Latest => quiet(self.high),
                Reset::Stop => Err("the group has no offset here, and auto.offset.reset is error".to_owned()),
            },
        }
    }

    fn at(&self, offset: u64, note: Option<String>, on_gap: OnGap) -> Result<Start, String> {
        if self.low <= offset && offset <= self.high {
            return Ok(Start { at: offset, note });
        }
        let Self { low, high, .. } = self;
        let found = if offset < *low {
            format!("records {offset} to {} were deleted before they were read", low - 1)
        } else {
            format!(
                "the group stands at {offset}, but the partition ends at {high}: the topic was made anew, or cut"
            )
        };
        let (at, going) = match on_gap {
            OnGap::Stop => {
                return Err(format!(
                    "{found}; --on-gap earliest goes on at {low}, --on-gap latest at {high}"
                ));
            }
            OnGap::Earliest => (*low, "earliest"),
            OnGap::Latest => (*high, "latest"),
        };
        Ok(Start { at, note: Some(format!("{found}; goes on at {at} (--on-gap {going})")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Facts =
        Facts { committed: Some(50), known: Some(40), topic_known: true, low: 10, high: 100 };

    fn at(facts: Facts, reset: Reset, on_gap: OnGap) -> Result<(u64, bool), String> {
        facts.decide(reset, on_gap).map(|start| (start.at, start.note.is_some()))
    }

    #[test]
    fn what_was_committed_counts_then_the_model_then_the_option() {
        let start = |facts| at(facts, Reset::Latest, OnGap::Stop);
        assert_eq!(start(KNOWN), Ok((50, false)));
        assert_eq!(start(Facts { committed: Some(100), ..KNOWN }), Ok((100, false)));
        assert_eq!(start(Facts { committed: Some(10), ..KNOWN }), Ok((10, false)));
        assert_eq!(start(Facts { committed: None, ..KNOWN }), Ok((40, true)));
        assert_eq!(start(Facts { committed: None, known: None, ..KNOWN }), Ok((10, true)));
        let fresh = Facts { committed: None, known: None, topic_known: false, ..KNOWN };
        assert_eq!(start(fresh), Ok((100, false)));
        assert_eq!(at(fresh, Reset::Earliest, OnGap::Stop), Ok((10, false)));
        assert!(at(fresh, Reset::Stop, OnGap::Stop).is_err());
    }

    #[test]
    fn a_gap_is_never_jumped_in_silence() {
        for (offset, expected) in [(5, "records 5 to 9 were deleted"), (101, "stands at 101")] {
            for facts in [
                Facts { committed: Some(offset), ..KNOWN },
                Facts { committed: None, known: Some(offset), ..KNOWN },
            ] {
                let error = at(facts, Reset::Earliest, OnGap::Stop).unwrap_err();
                assert!(error.contains(expected), "{error}");
                assert_eq!(at(facts, Reset::Earliest, OnGap::Earliest), Ok((10, true)));
                assert_eq!(at(facts, Reset::Earliest, OnGap::Latest), Ok((100, true)));
            }
        }
    }
}
