//! The little JSON that etcd's gateway takes. It writes numbers as strings.

/// Bytes in JSON: base64 in quotation marks.
pub(crate) fn bytes(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from('"');
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let letter = LETTERS[(group >> (18 - 6 * position) & 63) as usize];
            text.push(if position <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text.push('"');
    text
}

/// A text in JSON.
pub(crate) fn text(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// The first field with this name, if it is a number or a text without escapes. The gateway omits fields with
/// a zero value.
pub(crate) fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split([',', '}', ']']).next(),
    }
}

/// The first field with this name, as a number.
pub(crate) fn number(json: &str, name: &str) -> Option<u64> {
    field(json, name)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_as_base64() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\0", "AA==")]
        {
            assert_eq!(bytes(plain.as_bytes()), format!("\"{coded}\""));
        }
        assert_eq!(bytes(&[0xfb, 0xff]), "\"+/8=\"");
    }

    #[test]
    fn a_text_keeps_its_quotation_marks() {
        assert_eq!(text("say \"a\\b\"\n"), r#""say \"a\\b\"\u000a""#);
    }

    #[test]
    fn fields_are_found_by_name() {
        let json = r#"{"header":{"member_id":"112","raft_term":"2"},"leader":"137","code":3}"#;
        assert_eq!(number(json, "member_id"), Some(112));
        assert_eq!(number(json, "leader"), Some(137));
        assert_eq!(number(json, "code"), Some(3));
        assert_eq!(field(json, "revision"), None);
    }
}
