//! Takes a command line apart as a shell does with words and single quotes.

pub(crate) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None;
    let mut quoted = false;
    for char in line.chars() {
        match char {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            ' ' | '\n' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_with(String::new).push(char),
        }
    }
    assert!(!quoted, "a quote is not closed: {line}");
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_blanks_and_empty_words() {
        assert_eq!(words("note  'two words' x='a b' ''"), ["note", "two words", "x=a b", ""]);
    }
}
