//! `{"id":…,"prediction":…}`: one line a record.

use crate::learner::Predicted;
use serde::Serialize;

/// Appends a prediction line to `out`. `id`: the record's id as it was written, else its number. A prediction is a number, or an
/// object if there are tasks; those of items are an array of such. What they are worth together comes as `value`.
pub fn write_prediction(out: &mut Vec<u8>, id: Option<&[u8]>, predicted: &Predicted<'_>) {
    let Predicted { number, tasks, predictions, items, values, watched } = *predicted;
    write_id(out, id, number);
    out.extend_from_slice(b",\"prediction\":");
    if items {
        let width = tasks.map_or(1, <[String]>::len).max(1);
        write_array(out, predictions.chunks(width), |out, one| write_one(out, tasks, one));
    } else {
        write_one(out, tasks, predictions);
    }
    if let Some(&first) = values.first() {
        out.extend_from_slice(b",\"value\":");
        if items {
            write_array(out, values.iter(), |out, &value| write_number(out, value));
        } else {
            write_number(out, first);
        }
    }
    if let Some(watched) = watched {
        out.extend_from_slice(b",\"watched\":{");
        for (i, (name, values)) in watched.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_string(out, name);
            out.push(b':');
            write_array(out, values.iter(), |out, &value| write_number(out, value));
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"}\n");
}

/// Appends the line of a vector to `out`: `{"id":…,"embedding":[…]}`.
pub fn write_embedding(out: &mut Vec<u8>, id: Option<&[u8]>, number: u64, vector: &[f32]) {
    write_id(out, id, number);
    out.extend_from_slice(b",\"embedding\":");
    // Finite numbers written to a vector cannot fail.
    let _ = serde_json::to_writer(&mut *out, vector);
    out.extend_from_slice(b"}\n");
}

fn write_id(out: &mut Vec<u8>, id: Option<&[u8]>, number: u64) {
    out.extend_from_slice(b"{\"id\":");
    match id {
        // A raw id of several lines would break the output into several.
        Some(id) => {
            out.extend(id.iter().map(|&byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }))
        }
        None => out.extend_from_slice(number.to_string().as_bytes()),
    }
}

/// The predictions of a record, or of an item.
fn write_one(out: &mut Vec<u8>, tasks: Option<&[String]>, predictions: &[f32]) {
    let Some(tasks) = tasks else {
        return write_number(out, predictions.first().copied().unwrap_or(0.0));
    };
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

fn write_array<T>(out: &mut Vec<u8>, all: impl Iterator<Item = T>, write: impl Fn(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (i, one) in all.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, one);
    }
    out.push(b']');
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
        let predicted = Predicted { number: 7, tasks, predictions, items: false, values: &[], watched: None };
        write_prediction(&mut out, id, &predicted);
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
    fn items_make_an_array_and_values_stand_behind() {
        let tasks = ["click".to_owned(), "like".to_owned()];
        let (predictions, values) = ([0.5, 0.75, 0.25, 1.0], [2.0, 3.0]);
        let mut predicted = Predicted {
            number: 7,
            tasks: Some(&tasks),
            predictions: &predictions,
            items: true,
            values: &values,
            watched: None,
        };
        let mut out = Vec::new();
        write_prediction(&mut out, None, &predicted);
        let all = r#"[{"click":0.5,"like":0.75},{"click":0.25,"like":1.0}],"value":[2.0,3.0]}"#;
        assert_eq!(
            String::from_utf8(out.split_off(0)).unwrap(),
            format!("{{\"id\":7,\"prediction\":{all}\n")
        );
        predicted = Predicted { tasks: None, predictions: &predictions[..2], values: &[], ..predicted };
        write_prediction(&mut out, None, &predicted);
        assert_eq!(String::from_utf8(out.split_off(0)).unwrap(), "{\"id\":7,\"prediction\":[0.5,0.75]}\n");
        let watched = [("w".to_owned(), vec![1.0, 0.5])].into();
        predicted = Predicted { items: false, values: &values[..1], watched: Some(&watched), ..predicted };
        write_prediction(&mut out, None, &predicted);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"id\":7,\"prediction\":0.5,\"value\":2.0,\"watched\":{\"w\":[1.0,0.5]}}\n"
        );
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
