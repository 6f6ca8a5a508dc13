//! Names of a model folder's files: what is ours, and what each file is.
//!
//! Only a name that reads back as itself is ours; nothing else in the folder is ever opened or removed.

use std::fmt;

/// Appended to the name of a file that is being written.
pub(super) const TEMPORARY: &str = ".tmp";

/// What a file of the folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// Held by the process that trains.
    Lock,
    /// The hash key.
    Key,
    /// What the model is called in its group.
    Id,
    /// The manifest of a generation.
    Manifest(u64),
    /// Small tensors of a generation.
    State(u64),
    /// Rows of the `table`-th table that changed in a generation.
    Rows { generation: u64, table: usize },
    /// Rows of the `table`-th table from the generations `first` to `last`, folded together.
    Folded { first: u64, last: u64, table: usize },
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("LOCK"),
            Self::Key => f.write_str("hash.key"),
            Self::Id => f.write_str("member.id"),
            Self::Manifest(generation) => write!(f, "g{generation:010}.manifest.json"),
            Self::State(generation) => write!(f, "g{generation:010}.state.safetensors"),
            Self::Rows { generation, table } => write!(f, "g{generation:010}.{table}.rows.safetensors"),
            Self::Folded { first, last, table } => {
                write!(f, "f{first:010}-{last:010}.{table}.rows.safetensors")
            }
        }
    }
}

impl Name {
    /// The file of this name, if it is one of ours.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let parsed = match name {
            "LOCK" => Self::Lock,
            "hash.key" => Self::Key,
            "member.id" => Self::Id,
            _ => Self::numbered(name)?,
        };
        (parsed.to_string() == name).then_some(parsed)
    }

    fn numbered(name: &str) -> Option<Self> {
        let (stem, rest) = name.split_once('.')?;
        let table = || rest.strip_suffix(".rows.safetensors")?.parse().ok();
        if let Some(range) = stem.strip_prefix('f') {
            let (first, last) = range.split_once('-')?;
            return Some(Self::Folded {
                first: first.parse().ok()?,
                last: last.parse().ok()?,
                table: table()?,
            });
        }
        let generation = stem.strip_prefix('g')?.parse().ok()?;
        match rest {
            "manifest.json" => Some(Self::Manifest(generation)),
            "state.safetensors" => Some(Self::State(generation)),
            _ => Some(Self::Rows { generation, table: table()? }),
        }
    }

    /// True for a file that holds rows of a table.
    pub(super) fn holds_rows(self) -> bool {
        matches!(self, Self::Rows { .. } | Self::Folded { .. })
    }

    /// First and last generation whose rows are in a file of rows.
    pub(super) fn span(self) -> Option<(u64, u64)> {
        match self {
            Self::Rows { generation, .. } => Some((generation, generation)),
            Self::Folded { first, last, .. } => Some((first, last)),
            _ => None,
        }
    }
}

/// True for a model file, whole or being written.
pub(super) fn is_ours(name: &str) -> bool {
    Name::parse(name.strip_suffix(TEMPORARY).unwrap_or(name)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        let names = [
            Name::Lock,
            Name::Key,
            Name::Id,
            Name::Manifest(7),
            Name::State(u64::MAX),
            Name::Rows { generation: 12_345_678_901, table: 3 },
            Name::Folded { first: 1, last: 9, table: 0 },
        ];
        for name in names {
            assert_eq!(Name::parse(&name.to_string()), Some(name));
            assert!(is_ours(&format!("{name}.tmp")));
        }
        assert_eq!(Name::Manifest(7).to_string(), "g0000000007.manifest.json");
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            ".tmp",
            "g7.manifest.json",
            "g+000000007.manifest.json",
            "g0000000007.manifest.json.bak",
            "g0000000007.00.rows.safetensors",
            "../g0000000007.manifest.json",
            "f0000000001.0.rows.safetensors",
            "model.safetensors",
            "lock",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
