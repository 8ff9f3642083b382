//! Frames of the original.

fn main() {
    bbq_fuzz::run("compat", "compat", bbq_wire::fuzz::compat);
}
