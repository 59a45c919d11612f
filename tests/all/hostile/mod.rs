//! Hostile input through the program itself: it ends with a judgement, and its memory stays within a bound.

mod documents;
mod labels;
mod layers;
mod measured;
mod names;
mod specs;
mod texts;
