//! Label, weight and id, and the keys that are ignored.

use super::{LEVELS, Reader};
use crate::example::{ExampleSink, LabelRange};
use crate::parse::MAX_TASKS;

impl<S: ExampleSink> Reader<'_, S> {
    pub(super) fn label(&mut self, at: usize) -> Option<usize> {
        once(&mut self.seen.label)?;
        if self.options.labels == LabelRange::Ignored {
            return self.skip(at, LEVELS);
        }
        if self.peek(at)? == b'{' {
            return self.tasks(at + 1);
        }
        let (label, at) = self.target(at)?;
        if let Some(value) = label {
            self.sink.target(None, value);
        }
        Some(at)
    }

    /// The rest of a label object.
    fn tasks(&mut self, at: usize) -> Option<usize> {
        let (mut names, mut count) = ([""; MAX_TASKS], 0);
        self.items(at, b'}', |reader, at| {
            let (task, at) = reader.key(at)?;
            if names.get(..count)?.contains(&task) {
                return None;
            }
            *names.get_mut(count)? = task;
            count += 1;
            let (label, at) = reader.target(at)?;
            if let Some(value) = label {
                reader.sink.target(Some(task), value);
            }
            Some(at)
        })
    }

    /// A label, or `None` if it is masked.
    #[inline(always)]
    fn target(&mut self, at: usize) -> Option<(Option<f32>, usize)> {
        let (label, at) = match self.peek(at)? {
            b'n' => return Some((None, self.word(at, "null")?)),
            b't' => (1.0, self.word(at, "true")?),
            b'f' => (0.0, self.word(at, "false")?),
            _ => {
                let (number, at) = self.number(at)?;
                (number.as_f64(), at)
            }
        };
        // Adding 0 turns −0 into 0.
        Some((Some(self.options.labels.check(label)? + 0.0), at))
    }

    pub(super) fn weight(&mut self, at: usize) -> Option<usize> {
        once(&mut self.seen.weight)?;
        if self.peek(at)? == b'n' {
            return self.word(at, "null");
        }
        let (number, at) = self.number(at)?;
        let weight = number.as_f64() as f32;
        if !(weight.is_finite() && weight >= 0.0) {
            return None;
        }
        self.sink.weight(weight + 0.0);
        Some(at)
    }

    pub(super) fn id(&mut self, at: usize) -> Option<usize> {
        once(&mut self.seen.id)?;
        let end = self.skip(at, LEVELS)?;
        self.sink.id(self.text.get(at..end)?);
        Some(end)
    }

    /// A value that is read and forgotten.
    pub(super) fn skip(&mut self, at: usize, levels: usize) -> Option<usize> {
        match self.peek(at)? {
            b'"' => self.string(at).map(|(_, at)| at),
            b'-' | b'0'..=b'9' => self.number(at).map(|(_, at)| at),
            b't' => self.word(at, "true"),
            b'f' => self.word(at, "false"),
            b'n' => self.word(at, "null"),
            b'{' => {
                let levels = levels.checked_sub(1)?;
                self.items(at + 1, b'}', |reader, at| {
                    let (_, at) = reader.key(at)?;
                    reader.skip(at, levels)
                })
            }
            b'[' => {
                let levels = levels.checked_sub(1)?;
                self.items(at + 1, b']', |reader, at| reader.skip(at, levels))
            }
            _ => None,
        }
    }
}

fn once(seen: &mut bool) -> Option<()> {
    (!std::mem::replace(seen, true)).then_some(())
}
