//! Tests of layers through their public interface: reads, damage, laziness, hostile tars.

mod damage;
mod fixture;
mod foreign;
mod lazy;
mod nested;
mod props;
mod ranged;
mod reads;
mod tars;
mod ztoc;
