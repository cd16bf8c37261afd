// tick: the end of a step. Writes the step's line of the log, moves the counters and the cursor, or halts on a loss (or norm) that
// is not finite. One workgroup. Generated: GROUP, HAS_LOSS, TRAIN, UPDATES, NORM_HALTS, LONG, LOG_ROWS, LOG_WIDTH, loss_value(),
// log_metrics(at) for metrics of one word, log_long(at, lane) for the others, meet().
@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    var squares = 0.0;
    if (UPDATES) {
        for (var i = lane; i < dim(1u); i += GROUP) { squares += partial(i); }
        squares = group_sum(squares, lane);
    }
    if (LONG) {
        if (state[STATE_HALT] == 0u) { log_long((state[STATE_BATCH] % LOG_ROWS) * LOG_WIDTH + 4u, lane); }
        meet();
    }
    if (lane != 0u || state[STATE_HALT] != 0u) { return; }
    let batch = state[STATE_BATCH];
    let at = (batch % LOG_ROWS) * LOG_WIDTH;
    var halt = false;
    if (HAS_LOSS) {
        let loss = loss_value();
        halt = TRAIN && (!is_finite(loss) || (NORM_HALTS && !is_finite(squares)));
        log_words[at + 1u] = bitcast<u32>(loss);
        log_words[at + 2u] = bitcast<u32>(sqrt(squares));
        log_metrics(at + 4u);
    }
    log_words[at] = batch;
    log_words[at + 3u] = select(0u, 1u, halt);
    if (halt) {
        state[STATE_HALT] = 1u;
        return;
    }
    state[STATE_BATCH] = batch + 1u;
    if (UPDATES) { state[STATE_UPDATE] = state[STATE_UPDATE] + 1u; }
    if (TRAIN) { state[STATE_MICRO] = select(state[STATE_MICRO] + 1u, 0u, UPDATES); }
    let cursor = state[STATE_CURSOR] + dim(0u);
    if (cursor >= state[STATE_ROWS]) {
        state[STATE_CURSOR] = 0u;
        state[STATE_EPOCH] = state[STATE_EPOCH] + 1u;
    } else {
        state[STATE_CURSOR] = cursor;
    }
}
