//! The built program, from outside: what it prints, where, and with which exit code.

mod check;
mod demo;
mod dev;
mod explain;
mod harness;
mod failures;
mod new;
mod run;
