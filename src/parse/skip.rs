//! What is read and forgotten: ids (kept as text) and keys that are ignored.
//!
//! serde's `IgnoredAny` would do for the grammar, but serde_json takes a short cut for it: any nesting, numbers beyond f64
//! and lone surrogates pass. A record that is taken here can be read by any reader, so these are held to the rules.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads a value of any kind and forgets it.
pub(super) struct Skip {
    /// Levels of nesting that are left.
    pub(super) levels: usize,
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Skip {
    fn deeper<E: Error>(&self) -> Result<usize, E> {
        self.levels.checked_sub(1).ok_or_else(|| E::custom("recursion limit exceeded"))
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let levels = self.deeper()?;
        while let Some(()) = elements.next_element_seed(Skip { levels })? {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let levels = self.deeper()?;
        while let Some(()) = map.next_key_seed(Skip { levels })? {
            map.next_value_seed(Skip { levels })?;
        }
        Ok(())
    }
}
