//! How often: a number of records, or a time.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A checkpoint interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// After this many records.
    Records(u64),
    /// After this much time.
    Time(Duration),
}

/// Neither a count nor a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of records above 0 (100000) or a duration (30s, 5min), got `{0}`")]
pub struct EveryError(String);

impl FromStr for Every {
    type Err = EveryError;
    fn from_str(text: &str) -> Result<Self, EveryError> {
        let error = || EveryError(text.to_owned());
        if let Ok(records) = text.parse::<u64>() {
            return if records > 0 { Ok(Self::Records(records)) } else { Err(error()) };
        }
        let time = humantime::parse_duration(text).map_err(|_| error())?;
        if time.is_zero() { Err(error()) } else { Ok(Self::Time(time)) }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(records) => records.fmt(f),
            Self::Time(time) => humantime::format_duration(*time).fmt(f),
        }
    }
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Records(u64),
            Text(String),
        }
        let text = match Form::deserialize(deserializer)? {
            Form::Records(records) => records.to_string(),
            Form::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}
