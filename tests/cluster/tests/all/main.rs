//! Clusters of real processes over real sockets: how they form, what they survive, and whom they serve.

mod runner;

mod player;

mod shape;

mod death;

mod cuts;

mod hostile;

mod languages;
