//! Tests of layers through their public interface: reads, damage, laziness, hostile tars.

mod fixture;
mod reads;
