//! A schedule out of a file: a number, or a map that names it.

use super::{Read, Schedule};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // by hand: what serde makes of "a number or a map" tells of neither what is wrong with it
        d.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Schedule;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a learning rate: a number, or a schedule as `{ schedule = \"cosine\", lr = 0.001, t_max = 20000 }`")
    }
    fn visit_f64<E>(self, lr: f64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(lr))
    }
    fn visit_i64<E>(self, lr: i64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(lr as f64))
    }
    fn visit_u64<E>(self, lr: u64) -> Result<Schedule, E> {
        Ok(Schedule::Constant(lr as f64))
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<Schedule, E> {
        Err(E::custom("a learning rate is missing (JSON has no NaN and no infinity)"))
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Schedule, A::Error> {
        Read::deserialize(MapAccessDeserializer::new(map)).map(Schedule::from).map_err(A::Error::custom)
    }
}
