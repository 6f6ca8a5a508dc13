//! Features: the table in the header of [`crate::parse`], once more.

use super::Reader;
use super::number::Number;
use crate::example::ExampleSink;
use crate::parse::PATH_BYTES_LIMIT;

impl<S: ExampleSink> Reader<'_, S> {
    /// The rest of an object of features. `path`: bytes of the path of the object; `levels`: of nesting that are left.
    pub(super) fn features(&mut self, path: usize, levels: usize) -> Option<()> {
        self.items(b'}', |reader| {
            let key = reader.key()?;
            reader.member(key, path, levels)
        })
    }

    /// The value of `key`, which is not entered.
    #[inline(always)]
    pub(super) fn member(&mut self, key: &str, path: usize, levels: usize) -> Option<()> {
        let below = path + key.len();
        match self.peek()? {
            b'"' => {
                let value = self.string()?;
                self.count(below)?;
                self.sink.category_at(key, value).ok()
            }
            b'-' | b'0'..=b'9' => match self.number()? {
                Number::Integer { value, as_number } => {
                    self.count(below)?;
                    self.sink.integer_at(key, value, as_number).ok()
                }
                Number::Other(value) => match finite(value)? {
                    0.0 => Some(()),
                    narrow => {
                        self.count(below)?;
                        self.sink.number_at(key, narrow).ok()
                    }
                },
            },
            _ => self.entered(key, below, levels),
        }
    }

    /// The same for the values that are neither strings nor numbers.
    fn entered(&mut self, key: &str, path: usize, levels: usize) -> Option<()> {
        self.sink.enter_key(key);
        match self.peek()? {
            b'{' => {
                self.at += 1;
                self.features(path, levels.checked_sub(1)?)?;
            }
            b'[' => {
                self.at += 1;
                self.array(path, levels.checked_sub(1)?)?;
            }
            b't' => {
                self.word("true")?;
                self.one(path)?;
            }
            b'f' => self.word("false")?,
            _ => self.word("null")?,
        }
        self.sink.leave();
        Some(())
    }

    /// The rest of an array whose path is entered.
    fn array(&mut self, path: usize, levels: usize) -> Option<()> {
        let mut index = 0;
        self.items(b']', |reader| {
            reader.element(index, path, levels)?;
            index += 1;
            Some(())
        })
    }

    #[inline(always)]
    fn element(&mut self, index: usize, path: usize, levels: usize) -> Option<()> {
        let below = path + size_of::<u64>();
        match self.peek()? {
            b'"' => {
                let value = self.string()?;
                self.count(path)?;
                return self.sink.category(value).ok();
            }
            b'{' => {
                self.at += 1;
                return self.features(path, levels.checked_sub(1)?);
            }
            b'f' => return self.word("false"),
            b'n' => return self.word("null"),
            _ => self.sink.enter_index(index),
        }
        match self.peek()? {
            b'[' => {
                self.at += 1;
                self.array(below, levels.checked_sub(1)?)?;
            }
            b't' => {
                self.word("true")?;
                self.one(below)?;
            }
            _ => match self.number()? {
                Number::Integer { value, as_number } => {
                    self.count(below)?;
                    self.sink.integer(value, as_number).ok()?;
                }
                Number::Other(value) => match finite(value)? {
                    0.0 => {}
                    narrow => {
                        self.count(below)?;
                        self.sink.number(narrow).ok()?;
                    }
                },
            },
        }
        self.sink.leave();
        Some(())
    }

    /// `true` at a path that is entered.
    fn one(&mut self, path: usize) -> Option<()> {
        self.count(path)?;
        self.sink.number(1.0).ok()
    }

    /// Counts the path of one more feature.
    #[inline(always)]
    fn count(&mut self, path: usize) -> Option<()> {
        self.paths += path;
        (self.paths <= PATH_BYTES_LIMIT).then_some(())
    }
}

#[inline(always)]
fn finite(value: f64) -> Option<f32> {
    let narrow = value as f32;
    narrow.is_finite().then_some(narrow)
}
