//! Frames between client and gate.

fn main() {
    bbq_fuzz::run("native", "client", bbq_wire::fuzz::native);
}
