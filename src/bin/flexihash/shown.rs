//! Words of a stream on a terminal: what would move the cursor or change its colours is written out.

/// `text` with control characters, and those that change the direction of writing, as `\u{..}`.
pub(crate) fn text(text: &str) -> String {
    let is_odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().flat_map(|c| if is_odd(c) { c.escape_unicode().collect() } else { vec![c] }).collect()
}
