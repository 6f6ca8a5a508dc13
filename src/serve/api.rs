//! `POST /predict`, `/explain`, `/embed` and `/learn`, and `GET /model`.
//!
//! A body is one record, an array of records, or, sent as `application/x-ndjson`, a record a line; the answer has the same form. A bad
//! record that comes alone is answered by 400 and `{"error": reason}`; among others it has that in its place, and the status is 200.
//! Arrays are cut into records without reading these, so all that is said of a record stands in one place, the model's own reader.
//!
//! Records are read and predicted on a few threads beside that of the connections, so that a large request holds up no probe.

use super::service::{Refusal, Service};
use crate::metrics::Metrics;
use crate::sink::Answers;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::{Deserializer as _, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::spawn_blocking;

/// Most bytes of a body, records of one, and bytes of all bodies at a time.
pub const BODY_BYTES: usize = 16 << 20;
pub(super) const RECORDS: usize = 1 << 16;
/// Records of a body to be explained: each takes as many predictions as it has features.
const EXPLAINED: usize = 64;
const ALL_BODIES: usize = 64 << 20;
/// The unit in which these are counted.
const PIECE: usize = 1 << 10;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// What handlers share.
#[derive(Debug, Clone)]
struct Api {
    service: Arc<dyn Service>,
    metrics: Metrics,
    /// Pieces that bodies may fill.
    room: Arc<Semaphore>,
}

/// The form of a body and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    One,
    Array,
    Lines,
}

/// What is to be done with records.
#[derive(Debug, Clone, Copy)]
enum Task {
    Predict,
    Explain,
    Embed,
    Learn,
}

/// The routes of `service`.
pub(super) fn router(service: Arc<dyn Service>, metrics: Metrics) -> Router {
    let room = Arc::new(Semaphore::new(ALL_BODIES / PIECE));
    Router::new()
        .route("/predict", post(async |State(api), request| ask(api, Task::Predict, request).await))
        .route("/explain", post(async |State(api), request| ask(api, Task::Explain, request).await))
        .route("/embed", post(async |State(api), request| ask(api, Task::Embed, request).await))
        .route("/learn", post(async |State(api), request| ask(api, Task::Learn, request).await))
        .route("/model", get(about))
        .with_state(Api { service, metrics, room })
}

