//! Clusters of real processes over real sockets: how they form, what they survive, and whom they serve.

mod runner;

#[path = "../../../support/engines.rs"]
mod servers;

mod player;

mod load;

mod shape;

mod limits;

mod death;

mod rolling;

mod secret;

mod cuts;

mod hostile;

mod languages;

mod night;

mod engines;
