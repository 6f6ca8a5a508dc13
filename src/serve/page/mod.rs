//! The live page at `/`: a few files of ours and the charts' library (uPlot, `vendor/`), all in the binary.
//!
//! The page is a client like any other: what it shows is what `/metrics`, `/history`, `/dead-letters` and, where they are offered,
//! `/insight`, `/model`, `/predict` and `/explain` answer, and it writes all of it as text, never as markup. So a record cannot put a
//! script into it, and if it could, the policy sent with the page would not let it run: scripts, styles and requests of this
//! server alone, no frames, no forms that go elsewhere.

use super::{Sight, api};
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::RawQuery;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use percent_encoding::percent_decode_str;
use std::sync::Arc;

/// What the page may do and load.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";

/// Path, media type and content of each file.
const FILES: [(&str, &str, &[u8]); 7] = [
    ("/", "text/html; charset=utf-8", include_bytes!("index.html")),
    ("/page/base.js", SCRIPT, include_bytes!("base.js")),
    ("/page/chart.js", SCRIPT, include_bytes!("chart.js")),
    ("/page/page.js", SCRIPT, include_bytes!("page.js")),
    ("/page/page.css", STYLE, include_bytes!("page.css")),
    ("/page/uplot.js", SCRIPT, include_bytes!("vendor/uPlot-1.6.32.iife.min.js")),
    ("/page/uplot.css", STYLE, include_bytes!("vendor/uPlot-1.6.32.min.css")),
];

/// Where the page finds what it may ask for.
const OFFERS: &str = "/page/offers.json";

/// What a server answers beside the metrics: the page asks for nothing else.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(super) struct Offers {
    /// All but the page's own files wants a bearer token.
    pub(super) token: bool,
    /// `POST /predict`
    pub(super) predict: bool,
    /// `POST /explain`
    pub(super) explain: bool,
    /// `GET /insight`
    pub(super) insight: bool,
    /// `GET /model`
    pub(super) model: bool,
}

/// The page's own files, which hold nothing of the run: open to all who reach the server.
pub(super) fn files<S: Clone + Send + Sync + 'static>(offers: Offers) -> Router<S> {
    let mut router = Router::new();
    for (path, media_type, content) in FILES {
        router = router.route(path, get(async move || ([(header::CONTENT_TYPE, media_type)], content)));
    }
    let offers = serde_json::to_string(&offers).unwrap_or_default();
    let answer = async move || ([(header::CONTENT_TYPE, JSON)], offers.clone());
    router.route(OFFERS, get(answer)).layer(map_response(guard))
}

/// Whether the page itself is at `path`.
pub(super) fn is_file(path: &str) -> bool {
    path == OFFERS || FILES.iter().any(|(file, ..)| *file == path)
}

/// What the page asks for beside the metrics. `records`: bad records are shown, not only why they are bad.
pub(super) fn data<S: Clone + Send + Sync + 'static>(metrics: Metrics, records: bool) -> Router<S> {
    let past = metrics.clone();
    let history = async move |RawQuery(query): RawQuery| {
        let since = parameter(query.as_deref(), "since=").and_then(|since| since.parse().ok()).unwrap_or(0.0);
        let told = match parameter(query.as_deref(), "task=") {
            None => Some(past.history(since)),
            Some(task) => past.history_of(&percent_decode_str(task).decode_utf8_lossy(), since),
        };
        let answer = |told| ([(header::CONTENT_TYPE, JSON)], told).into_response();
        told.map_or_else(|| api::failure(StatusCode::NOT_FOUND, "no task of this name"), answer)
    };
    let letters = async move || ([(header::CONTENT_TYPE, JSON)], metrics.dead_letters(records));
    let router = Router::new().route("/history", get(history)).route("/dead-letters", get(letters));
    router.layer(map_response(guard))
}

/// What there is to see of the stream, if somebody looks.
pub(super) fn insight<S: Clone + Send + Sync + 'static>(sight: Option<Arc<dyn Sight>>) -> Router<S> {
    let Some(sight) = sight else { return Router::new() };
    let answer = async move || ([(header::CONTENT_TYPE, JSON)], sight.json());
    Router::new().route("/insight", get(answer)).layer(map_response(guard))
}

/// What stands behind `name` in the query, as it was written.
fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    query?.split('&').find_map(|pair| pair.strip_prefix(name))
}

async fn guard(answer: Response) -> Response {
    let mut answer = answer.into_response();
    let headers: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_stands_in_the_query_or_does_not() {
        for (query, expected) in [
            (None, None),
            (Some("since=12.5"), Some("12.5")),
            (Some("a=1&since=7&since=8"), Some("7")),
            (Some("nosince=1&since="), Some("")),
            (Some("nonsense"), None),
        ] {
            assert_eq!(parameter(query, "since="), expected, "{query:?}");
        }
    }

    /// Everything it loads is a file of its own or of this server's answers; nothing in it is code or style written in place.
    #[test]
    fn the_page_names_no_other_place_and_writes_no_markup() {
        for (path, _, content) in FILES {
            let text = std::str::from_utf8(content).unwrap();
            if path.contains("uplot") {
                assert!(!text.contains("innerHTML"), "{path}");
                continue;
            }
            for word in
                ["http:", "https:", "//cdn", "innerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!text.contains(word), "{path}: {word}");
            }
            if path == "/" {
                for word in [" style=", "<style", " onclick=", " onload="] {
                    assert!(!text.contains(word), "{path}: {word}");
                }
                for file in text.split("\"/page/").skip(1).filter_map(|rest| rest.split('"').next()) {
                    assert!(FILES.iter().any(|(path, ..)| *path == format!("/page/{file}")), "{file}");
                }
            }
        }
    }
}
