//! Fuzz target for packets of clients.

use std::sync::Arc;

use super::packet::Packet;
use super::transfer::{Reaction, Transfer};
use crate::extent::Zeros;

/// A request, and behind 64 bytes what is acknowledged, two bytes each.
pub fn tftp(data: &[u8]) {
    let (request, numbers) = data.split_at(data.len().min(64));
    let request = match Packet::parse(request) {
        Ok(Some(Packet::Read(request))) => request,
        Ok(_) => return,
        Err(refusal) => return assert!(refusal.packet().len() <= 505),
    };
    let mut transfer = Transfer::new(Arc::new(Zeros(1 << 16)), &request);
    assert!(transfer.packets().is_ok_and(|packets| packets.len() == 1 && packets[0].len() <= 516));
    for number in numbers.chunks_exact(2).take(64) {
        if transfer.acknowledged(u16::from_be_bytes([number[0], number[1]])) == Reaction::Done {
            return;
        }
        let sent: usize = transfer.packets().expect("zeros can be read").iter().map(Vec::len).sum();
        assert!(sent <= 256 << 10);
    }
}
