//! Where a byte of a text stands for a person: line, column, and the line with a caret under it.

/// Line and column (characters) of a byte; lines count from `first_line`, columns from 1.
pub fn position_of(text: &str, byte_offset: usize, first_line: u32) -> (u32, u32) {
    let mut cursor = Cursor::new(first_line);
    cursor.advance(text, byte_offset);
    (cursor.line, cursor.column)
}

/// The byte of a character's number as servers report it, from 1; past the end means the end.
pub fn byte_of_character(text: &str, number: usize) -> usize {
    text.char_indices().nth(number.saturating_sub(1)).map_or(text.len(), |(at, _)| at)
}

/// Walks forward through a text, so that all positions of a file cost one pass together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    offset: usize,
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Cursor {
    pub(super) fn new(first_line: u32) -> Self {
        Cursor { offset: 0, line: first_line, column: 1 }
    }

    pub(super) fn advance(&mut self, text: &str, to: usize) {
        let to = to.min(text.len());
        let passed = &text.as_bytes()[self.offset..to];
        let newlines = passed.iter().filter(|&&b| b == b'\n').count();
        let tail = match passed.iter().rposition(|&b| b == b'\n') {
            Some(last) => &passed[last + 1..],
            None => passed,
        };
        if newlines > 0 {
            self.column = 1;
        }
        self.line = self.line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
        // Continuation bytes of UTF-8 are not characters of their own.
        let characters = tail.iter().filter(|&&b| b & 0xc0 != 0x80).count();
        self.column = self.column.saturating_add(u32::try_from(characters).unwrap_or(u32::MAX));
        self.offset = to;
    }
}

/// Screen columns shown before and after the caret.
const BEFORE: usize = 60;
const AFTER: usize = 40;

/// The line of a byte and a caret under it, ready for a terminal: long lines are cut around it.
pub fn excerpt(text: &str, byte_offset: usize) -> String {
    let mut at = byte_offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    let end = text[at..].find('\n').map_or(text.len(), |n| at + n);
    let (before, after) = (&text[start..at], text[at..end].trim_end());
    let columns = if width(before) + width(after) <= BEFORE + AFTER {
        (usize::MAX, usize::MAX)
    } else {
        (BEFORE, AFTER)
    };
    let before = shown_end(before, columns.0);
    let after = shown_start(after, columns.1);
    let caret = width(&before);
    format!("{before}{after}\n{:caret$}^", "")
}

fn shown_end(text: &str, columns: usize) -> String {
    let mut used = 0;
    let kept = text.char_indices().rev().take_while(|(_, c)| {
        used += char_width(*c);
        used <= columns
    });
    let from = kept.last().map_or(text.len(), |(at, _)| at);
    let dots = if from > 0 { "…" } else { "" };
    format!("{dots}{}", text[from..].chars().map(printable).collect::<String>())
}

fn shown_start(text: &str, columns: usize) -> String {
    let mut used = 0;
    let kept = text.char_indices().take_while(|(_, c)| {
        used += char_width(*c);
        used <= columns
    });
    let to = kept.last().map_or(0, |(at, c)| at + c.len_utf8());
    let dots = if to < text.len() { "…" } else { "" };
    format!("{}{dots}", text[..to].chars().map(printable).collect::<String>())
}

/// A tab would move the caret, and a control or direction character could rewrite the screen.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() || is_invisible(c) => '\u{fffd}',
        c => c,
    }
}

/// Characters that reorder or hide text: direction marks, zero-width ones, line separators.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// East Asian wide characters and emoji take two columns, combining marks none.
fn char_width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let text = "é;\r\n  x\ny";
        for (byte, expected) in [(0, (5, 1)), (2, (5, 2)), (7, (6, 3)), (9, (7, 1)), (99, (7, 2))] {
            assert_eq!(position_of(text, byte, 5), expected, "{byte}");
        }
    }

    #[test]
    fn a_cursor_finds_the_same_places_as_a_fresh_walk() {
        let text = "ab\ncé\n\nd漢 e";
        let mut cursor = Cursor::new(1);
        for (byte, _) in text.char_indices() {
            cursor.advance(text, byte);
            assert_eq!((cursor.line, cursor.column), position_of(text, byte, 1), "{byte}");
        }
    }

    #[test]
    fn the_server_counts_characters_and_we_find_bytes() {
        assert_eq!(byte_of_character("é x", 1), 0);
        assert_eq!(byte_of_character("é x", 3), 3);
        assert_eq!(byte_of_character("é x", 9), 4);
    }

    #[test]
    fn an_excerpt_points_at_the_column() {
        assert_eq!(excerpt("a\nselect form\r\nb", 9), "select form\n       ^");
        assert_eq!(excerpt("\tx é y", 6), " x é y\n     ^");
        assert_eq!(excerpt("漢 x", 4), "漢 x\n   ^");
        assert_eq!(excerpt("a\u{1b}\u{202e}b", 5), "a\u{fffd}\u{fffd}b\n   ^");
        assert_eq!(excerpt("", 7), "\n^");
    }

    #[test]
    fn an_excerpt_shows_a_line_that_fits_in_whole() {
        let line = format!("x {}", "b".repeat(98));
        assert_eq!(excerpt(&line, 0), format!("{line}\n^"));
    }

    #[test]
    fn an_excerpt_cuts_a_long_line_around_the_column() {
        let text = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let shown = excerpt(&text, 5000);
        assert_eq!(shown, format!("…{}X{}…\n{}^", "a".repeat(60), "b".repeat(39), " ".repeat(61)));
    }
}
