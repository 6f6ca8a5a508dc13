//! Label, weight and id, and the keys that are ignored.

use super::number::Number;
use super::{LEVELS, Reader};
use crate::example::{ExampleSink, LabelRange};
use crate::parse::MAX_TASKS;

impl<'r, S: ExampleSink> Reader<'r, S> {
    pub(super) fn label(&mut self) -> Option<()> {
        once(&mut self.seen.label)?;
        if self.options.labels == LabelRange::Ignored {
            return self.skip(LEVELS);
        }
        if self.peek()? == b'{' {
            self.at += 1;
            return self.tasks();
        }
        if let Some(value) = self.target()? {
            self.sink.target(None, value);
        }
        Some(())
    }

    /// The rest of a label object.
    fn tasks(&mut self) -> Option<()> {
        let (mut names, mut count) = ([""; MAX_TASKS], 0);
        self.items(b'}', |reader| {
            let task = reader.key()?;
            if names.get(..count)?.contains(&task) {
                return None;
            }
            *names.get_mut(count)? = task;
            count += 1;
            if let Some(value) = reader.target()? {
                reader.sink.target(Some(task), value);
            }
            Some(())
        })
    }

    /// A label; `Some(None)` if it is masked.
    #[inline(always)]
    fn target(&mut self) -> Option<Option<f32>> {
        let label = match self.peek()? {
            b'n' => {
                self.word("null")?;
                return Some(None);
            }
            b't' => {
                self.word("true")?;
                1.0
            }
            b'f' => {
                self.word("false")?;
                0.0
            }
            _ => self.number()?.as_f64(),
        };
        // Adding 0 turns −0 into 0.
        Some(Some(self.options.labels.check(label)? + 0.0))
    }

    pub(super) fn weight(&mut self) -> Option<()> {
        once(&mut self.seen.weight)?;
        if self.peek()? == b'n' {
            return self.word("null");
        }
        let weight = self.number()?.as_f64() as f32;
        if !(weight.is_finite() && weight >= 0.0) {
            return None;
        }
        self.sink.weight(weight + 0.0);
        Some(())
    }

    pub(super) fn id(&mut self) -> Option<()> {
        once(&mut self.seen.id)?;
        let start = self.at;
        self.skip(LEVELS)?;
        self.sink.id(self.text.get(start..self.at)?);
        Some(())
    }

    /// A value that is read and forgotten.
    pub(super) fn skip(&mut self, levels: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'{' => {
                self.at += 1;
                let levels = levels.checked_sub(1)?;
                self.items(b'}', |reader| {
                    reader.key()?;
                    reader.skip(levels)
                })
            }
            b'[' => {
                self.at += 1;
                let levels = levels.checked_sub(1)?;
                self.items(b']', |reader| reader.skip(levels))
            }
            _ => None,
        }
    }
}

fn once(seen: &mut bool) -> Option<()> {
    (!std::mem::replace(seen, true)).then_some(())
}

impl Number {
    /// As serde_json reads it where an f64 is asked for.
    fn as_f64(self) -> f64 {
        match self {
            Self::Integer { value, .. } => value as f64,
            Self::Other(value) => value,
        }
    }
}
