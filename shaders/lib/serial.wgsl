// Software adapters dislike barriers: there a lane is a group of its own.
fn group_sum(v: f32, lane: u32) -> f32 {
    return v;
}
