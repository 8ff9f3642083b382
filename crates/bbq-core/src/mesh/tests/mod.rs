//! Several meshes with scripted worlds and gates, joined by a network in memory.

mod cases;
mod clients;
mod faults;
mod net;
mod proxies;
mod storms;
