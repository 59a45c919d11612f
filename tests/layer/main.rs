//! Tests of layers through their public interface: reads, damage, laziness, hostile tars.

mod damage;
mod fixture;
mod lazy;
mod nested;
#[path = "../common/properties.rs"]
mod properties;
mod props;
mod reads;
mod tars;
