//! Hostile input through the program itself: it ends with a judgement, and its memory stays within a bound.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/entries.rs"]
mod entries;
#[path = "../common/layout.rs"]
mod layout;
#[path = "../common/measured.rs"]
mod measuring;
#[path = "../common/workshop.rs"]
mod workshop;

mod documents;
mod labels;
mod layers;
mod measured;
mod specs;
mod texts;
