use super::*;
use proptest::prelude::*;

/// What serde_json reads, as the careful walk tells it.
fn expected(text: &str) -> Option<Number> {
    let number: serde_json::Number = serde_json::from_str(text).ok()?;
    let integer = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
    Some(match integer {
        Some(value) => {
            Number::Integer(Integer { negative: value < 0, magnitude: value.unsigned_abs() as u64 })
        }
        None => Number::Other(number.as_f64()?),
    })
}

/// What is read here from all of `text`, followed by more.
fn found(text: &str) -> Option<Number> {
    let mut all = Vec::new();
    for behind in ["", ",\"a longer rest", "}}"] {
        let text_behind = format!("{text}{behind}");
        let (number, end) = read(text_behind.as_bytes(), 0)?;
        if end != text.len() {
            return None;
        }
        all.push(match number {
            Read::Number(number) => number,
            Read::Long => {
                Some(text.parse().unwrap()).filter(|value: &f64| value.is_finite()).map(Number::Other)?
            }
        });
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{text}: {all:?}");
    all.pop()
}

/// Taken as serde_json takes it, or not taken.
fn check(text: &str) -> Option<Number> {
    let (found, expected) = (found(text), expected(text));
    if let Some(found) = found {
        let bits = |number| match number {
            Number::Integer(integer) => (integer.value(), u64::from(integer.as_f32().to_bits())),
            Number::Other(value) => (i128::MAX, value.to_bits()),
        };
        assert_eq!(Some(bits(found)), expected.map(bits), "{text}");
    }
    found
}

#[test]
fn ordinary_numbers_are_taken_and_rounded_as_serde_json_does() {
    for text in [
        "0",
        "1",
        "-1",
        "7.25",
        "0.1",
        "-0",
        "-0.0",
        "0.0",
        "1e5",
        "1E+5",
        "1e-5",
        "123456789012345678",
        "1.416",
        "3e0",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "9007199254740993",
        "0.3",
        "0.000001",
        "123456.789012",
        "1e22",
        "1e23",
        "8.5e-22",
        "0.8414709848078965",
        "1e300",
        "1e-300",
        "5e-324",
        "1e-400",
        "179769313486231570000000000000000000000.5",
        "12345678",
        "1234567.8",
        "0.12345678",
        "0.123456789",
        "0e999",
        "9007199254740993.0",
        "1.7976931348623157e308",
        "2.2250738585072011e-308",
        "9999999999999999999",
    ] {
        assert!(check(text).is_some(), "{text} is not taken");
    }
}

#[test]
fn what_is_no_number_is_not_taken() {
    for text in [
        "",
        "-",
        "01",
        "-01",
        "00",
        "1.",
        ".1",
        "+1",
        "1e",
        "1e+",
        "1.e1",
        "-.1",
        "1..0",
        "1e1.0",
        "0x1",
        "1_0",
        "--1",
        "1-",
        "1e1e1",
        "Infinity",
        "NaN",
        "1e999",
        "-1e999",
        "99999999999999999999",
    ] {
        assert_eq!(check(text), None, "{text}");
    }
}

#[test]
fn every_byte_that_is_no_digit_ends_the_digits() {
    for byte in 0..=255_u8 {
        for at in 0..8 {
            let mut bytes = *b"98765432";
            bytes[at] = byte;
            let digits: String =
                bytes.iter().take_while(|b| b.is_ascii_digit()).map(|&b| b as char).collect();
            let value = digits.parse().unwrap_or(0);
            let word = u64::from_le_bytes(bytes);
            let count = count_digits(word);
            assert_eq!((super::value(word, count), count), (value, digits.len()), "{bytes:?}");
        }
    }
}

proptest! {
    #[test]
    fn floats_of_all_sizes_are_rounded_as_serde_json_does(value in any::<f64>(), plain in any::<bool>()) {
        check(&if plain { format!("{value}") } else { format!("{value:e}") });
    }

    #[test]
    fn decimals_are_rounded_as_serde_json_does(text in "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?") {
        check(&text);
    }

    #[test]
    fn integers_are_read_as_serde_json_does(value in any::<i64>(), unsigned in any::<u64>(), shift in 0..64_u32) {
        prop_assert!(check(&(value >> shift).to_string()).is_some());
        // Twenty digits are left to the careful walk.
        prop_assert!(check(&(unsigned >> shift).to_string()).is_some() || unsigned >> shift > 9_999_999_999_999_999_999);
    }

    #[test]
    fn anything_like_a_number_is_read_as_serde_json_does_or_not(text in "[-+.eE0-9]{0,12}") {
        check(&text);
    }
}
