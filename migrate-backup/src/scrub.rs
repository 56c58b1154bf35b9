//! Takes secrets out of what programs say.

use migrate_core::connect::settings::Settings;

/// Stands for what was taken out.
const MASK: &str = "********";
/// After these words, in any case, a secret may stand.
const WORDS: [&str; 3] = ["password", "passwd", "secret"];

/// What must not be said.
#[derive(Debug)]
pub(crate) struct Scrub {
    known: Option<String>,
}

impl Scrub {
    pub(crate) fn of(settings: &Settings) -> Scrub {
        Scrub { known: settings.password().filter(|it| it.len() >= 3).map(str::to_owned) }
    }

    /// The text without our own password, and without what stands as one in SQL or a connection
    /// string: an error quotes the command, which may make a user mapping or a subscription.
    pub(crate) fn clean(&self, text: &str) -> String {
        let text = match &self.known {
            Some(known) => text.replace(known, MASK),
            None => text.to_owned(),
        };
        mask_named(&text)
    }
}

/// Masks the value that follows one of [`WORDS`]: `password 'x'`, `password=x`, `"password": "x"`.
fn mask_named(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut cleaned = String::new();
    let mut from = 0;
    while let Some((at, word)) =
        WORDS.iter().filter_map(|it| lower[from..].find(it).map(|at| (from + at, it))).min()
    {
        let after = at + word.len();
        let Some(value) = value_at(text, after) else {
            cleaned.push_str(&text[from..after]);
            from = after;
            continue;
        };
        cleaned.push_str(&text[from..value.start]);
        cleaned.push_str(MASK);
        from = value.end;
    }
    cleaned.push_str(&text[from..]);
    cleaned
}

/// Where a value stands, if there is one after what separates it from its name.
fn value_at(text: &str, after: usize) -> Option<std::ops::Range<usize>> {
    let rest = &text[after..];
    let lead = rest.len() - rest.trim_start_matches(['"', ' ', '=', ':']).len();
    let separator = &rest[..lead];
    let value = &rest[lead..];
    let start = after + lead;
    if let Some(quoted) = value.strip_prefix('\'') {
        // A doubled quote is one of the value's own.
        let mut chars = quoted.char_indices().peekable();
        while let Some((at, char)) = chars.next() {
            if char == '\'' {
                if chars.peek().is_some_and(|(_, next)| *next == '\'') {
                    chars.next();
                    continue;
                }
                return Some(start..start + at + 2);
            }
        }
        return Some(start..text.len());
    }
    if !separator.contains(['=', ':']) {
        return None;
    }
    let end = value.find([' ', '\'', '"', ',', ')', '&']).unwrap_or(value.len());
    (end > 0).then_some(start..start + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_word_password_is_not_said() {
        for (text, clean) in [
            (
                "OPTIONS (user 'u', password 'it''s x', a 'b')",
                "OPTIONS (user 'u', password ********, a 'b')",
            ),
            (
                "CONNECTION 'host=x PASSWORD=abc dbname=y'",
                "CONNECTION 'host=x PASSWORD=******** dbname=y'",
            ),
            ("{\"password\": \"abc\"}", "{\"password\": \"********\"}"),
            ("password 'cut off", "password ********"),
            ("password authentication failed", "password authentication failed"),
            ("no é secret here", "no é secret here"),
        ] {
            assert_eq!(mask_named(text), clean);
        }
    }

    #[test]
    fn our_own_password_is_found_anywhere() {
        let settings = Settings::resolve(Some("host=db password=s3cr3t"), &|_| None).unwrap();
        assert_eq!(Scrub::of(&settings).clean("a s3cr3t b"), format!("a {MASK} b"));
    }
}
