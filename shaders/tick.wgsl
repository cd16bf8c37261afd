// tick: the end of a step. Writes the step's line of the log, moves the counters, the cursor and the loss scale. A loss (or norm) that is
// not finite halts; where the loss is scaled it skips the update, and halts where no scale has cured it. One workgroup. Generated: GROUP,
// JUDGES (by a loss or a norm), TRAIN, UPDATES, SCALES, DYNAMIC, LONG, LOG_ROWS, LOG_WIDTH, loss_value(), log_metrics(at)
// for metrics of one word, log_long(at, lane) for the others, summed(), meet(), least(), most(). Sizes: rows of the batch (0: the cursor
// stays), partials (sums to add), offsets of loss and each metric; a dynamic scale's growth, backoff and interval, else 0.

// Whether another skipped update is one too many: the scale has fallen as far as it goes, or a fixed one has skipped many in a row.
fn hopeless() -> bool {
    if (DYNAMIC) { return bitcast<f32>(state[STATE_LOSS_SCALE]) * d.backoff < least(); }
    return state[STATE_GROWTH] + 1u >= PATIENCE;
}

// The scale after an update, as PyTorch's GradScaler moves it.
fn rescale(skip: bool) {
    let scale = bitcast<f32>(state[STATE_LOSS_SCALE]);
    let count = state[STATE_GROWTH] + 1u;
    if (!DYNAMIC) {
        state[STATE_GROWTH] = select(0u, count, skip);
    } else if (skip) {
        state[STATE_LOSS_SCALE] = bitcast<u32>(scale * d.backoff);
        state[STATE_GROWTH] = 0u;
    } else if (count >= d.interval) {
        if (scale * d.growth <= most()) { state[STATE_LOSS_SCALE] = bitcast<u32>(scale * d.growth); }
        state[STATE_GROWTH] = 0u;
    } else {
        state[STATE_GROWTH] = count;
    }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
    var squares = 0.0;
    if (UPDATES) {
        for (var i = lane; i < d.partials; i += GROUP) { squares += partial(i); }
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
    var skip = false;
    if (JUDGES) {
        let loss = loss_value();
        halt = TRAIN && (!is_finite(loss) || !is_finite(squares));
        if (SCALES) {
            // a batch that went wrong takes its whole update with it
            skip = halt || state[STATE_SKIP] == SKIP_PENDING;
            halt = UPDATES && skip && hopeless();
        }
        log_words[at + 1u] = bitcast<u32>(loss);
        log_words[at + 2u] = bitcast<u32>(sqrt(squares));
        log_metrics(at + 4u);
    }
    log_words[at] = batch;
    var became = select(0u, LOG_HALTED, halt);
    if (SCALES) {
        became |= select(0u, LOG_SKIPPED, UPDATES && skip && !halt) | ((state[STATE_LOSS_SCALE] >> 23u) << LOG_SCALE);
    }
    log_words[at + 3u] = became;
    if (halt) {
        state[STATE_HALT] = 1u;
        return;
    }
    state[STATE_BATCH] = batch + 1u;
    if (UPDATES && !skip) { state[STATE_UPDATE] = state[STATE_UPDATE] + 1u; }
    if (TRAIN) {
        state[STATE_MICRO] = select(state[STATE_MICRO] + 1u, 0u, UPDATES);
        state[STATE_SUMMED] = select(summed(), 0u, UPDATES);
    }
    if (SCALES) {
        state[STATE_SKIP] = select(SKIP_NONE, select(SKIP_PENDING, SKIP_DONE, UPDATES), skip);
        if (UPDATES) {
            rescale(skip);
            if (skip) { state[STATE_SKIPPED] = state[STATE_SKIPPED] + 1u; }
        }
    }
    let cursor = state[STATE_CURSOR] + d.rows;
    if (d.rows > 0u && cursor >= state[STATE_ROWS]) {
        state[STATE_CURSOR] = 0u;
        state[STATE_EPOCH] = state[STATE_EPOCH] + 1u;
    } else {
        state[STATE_CURSOR] = cursor;
    }
}
