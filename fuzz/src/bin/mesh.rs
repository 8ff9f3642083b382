//! Frames between nodes.

fn main() {
    bbq_fuzz::run("mesh", "mesh", bbq_wire::fuzz::mesh);
}
