//! A message's headers, beside its record.

use crate::record::RecordBatch;
use rdkafka::message::{Headers, Message};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Gives the record pushed last the message's headers; those without a value say nothing.
pub(super) fn push(message: &impl Message, batch: &mut RecordBatch) {
    if let Some(headers) = message.headers() {
        push_all(headers, batch);
    }
}

/// The client's wrapper panics at a name that is not UTF-8. Such a message is a bad record, not the end of the run: it gets a
/// name that is none.
fn push_all(headers: &impl Headers, batch: &mut RecordBatch) {
    for index in 0..headers.count() {
        match catch_unwind(AssertUnwindSafe(|| headers.try_get(index))) {
            Ok(Some(header)) => {
                if let Some(value) = header.value {
                    batch.push_header(header.key.as_bytes(), value);
                }
            }
            Ok(None) => {}
            Err(_) => batch.push_header(b"\xff", b""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Position;
    use rdkafka::message::Header;

    /// As the client's, of names that are bytes.
    struct Names(Vec<(&'static [u8], Option<&'static [u8]>)>);

    impl Headers for Names {
        fn count(&self) -> usize {
            self.0.len()
        }

        fn try_get(&self, index: usize) -> Option<Header<'_, &[u8]>> {
            let (name, value) = self.0.get(index)?;
            Some(Header { key: std::str::from_utf8(name).unwrap(), value: *value })
        }
    }

    #[test]
    fn a_name_that_is_no_text_is_left_to_the_parser() {
        let mut batch = RecordBatch::default();
        batch.push(b"{}", 2, Position::default(), Position::default());
        push_all(&Names(vec![(b"a", Some(b"1")), (b"b", None), (b"\xff\x00", Some(b"2"))]), &mut batch);
        let found: Vec<_> = batch.get(0).unwrap().headers.iter().collect();
        assert_eq!(found, [(&b"a"[..], &b"1"[..]), (b"\xff", b"")]);
    }
}
