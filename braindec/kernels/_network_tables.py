"""Columns of the tables of integers that describe a network to its compiled loop, and views of memory by address."""

from __future__ import annotations

from braindec.kernels._memory import compiled_view

# columns of the table of populations
POP = {"n": 0, "rows": 1, "flat": 2, "constants": 3, "update": 4, "key": 5, "ring": 6, "counts": 7, "cap": 8, "slots": 9,
       "given_first": 10, "given": 11, "record": 12, "log": 13, "log_size": 14, "log_used": 15, "log_counts": 16,
       "since": 17, "looked": 18, "limit": 19, "blocks": 20}  # fmt: skip
P_N, P_ROWS, P_FLAT, P_CONSTANTS, P_UPDATE, P_KEY, P_RING, P_COUNTS, P_CAP, P_SLOTS = range(10)
P_GIVEN_FIRST, P_GIVEN, P_RECORD, P_LOG, P_LOG_SIZE, P_LOG_USED, P_LOG_COUNTS = range(10, 17)
P_SINCE, P_LOOKED, P_LIMIT, P_BLOCKS = range(17, 21)
# of projections; kind 0: one delay, 1: a delay a synapse, 2: plastic (its own compiled functions)
PROJ = {"kind": 0, "source": 1, "target": 2, "row": 3, "delay": 4, "indptr": 5, "targets": 6, "weights": 7, "delays": 8,
        "ring": 9, "slots": 10, "splits": 11, "arrive": 12, "fired": 13, "context": 14, "padded": 15, "period": 16,
        "every": 17}  # fmt: skip
J_KIND, J_SOURCE, J_TARGET, J_ROW, J_DELAY, J_INDPTR, J_TARGETS, J_WEIGHTS, J_DELAYS = range(9)
J_RING, J_SLOTS, J_SPLITS, J_ARRIVE, J_FIRED, J_CONTEXT, J_PADDED, J_PERIOD, J_EVERY = range(9, 18)
# of drives; kind 0: Poisson, one rate for all, 1: Poisson, a rate each, 2: a row of constants is set
DRIVE = {"kind": 0, "target": 1, "row": 2, "table": 3, "width": 4, "n_bins": 5, "bin_steps": 6, "key": 7, "offsets": 8}
D_KIND, D_TARGET, D_ROW, D_TABLE, D_WIDTH, D_BINS, D_STEPS, D_KEY, D_OFFSETS = range(9)
# of recorders of variables
RECORD = {"target": 0, "row": 1, "neurons": 2, "n": 3, "out": 4, "samples": 5, "every": 6, "from": 7}
R_TARGET, R_ROW, R_NEURONS, R_N, R_OUT, R_SAMPLES, R_EVERY, R_FROM = range(8)
# of modulators: value (float64), then constants k, gain, baseline; the signs of populations follow in another table
MODULATOR = {"value": 0, "k": 1, "gain": 2, "baseline": 3}

view_i32, view_i64, view_u32, view_f64 = (compiled_view(t) for t in ("int32", "int64", "uint32", "float64"))
