//! Features: the table in the header of [`crate::parse`], once more.

use super::Reader;
use super::number::Number;
use crate::example::ExampleSink;
use crate::parse::PATH_BYTES_LIMIT;

impl<S: ExampleSink> Reader<'_, S> {
    /// The rest of an object of features. `path`: bytes of the path of the object; `levels`: of nesting that are left.
    pub(super) fn features(&mut self, at: usize, path: usize, levels: usize) -> Option<usize> {
        self.items(at, b'}', |reader, at| {
            let (key, at) = reader.key(at)?;
            reader.member(at, key, path, levels)
        })
    }

    /// The value of `key`, which is not entered.
    #[inline(always)]
    pub(super) fn member(&mut self, at: usize, key: &str, path: usize, levels: usize) -> Option<usize> {
        let below = path + key.len();
        match self.peek(at)? {
            b'"' => {
                let (value, at) = self.string(at)?;
                self.count(below)?;
                self.sink.category_at(key, value).ok()?;
                Some(at)
            }
            b'-' | b'0'..=b'9' => {
                let (number, at) = self.number(at)?;
                match self.counted(number, below)? {
                    Some(Number::Integer(integer)) => {
                        self.sink.integer_at(key, integer.value(), integer.as_f32()).ok()?;
                    }
                    Some(Number::Other(value)) => self.sink.number_at(key, value as f32).ok()?,
                    None => {}
                }
                Some(at)
            }
            _ => self.entered(at, key, below, levels),
        }
    }

    /// The same for the values that are neither strings nor numbers.
    fn entered(&mut self, at: usize, key: &str, path: usize, levels: usize) -> Option<usize> {
        self.sink.enter_key(key);
        let at = match self.peek(at)? {
            b'{' => self.features(at + 1, path, levels.checked_sub(1)?)?,
            b'[' => self.array(at + 1, path, levels.checked_sub(1)?)?,
            b't' => self.one(at, path)?,
            b'f' => self.word(at, "false")?,
            _ => self.null(at)?,
        };
        self.sink.leave();
        Some(at)
    }

    /// The rest of an array whose path is entered.
    fn array(&mut self, at: usize, path: usize, levels: usize) -> Option<usize> {
        let mut index = 0;
        self.items(at, b']', |reader, at| {
            reader.sink.enter_element(index);
            let at = reader.element(at, index, path, levels)?;
            reader.sink.leave_element();
            index += 1;
            Some(at)
        })
    }

    #[inline(always)]
    fn element(&mut self, at: usize, index: usize, path: usize, levels: usize) -> Option<usize> {
        let below = path + size_of::<u64>();
        match self.peek(at)? {
            b'"' => {
                let (value, at) = self.string(at)?;
                self.count(path)?;
                self.sink.category(value).ok()?;
                return Some(at);
            }
            b'{' => return self.features(at + 1, path, levels.checked_sub(1)?),
            b'f' => return self.word(at, "false"),
            b'n' => return self.null(at),
            _ => self.sink.enter_index(index),
        }
        let at = match self.peek(at)? {
            b'[' => self.array(at + 1, below, levels.checked_sub(1)?)?,
            b't' => self.one(at, below)?,
            _ => self.number_here(at, below)?,
        };
        self.sink.leave();
        Some(at)
    }

    /// A number at a path that is entered.
    #[inline(always)]
    fn number_here(&mut self, at: usize, path: usize) -> Option<usize> {
        let (number, at) = self.number(at)?;
        match self.counted(number, path)? {
            Some(Number::Integer(integer)) => {
                self.sink.integer(integer.value(), integer.as_f32()).ok()?;
            }
            Some(Number::Other(value)) => self.sink.number(value as f32).ok()?,
            None => {}
        }
        Some(at)
    }

    /// `true` at a path that is entered.
    fn one(&mut self, at: usize, path: usize) -> Option<usize> {
        let at = self.word(at, "true")?;
        self.count(path)?;
        self.sink.number(1.0).ok()?;
        Some(at)
    }

    /// `null` at a path that is entered.
    fn null(&mut self, at: usize) -> Option<usize> {
        let at = self.word(at, "null")?;
        self.sink.null();
        Some(at)
    }

    /// The number as a feature, its path counted: finite in f32, and none if it is 0 there and no integer.
    #[inline(always)]
    fn counted(&mut self, number: Number, path: usize) -> Option<Option<Number>> {
        if let Number::Other(value) = number {
            let narrow = value as f32;
            if !narrow.is_finite() {
                return None;
            }
            if narrow == 0.0 {
                return Some(None);
            }
        }
        self.count(path)?;
        Some(Some(number))
    }

    /// Counts the path of one more feature.
    #[inline(always)]
    fn count(&mut self, path: usize) -> Option<()> {
        self.paths += path;
        (self.paths <= PATH_BYTES_LIMIT).then_some(())
    }
}
