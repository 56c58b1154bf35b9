//! All checks that are built in, in the order in which they are run and listed.

use std::sync::LazyLock;

use crate::definition::Definition;

macro_rules! files {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../checks/", $name, ".sql")))),*]
    };
}

const FILES: &[(&str, &str)] = &files! {
    "not_valid_constraints"
    "disabled_triggers"
    "invalid_indexes"
    "half_detached_partitions"
    "unpopulated_views"
    "missing_primary_keys"
    "sequences_near_their_end"
    "sequences_behind"
    "collation_versions"
    "checksum_failures"
    "wraparound"
    "half_dropped_databases"
    "orphans"
    "duplicate_keys"
    "broken_btrees"
    "damaged_tables"
    "unreadable_tables"
    "long_transactions"
    "blocked_sessions"
    "connections_left"
    "prepared_transactions"
    "replication_lag"
    "replication_slots"
    "running_dumps"
    "urgent_vacuums"
    "harmful_settings"
    "writable"
    "backup"
    "disk_space"
    "lock"
    "drift"
    "pending"
    "rehearsal"
    "approvals"
    "mean_time"
    "calls"
    "sequential_scans"
    "unused_new_indexes"
    "table_growth"
    "index_growth"
};

static ALL: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let parse = |(name, text): &(&'static str, &'static str)| {
        Definition::parse(name, text).expect("a test reads all of them")
    };
    FILES.iter().map(parse).collect()
});

pub(crate) fn all() -> &'static [Definition] {
    &ALL
}

pub(crate) fn of_group(group: &str) -> Vec<&'static Definition> {
    ALL.iter().filter(|it| it.groups.iter().any(|it| it == group)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed_and_says_all_that_it_must() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/checks");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|it| it.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let mut listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        found.sort();
        listed.sort_unstable();
        assert_eq!(found, listed);
        for (name, text) in FILES {
            Definition::parse(name, text).unwrap();
        }
    }
}
