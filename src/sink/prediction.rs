//! `{"id":…,"prediction":…}`: one line a record.

use serde::Serialize;

/// Appends a prediction line to `out`. `id`: the record's id as it was written, else its `number`. `tasks`: one name a
/// prediction, for an object; without names the first prediction alone.
pub fn write_prediction(
    out: &mut Vec<u8>,
    id: Option<&[u8]>,
    number: u64,
    tasks: Option<&[String]>,
    predictions: &[f32],
) {
    out.extend_from_slice(b"{\"id\":");
    match id {
        // A raw id of several lines would break the output into several.
        Some(id) => {
            out.extend(id.iter().map(|&byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }))
        }
        None => out.extend_from_slice(number.to_string().as_bytes()),
    }
    out.extend_from_slice(b",\"prediction\":");
    match tasks {
        None => write_number(out, predictions.first().copied().unwrap_or(0.0)),
        Some(tasks) => {
            out.push(b'{');
            for (i, (task, &prediction)) in tasks.iter().zip(predictions).enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(out, task);
                out.push(b':');
                write_number(out, prediction);
            }
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"}\n");
}

/// The id in a prediction line, as bytes to go by: of a string its text, else the JSON as it stands.
#[cfg(feature = "kafka")]
pub(super) fn id_of(line: &[u8]) -> Option<std::borrow::Cow<'_, [u8]>> {
    let rest = line.strip_prefix(b"{\"id\":")?;
    let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&serde_json::value::RawValue>();
    let raw = values.next()?.ok()?.get();
    Some(match serde_json::from_str::<String>(raw) {
        Ok(text) => text.into_bytes().into(),
        Err(_) => raw.as_bytes().into(),
    })
}

/// The shortest decimal that reads back as the same f32.
fn write_number(out: &mut Vec<u8>, value: f32) {
    let value = if value.is_finite() { value } else { 0.0 };
    out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string to a vector cannot fail.
    let _ = text.serialize(&mut serde_json::Serializer::new(out));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: Option<&[u8]>, tasks: Option<&[String]>, predictions: &[f32]) -> String {
        let mut out = Vec::new();
        write_prediction(&mut out, id, 7, tasks, predictions);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ids_of_any_type_are_echoed() {
        for id in ["\"a\\u00e9\"", "17", "null", "{\"a\": [1, 2.50]}"] {
            assert_eq!(
                line(Some(id.as_bytes()), None, &[0.25]),
                format!("{{\"id\":{id},\"prediction\":0.25}}\n")
            );
        }
        assert_eq!(line(None, None, &[1e-10]), "{\"id\":7,\"prediction\":1e-10}\n");
        assert_eq!(line(Some(b"[1,\n2]"), None, &[0.0]), "{\"id\":[1, 2],\"prediction\":0.0}\n");
    }

    #[cfg(feature = "kafka")]
    #[test]
    fn the_id_of_a_line_is_found_again() {
        for (id, expected) in [
            ("\"a,\\\"prediction\\\":\"", "a,\"prediction\":"),
            ("\"\\u00e9\"", "é"),
            ("17", "17"),
            ("null", "null"),
            ("{\"a\": [1, 2.50]}", "{\"a\": [1, 2.50]}"),
        ] {
            let line = line(Some(id.as_bytes()), None, &[0.25]);
            assert_eq!(id_of(line.as_bytes()).unwrap().as_ref(), expected.as_bytes(), "{line}");
        }
        assert_eq!(id_of(line(None, None, &[0.5]).as_bytes()).unwrap().as_ref(), b"7");
    }

    #[test]
    fn tasks_make_an_object_of_those_known() {
        let tasks = ["click".to_owned(), "li\"ke".to_owned()];
        let both = line(None, Some(&tasks), &[0.5, 0.75]);
        assert_eq!(both, "{\"id\":7,\"prediction\":{\"click\":0.5,\"li\\\"ke\":0.75}}\n");
        assert_eq!(line(None, Some(&tasks), &[0.5]), "{\"id\":7,\"prediction\":{\"click\":0.5}}\n");
        let value: serde_json::Value = serde_json::from_str(&both).unwrap();
        assert_eq!(value["prediction"]["li\"ke"], 0.75);
    }
}
