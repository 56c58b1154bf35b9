//! A check as data: the head of its file says what it means, the rest is its SQL.
//!
//! The first line is its title. Then `-- key: text` lines, which go on in lines that begin with
//! `--   `. Keys are `group`, `pass`, `found`, `meaning`, `hint`, `fix`, `needs` and `each`.
//!
//! A query without `each` answers with a row for each thing that is wrong: `message`, and where it
//! has them `object`, `count`, `status`, `reason`, `hint`, `fix`. With `each: foreign key` it lists
//! what to look at: `object`, `sql` that answers with one `count`, `rows_sql` for the keys of rows
//! that are wrong, `setup` before them, `fix`, and `bytes` to begin with the largest; one without
//! `sql` is not looked at. What depends on flags is read from settings `migrate.…`.

use migrate_core::record::{Check, CheckDefinition, CheckStatus};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    /// The commands that it belongs to.
    pub(crate) groups: Vec<String>,
    pub(crate) title: String,
    /// What to say when nothing is wrong; `{targets}` is how many things were looked at.
    pub(crate) pass: String,
    /// What to say of a target with `{count}` rows that are wrong.
    pub(crate) found: String,
    pub(crate) meaning: String,
    pub(crate) hint: String,
    pub(crate) fix: Option<String>,
    pub(crate) needs: Vec<Need>,
    /// What a target is, for a check of many.
    pub(crate) each: Option<String>,
    /// Empty where the program answers by itself.
    pub(crate) sql: &'static str,
}

/// What there must be, or the check is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// At least this `server_version_num`.
    Version(u32),
    Extension(String),
    /// Not a standby.
    Primary,
    /// A role that may see what others do.
    Monitor,
}

impl Need {
    pub(crate) fn describe(&self) -> String {
        match self {
            Need::Version(number) => format!("PostgreSQL {}", number / 10_000),
            Need::Extension(name) => format!("the extension {name}"),
            Need::Primary => "a primary".to_owned(),
            Need::Monitor => "membership in pg_read_all_stats or pg_monitor".to_owned(),
        }
    }
}

impl Definition {
    /// `Err` says what is wrong with the file; a test reads them all.
    pub(crate) fn parse(name: &'static str, text: &'static str) -> Result<Definition, String> {
        let head_end = head_end(text);
        let (head, sql) = text.split_at(head_end);
        let mut lines = head.lines().map(|it| it.strip_prefix("--").unwrap_or(it));
        let title = lines.next().unwrap_or_default().trim().to_owned();
        let mut fields: Vec<(&str, String)> = Vec::new();
        for line in lines {
            if let Some(more) = line.strip_prefix("   ") {
                let (_, text) =
                    fields.last_mut().ok_or(format!("{name}: `{more}` continues nothing"))?;
                *text += &format!(" {}", more.trim());
            } else {
                let (key, value) =
                    line.trim().split_once(": ").ok_or(format!("{name}: `{line}`"))?;
                fields.push((key, value.trim().to_owned()));
            }
        }
        let mut definition = Definition {
            name,
            groups: Vec::new(),
            title,
            pass: String::new(),
            found: String::new(),
            meaning: String::new(),
            hint: String::new(),
            fix: None,
            needs: Vec::new(),
            each: None,
            sql: sql.trim(),
        };
        for (key, value) in fields {
            match key {
                "group" => definition.groups = value.split(' ').map(str::to_owned).collect(),
                "pass" => definition.pass = value,
                "found" => definition.found = value,
                "meaning" => definition.meaning = value,
                "hint" => definition.hint = value,
                "fix" => definition.fix = Some(value),
                "each" => definition.each = Some(value),
                "needs" => {
                    definition.needs.push(need(&value).ok_or(format!("{name}: needs {value}"))?)
                }
                _ => return Err(format!("{name}: there is no key `{key}`")),
            }
        }
        definition.lacks().map_or(Ok(definition), |it| Err(format!("{name} lacks `{it}`")))
    }

    fn lacks(&self) -> Option<&'static str> {
        let found = if self.each.is_some() { self.found.as_str() } else { "-" };
        [
            ("title", self.title.as_str()),
            ("group", self.groups.first().map_or("", |it| it)),
            ("pass", &self.pass),
            ("meaning", &self.meaning),
            ("hint", &self.hint),
            ("found", found),
        ]
        .into_iter()
        .find_map(|(key, value)| value.is_empty().then_some(key))
    }

    /// A record of it, to be filled further.
    pub(crate) fn check(&self, group: &str, status: CheckStatus, message: String) -> Check {
        Check { hint: Some(self.hint.clone()), ..Check::new(group, self.name, status, message) }
    }

    pub(crate) fn record(&self) -> CheckDefinition {
        CheckDefinition {
            name: self.name.to_owned(),
            groups: self.groups.clone(),
            title: self.title.clone(),
            meaning: self.meaning.clone(),
            hint: self.hint.clone(),
            fix: self.fix.clone(),
            needs: self.needs.iter().map(Need::describe).collect(),
            sql: (!self.sql.is_empty()).then(|| self.sql.to_owned()),
        }
    }
}

/// Where the comment lines at the start of the file end.
fn head_end(text: &str) -> usize {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if !line.starts_with("--") {
            break;
        }
        at += line.len();
    }
    at
}

fn need(text: &str) -> Option<Need> {
    match text.split_once(' ').unwrap_or((text, "")) {
        ("version", number) => number.parse().ok().map(Need::Version),
        ("extension", name) => Some(Need::Extension(name.to_owned())),
        ("primary", _) => Some(Need::Primary),
        ("monitor", _) => Some(Need::Monitor),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "-- Rows without a parent.\n-- group: integrity\n-- pass: {targets} hold\n\
                        -- meaning: one\n--   two\n-- hint: h\n-- needs: version 140000\n\
                        -- needs: extension amcheck\nselect 1\n-- not of the head: x\n";

    #[test]
    fn a_head_is_read_with_lines_that_go_on() {
        let it = Definition::parse("orphans", FILE).unwrap();
        assert_eq!((it.title.as_str(), it.meaning.as_str()), ("Rows without a parent.", "one two"));
        assert_eq!(it.needs, [Need::Version(140_000), Need::Extension("amcheck".into())]);
        assert_eq!(it.sql, "select 1\n-- not of the head: x");
    }

    #[test]
    fn what_lacks_or_is_misspelt_is_named() {
        for (file, error) in [
            ("-- T\n-- group: g\nselect 1", "x lacks `pass`"),
            ("-- T\n-- grup: g\nselect 1", "x: there is no key `grup`"),
            ("-- T\n-- needs: luck\nselect 1", "x: needs luck"),
        ] {
            assert_eq!(Definition::parse("x", file).unwrap_err(), error);
        }
    }
}
