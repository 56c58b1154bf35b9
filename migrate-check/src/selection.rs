//! Which checks are meant: `--only` and `--skip`.

use migrate_core::error::{Error, Result};

#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Selection {
    /// Only these checks; names are separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// All but these checks
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) skip: Vec<String>,
}

impl Selection {
    pub(crate) fn has(&self, name: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|it| it == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }

    /// A name that was mistyped must not leave a check out in silence.
    pub(crate) fn refuse_unknown(&self, known: &[&str]) -> Result<()> {
        let unknown = self.only.iter().chain(&self.skip).find(|it| !known.contains(&it.as_str()));
        match unknown {
            None if known.iter().any(|it| self.has(it)) => Ok(()),
            None => Err(Error::usage("no check is left", "loosen `--only` and `--skip`")),
            Some(name) => Err(Error::usage(
                format!("there is no check `{}` here", name.escape_debug()),
                format!("there are: {}", known.join(", ")),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(only: &[&str], skip: &[&str]) -> Selection {
        let owned = |it: &[&str]| it.iter().map(|&it| it.to_owned()).collect();
        Selection { only: owned(only), skip: owned(skip) }
    }

    #[test]
    fn skip_takes_away_from_only() {
        let picked = selection(&["a", "b"], &["b"]);
        assert_eq!(["a", "b", "c"].map(|it| picked.has(it)), [true, false, false]);
    }

    #[test]
    fn a_mistyped_name_is_refused_and_so_is_an_empty_choice() {
        let known = ["a", "b"];
        assert!(selection(&["a"], &["b"]).refuse_unknown(&known).is_ok());
        let err = selection(&["x"], &[]).refuse_unknown(&known).unwrap_err();
        assert_eq!(err.hint().unwrap(), "there are: a, b");
        assert!(selection(&["a"], &["a"]).refuse_unknown(&known).is_err());
    }
}
