//! The modes of table locks: which of them conflict, and what that keeps others from.

/// From weak to strong, in PostgreSQL's own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

use LockMode::{
    AccessExclusive, AccessShare, Exclusive, RowExclusive, RowShare, Share, ShareRowExclusive,
    ShareUpdateExclusive,
};

impl LockMode {
    pub const ALL: [LockMode; 8] = [
        AccessShare,
        RowShare,
        RowExclusive,
        ShareUpdateExclusive,
        Share,
        ShareRowExclusive,
        Exclusive,
        AccessExclusive,
    ];

    /// As `pg_locks` shows it.
    pub fn name(self) -> &'static str {
        match self {
            AccessShare => "AccessShareLock",
            RowShare => "RowShareLock",
            RowExclusive => "RowExclusiveLock",
            ShareUpdateExclusive => "ShareUpdateExclusiveLock",
            Share => "ShareLock",
            ShareRowExclusive => "ShareRowExclusiveLock",
            Exclusive => "ExclusiveLock",
            AccessExclusive => "AccessExclusiveLock",
        }
    }

    pub fn from_name(name: &str) -> Option<LockMode> {
        LockMode::ALL.into_iter().find(|it| it.name() == name)
    }

    /// As LOCK TABLE and the manual spell it.
    pub fn sql(self) -> &'static str {
        match self {
            AccessShare => "ACCESS SHARE",
            RowShare => "ROW SHARE",
            RowExclusive => "ROW EXCLUSIVE",
            ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Share => "SHARE",
            ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Exclusive => "EXCLUSIVE",
            AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Whether one has to wait for the other; the same in both directions.
    pub fn conflicts_with(self, other: LockMode) -> bool {
        let (weaker, stronger) = (self.min(other), self.max(other));
        match weaker {
            AccessShare => stronger == AccessExclusive,
            RowShare => stronger >= Exclusive,
            RowExclusive => stronger >= Share,
            ShareUpdateExclusive => true,
            Share => stronger != Share,
            ShareRowExclusive | Exclusive | AccessExclusive => true,
        }
    }

    /// What cannot go on under it, in the words of the records.
    pub fn blocks(self) -> impl Iterator<Item = &'static str> {
        [
            ("reads", AccessShare),
            ("writes", RowExclusive),
            ("index builds", Share),
            ("vacuum", ShareUpdateExclusive),
            ("schema changes", AccessExclusive),
        ]
        .into_iter()
        .filter(move |(_, mode)| self.conflicts_with(*mode))
        .map(|(what, _)| what)
    }

    pub fn blocks_reads(self) -> bool {
        self.conflicts_with(AccessShare)
    }

    pub fn blocks_writes(self) -> bool {
        self.conflicts_with(RowExclusive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_blocks_what_needs_a_conflicting_one() {
        for (mode, expected) in [
            (AccessShare, "schema changes"),
            (RowExclusive, "index builds, schema changes"),
            (ShareUpdateExclusive, "index builds, vacuum, schema changes"),
            (Share, "writes, vacuum, schema changes"),
            (ShareRowExclusive, "writes, index builds, vacuum, schema changes"),
            (AccessExclusive, "reads, writes, index builds, vacuum, schema changes"),
        ] {
            assert_eq!(mode.blocks().collect::<Vec<_>>().join(", "), expected, "{mode:?}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_shown() {
        for mode in LockMode::ALL {
            assert_eq!(LockMode::from_name(mode.name()), Some(mode));
        }
        assert_eq!(LockMode::from_name("SIReadLock"), None);
    }
}
