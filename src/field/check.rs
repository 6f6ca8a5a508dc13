//! What a declaration must fulfil by itself.

use super::error::FieldError;
use super::options::{FieldKind, FieldOptions, MAX_FIELDS, MAX_ITEMS, MAX_WIDTH};
use std::fmt::Display;

impl FieldOptions {
    /// The error for one of its options.
    pub(super) fn refuse(
        &self,
        option: &'static str,
        expected: impl Display,
        got: impl Display,
    ) -> FieldError {
        let (field, expected, got) = (self.name.clone(), expected.to_string(), got.to_string());
        FieldError::Option { field, option, expected, got }
    }

    /// The keys of a path of this field.
    pub(super) fn keys(&self, option: &'static str, path: &str) -> Result<Vec<String>, FieldError> {
        if path.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<String> = path.split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err(FieldError::Path { field: self.name.clone(), option, path: path.to_owned() });
        }
        Ok(keys)
    }

    /// Refuses options that a field of this kind does not have: they would be mistakes, not wishes.
    pub(super) fn check_kind(&self) -> Result<(), FieldError> {
        use FieldKind::{Category, Id, Labels, List, Numbers, Sum};
        let looked_up: &[FieldKind] = &[Sum, Id];
        let wide: &[FieldKind] = &[Numbers, Labels, Category];
        for (option, given, kinds) in [
            ("except", !self.except.is_empty(), &[Sum][..]),
            ("scope", self.scope.is_some(), looked_up),
            ("table", self.table.is_some(), looked_up),
            ("dim", self.dim.is_some(), looked_up),
            ("buckets", self.buckets.is_some(), looked_up),
            ("hashes", self.hashes.is_some(), looked_up),
            ("hash", self.hash.is_some(), looked_up),
            ("alternate-sign", self.alternate_sign.is_some(), &[Sum]),
            ("separate", self.separate.is_some(), &[Id]),
            ("init-mean", self.init_mean.is_some(), looked_up),
            ("init-scale", self.init_scale.is_some(), looked_up),
            ("width", self.width.is_some(), wide),
            ("names", !self.names.is_empty(), wide),
            ("max-items", self.max_items.is_some(), &[List]),
        ] {
            if given && !kinds.contains(&self.kind) {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                let expected = format!("a field of kind {}", kinds.join(" or "));
                return Err(self.refuse(option, expected, format!("kind {}", self.kind.name())));
            }
        }
        Ok(())
    }

    /// The width: as given, or as many as there are names.
    pub(super) fn checked_width(&self) -> Result<usize, FieldError> {
        let mut names: Vec<&String> = self.names.iter().collect();
        names.sort_unstable();
        let mut pairs = names.iter().zip(names.iter().skip(1));
        if let Some((name, _)) = pairs.find(|(one, other)| one == other) {
            return Err(self.refuse("names", "names that differ", format!("{name:?} twice")));
        }
        let width = match (self.width, self.names.len()) {
            (None, 0) => return Err(self.refuse("width", "a width, or names", "neither")),
            (None, names) => names,
            (Some(width), names) if names != 0 && names != width => {
                return Err(self.refuse("width", format!("{names}, as many as there are names"), width));
            }
            (Some(width), _) => width,
        };
        self.in_range("width", width, MAX_WIDTH)
    }

    /// `value`, if it is at least 1 and at most `limit`.
    pub(super) fn in_range(
        &self,
        option: &'static str,
        value: usize,
        limit: usize,
    ) -> Result<usize, FieldError> {
        if (1..=limit).contains(&value) {
            Ok(value)
        } else {
            Err(self.refuse(option, format!("1 to {limit}"), value))
        }
    }

    /// The most items of a list.
    pub(super) fn checked_items(&self, default: usize) -> Result<usize, FieldError> {
        self.in_range("max-items", self.max_items.unwrap_or(default), MAX_ITEMS)
    }
}

/// A number of fields within the limit, each with a name of its own.
pub(super) fn check_names(options: &[FieldOptions]) -> Result<(), FieldError> {
    if options.is_empty() || options.len() > MAX_FIELDS {
        return Err(FieldError::Count { limit: MAX_FIELDS, got: options.len() });
    }
    for (index, field) in options.iter().enumerate() {
        if field.name.is_empty() {
            return Err(FieldError::Unnamed { number: index + 1 });
        }
        if options.iter().take(index).any(|earlier| earlier.name == field.name) {
            return Err(FieldError::Twice { name: field.name.clone() });
        }
    }
    Ok(())
}
