//! Who is who: the same person under one name, however it is written.

/// A name to compare people by: the address in `Ann <ann@shop.example>` where there is one, and
/// what stands before its `@`, in small letters.
#[derive(Debug, Clone, Eq)]
pub struct Person {
    name: String,
    address: Option<String>,
}

impl Person {
    pub fn named(text: &str) -> Person {
        let text = text.trim().to_lowercase();
        let (name, address) = match text.split_once('<') {
            Some((name, address)) => (name.trim(), Some(address.trim_end_matches('>').trim())),
            None if text.contains('@') => ("", Some(text.as_str())),
            None => (text.as_str(), None),
        };
        let name = match (name, address) {
            ("", Some(address)) => address.split('@').next().unwrap_or_default(),
            (name, _) => name,
        };
        Person { name: name.to_owned(), address: address.map(str::to_owned) }
    }
}

/// In doubt the same: a person who is taken for two would count twice.
impl PartialEq for Person {
    fn eq(&self, other: &Person) -> bool {
        let local = |it: &Person| {
            it.address.as_ref().and_then(|it| it.split('@').next()).map(str::to_owned)
        };
        let known_as = |it: &Person| [Some(it.name.clone()), local(it)];
        match (&self.address, &other.address) {
            (Some(one), Some(other)) => one == other,
            _ => known_as(self)
                .iter()
                .flatten()
                .any(|it| known_as(other).contains(&Some(it.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_known_by_name_or_address() {
        for (one, other, same) in [
            ("ann", "Ann", true),
            ("ann", "ann@shop.example", true),
            ("Ann B <ann@shop.example>", "ann@shop.example", true),
            ("Ann B <ann@shop.example>", "ann b", true),
            ("Ann B <ann@shop.example>", "ann", true),
            ("ann@shop.example", "ann@other.example", false),
            ("ann", "bob", false),
        ] {
            assert_eq!(Person::named(one) == Person::named(other), same, "{one} {other}");
        }
    }
}