/// `{"error": why}`.
pub(super) fn failure(status: StatusCode, why: &str) -> Response {
    let mut answers = Answers::default();
    answers.bad(why);
    (status, [(header::CONTENT_TYPE, JSON)], answers.into_lines()).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Later(why) => {
            ([(header::RETRY_AFTER, "1")], failure(StatusCode::SERVICE_UNAVAILABLE, why)).into_response()
        }
        Refusal::Absent(why) => failure(StatusCode::NOT_FOUND, why),
        Refusal::Failed(why) => failure(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

async fn about(State(api): State<Api>) -> Response {
    let about = spawn_blocking(move || api.service.about()).await;
    match about.unwrap_or_else(|error| Err(Refusal::Failed(error.to_string()))) {
        Ok(json) => ([(header::CONTENT_TYPE, JSON)], json).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn ask(api: Api, task: Task, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let lines = is_lines(&parts.headers);
    let pieces = length(&parts.headers).map_or(BODY_BYTES, |length| length.min(BODY_BYTES)) / PIECE + 1;
    let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
    let Ok(room) = Arc::clone(&api.room).acquire_many_owned(pieces).await else {
        return refused(&Refusal::Later("the server is about to end".to_owned()));
    };
    let bytes = match read(body, &parts.headers).await {
        Ok(bytes) => bytes,
        Err(response) => return response,
    };
    let metrics = api.metrics.clone();
    let asked = match task {
        Task::Predict | Task::Explain | Task::Embed => {
            spawn_blocking(move || answer(&api, task, lines, &Held { bytes, _room: room })).await
        }
        Task::Learn => Ok(learn(api, lines, Held { bytes, _room: room }).await),
    };
    match asked.unwrap_or_else(|error| Err(refused(&Refusal::Failed(error.to_string())))) {
        Ok((form, answers)) => {
            metrics.answered(task.path(), answers.count_good() as u64);
            reply(form, answers)
        }
        Err(response) => response,
    }
}

impl Task {
    fn path(self) -> &'static str {
        match self {
            Self::Predict => "/predict",
            Self::Explain => "/explain",
            Self::Embed => "/embed",
            Self::Learn => "/learn",
        }
    }
}

/// Reads the body, unless it is too long.
async fn read(body: Body, headers: &HeaderMap) -> Result<Bytes, Response> {
    let long =
        || failure(StatusCode::PAYLOAD_TOO_LARGE, &format!("expected a body of at most {BODY_BYTES} bytes"));
    if length(headers).is_some_and(|length| length > BODY_BYTES) {
        return Err(long());
    }
    to_bytes(body, BODY_BYTES).await.map_err(|error| {
        // The one error that axum has no type for: the others are of the connection, which will not hear of it.
        if error.to_string().contains("limit") {
            long()
        } else {
            failure(StatusCode::BAD_REQUEST, &error.to_string())
        }
    })
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the body is a record a line.
fn is_lines(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["application/x-ndjson", "application/jsonl"].iter().any(|lines| kind.eq_ignore_ascii_case(lines))
}

/// A body, and the room it takes: also once nobody waits for the answer any more.
struct Held {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

type Answered = Result<(Form, Answers), Response>;

fn answer(api: &Api, task: Task, lines: bool, body: &Held) -> Answered {
    let (form, records) = split(lines, &body.bytes)?;
    let answers = match task {
        Task::Explain if records.len() > EXPLAINED => {
            let why = format!("expected at most {EXPLAINED} records to explain");
            return Err(failure(StatusCode::BAD_REQUEST, &why));
        }
        Task::Explain => api.service.explain(&records),
        Task::Embed => api.service.embed(&records),
        _ => api.service.predict(&records),
    };
    Ok((form, answers.map_err(|refusal| refused(&refusal))?))
}

/// Has the records read on another thread, then waits for those who learn.
async fn learn(api: Api, lines: bool, body: Held) -> Answered {
    let (done, learned) = oneshot::channel();
    let given = spawn_blocking(move || {
        let (form, records) = split(lines, &body.bytes)?;
        let done = Box::new(move |answers| drop(done.send(answers)));
        api.service.learn(&records, done).map_err(|refusal| refused(&refusal))?;
        Ok(form)
    });
    let form = given.await.unwrap_or_else(|error| Err(refused(&Refusal::Failed(error.to_string()))))?;
    let ended = |_| refused(&Refusal::Later("the run ended before these were learned".to_owned()));
    Ok((form, learned.await.map_err(ended)?))
}

fn reply(form: Form, answers: Answers) -> Response {
    let status =
        if form == Form::One && answers.all_bad() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let (kind, body) = match form {
        Form::One => (JSON, answers.into_lines()),
        Form::Array => (JSON, answers.into_array()),
        Form::Lines => (LINES, answers.into_lines()),
    };
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// Cuts a body into records.
fn split(lines: bool, bytes: &[u8]) -> Result<(Form, Vec<&[u8]>), Response> {
    let bad = |why: &str| failure(StatusCode::BAD_REQUEST, why);
    if lines {
        let lines = bytes.split(|&byte| byte == b'\n').map(|line| line.trim_ascii_end());
        let records: Vec<&[u8]> = lines.filter(|line| !line.is_empty()).take(RECORDS + 1).collect();
        let too_many = || bad(&format!("expected at most {RECORDS} records"));
        return if records.len() > RECORDS { Err(too_many()) } else { Ok((Form::Lines, records)) };
    }
    match bytes.trim_ascii_start().first() {
        None => Err(bad("expected a record, found nothing")),
        Some(b'[') => match elements(bytes) {
            Ok(records) => Ok((Form::Array, records)),
            Err(error) => Err(bad(&format!("expected an array of records: {error}"))),
        },
        Some(_) => Ok((Form::One, vec![bytes.trim_ascii()])),
    }
}

/// The elements of a JSON array as they stand there.
fn elements(bytes: &[u8]) -> Result<Vec<&[u8]>, serde_json::Error> {
    struct Elements;
    impl<'de> Visitor<'de> for Elements {
        type Value = Vec<&'de [u8]>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let mut records = Vec::new();
            while let Some(record) = sequence.next_element::<&'de RawValue>()? {
                if records.len() == RECORDS {
                    return Err(A::Error::custom(format_args!("more than {RECORDS}")));
                }
                records.push(record.get().as_bytes());
            }
            Ok(records)
        }
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let records = json.deserialize_seq(Elements)?;
    json.end()?;
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(lines: bool, body: &str) -> Option<(Form, Vec<String>)> {
        let (form, records) = split(lines, body.as_bytes()).ok()?;
        Some((form, records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect()))
    }

    #[test]
    fn bodies_are_cut_into_records_as_they_stand() {
        let owned = |records: &[&str]| records.iter().map(|record| (*record).to_owned()).collect::<Vec<_>>();
        assert_eq!(parts(false, " {\"a\" :1}\n"), Some((Form::One, owned(&["{\"a\" :1}"]))));
        assert_eq!(
            parts(false, "[{\"a\" :[1]}, 5,\n{}]"),
            Some((Form::Array, owned(&["{\"a\" :[1]}", "5", "{}"])))
        );
        assert_eq!(parts(false, "[]"), Some((Form::Array, vec![])));
        assert_eq!(
            parts(true, "{}\r\n\n[1]\n{\"b\":2}"),
            Some((Form::Lines, owned(&["{}", "[1]", "{\"b\":2}"])))
        );
        for bad in ["", "  ", "[{},", "[{}] x", "[{\"a\":}]"] {
            assert_eq!(parts(false, bad), None, "{bad:?}");
        }
        let many = format!("[{}1]", "1,".repeat(RECORDS));
        assert_eq!(parts(false, &many), None);
        assert_eq!(parts(true, &"1\n".repeat(RECORDS + 1)), None);
        assert_eq!(parts(true, &"1\n".repeat(RECORDS)).unwrap().1.len(), RECORDS);
    }
}
