//! Whether two JSON texts mean the same, without building either in memory.
//!
//! The server keeps `details` in another order of keys and with numbers written otherwise, so the
//! texts differ where their meaning doesn't. Each text becomes a number, by a key that nobody knows.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

#[derive(Default)]
pub(crate) struct Fingerprint(RandomState);

impl Fingerprint {
    /// Whether both are JSON of the same meaning.
    pub(crate) fn same(&self, one: &[u8], other: &[u8]) -> bool {
        one == other
            || matches!((self.of(one), self.of(other)), (Some(one), Some(other)) if one == other)
    }

    fn of(&self, json: &[u8]) -> Option<u64> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let number = Part(&self.0).deserialize(&mut reader).ok()?;
        reader.end().ok().map(|()| number)
    }
}

#[derive(Clone, Copy)]
struct Part<'k>(&'k RandomState);

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<u64, E> {
        Ok(self.0.hash_one((1u8, value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u64, E> {
        Ok(self.0.hash_one((2u8, i128::from(value))))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        Ok(self.0.hash_one((2u8, i128::from(value))))
    }

    /// `1e2`, `100.0` and `100` are one number to the server.
    fn visit_f64<E: Error>(self, value: f64) -> Result<u64, E> {
        if value.fract() == 0.0 && value.abs() < 1e38 {
            Ok(self.0.hash_one((2u8, value as i128)))
        } else {
            Ok(self.0.hash_one((3u8, value.to_bits())))
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<u64, E> {
        Ok(self.0.hash_one((4u8, value)))
    }

    fn visit_unit<E: Error>(self) -> Result<u64, E> {
        Ok(self.0.hash_one(5u8))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<u64, A::Error> {
        let mut all = self.0.hash_one(6u8);
        while let Some(item) = items.next_element_seed(self)? {
            all = self.0.hash_one((7u8, all, item));
        }
        Ok(all)
    }

    /// In any order: a sum.
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<u64, A::Error> {
        let mut all = self.0.hash_one(8u8);
        while let Some(key) = fields.next_key_seed(self)? {
            let value = fields.next_value_seed(self)?;
            all = all.wrapping_add(self.0.hash_one((9u8, key, value)));
        }
        Ok(all)
    }
}
