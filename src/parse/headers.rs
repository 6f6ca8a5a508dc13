//! What a message says beside its record.

use super::Parser;
use crate::example::{ExampleSink, FeatureError};
use crate::record::Headers;
use std::borrow::Cow;

/// Headers that are no features.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A name that is no text.
    #[error("headers: expected a name in UTF-8, found bytes {found}")]
    Name {
        /// Its first bytes, in hexadecimal.
        found: String,
    },
    /// A feature the hash cannot take.
    #[error("headers: {0}")]
    Feature(#[from] FeatureError),
}

/// Bytes as text: in hexadecimal if they are none.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(hexadecimal(bytes)),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Parser {
    /// Tells `sink` the headers, if they are features: what the record `{"features": {AS: {NAME: VALUE, …}}}` would tell it.
    /// Values that are no text are taken in hexadecimal. To be called after the record is told, in the same example.
    pub fn parse_headers(
        &self,
        headers: Headers<'_>,
        sink: &mut impl ExampleSink,
    ) -> Result<(), HeaderError> {
        let Some(field) = &self.options().headers_as else { return Ok(()) };
        sink.enter_key(field);
        for (name, value) in headers.iter() {
            let name = std::str::from_utf8(name)
                .map_err(|_| HeaderError::Name { found: hexadecimal(name.get(..16).unwrap_or(name)) })?;
            sink.category_at(name, &text(value))?;
        }
        sink.leave();
        Ok(())
    }
}
