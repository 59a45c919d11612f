//! Real mounts: what the kernel makes of the files, and every way a mount ends.

mod ends;
mod handles;
mod mounted;
mod ordinary_user;
mod reads;
mod replaced;
mod shows;
