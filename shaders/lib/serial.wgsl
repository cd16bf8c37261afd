// Software adapters dislike barriers: there a lane is a group of its own.
fn group_sum(v: f32, local: u32) -> f32 {
    return v;
}
