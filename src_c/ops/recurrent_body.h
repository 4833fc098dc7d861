/* The loop of recurrent.c over REAL. Included twice; see typed.h. */

static T_ACTIVATION TYPED(activation_at)(const rnnrt_op *op, int attr, int real)
{
    T_ACTIVATION a = {(int32_t)op->attr[attr], {0, 0, 0}};
    for (int i = 0; i < 3; i++)
        a.param[i] = (REAL)op->real[real + i];
    return a;
}

static T_CELL TYPED(cell_of)(const rnnrt_plan *p, const rnnrt_op *op)
{
    T_CELL c = {0};
    SET_DTYPE(c, rnnrt_weight_dtype(p, op->weight[0]));
    c.kind = kind_of(op);
    c.reset_after = (op->desc->flags & RNNRT_OP_RESET_AFTER) != 0;
    c.units = op->attr[A_UNITS];
    c.features = op->attr[A_FEATURES];
    c.activation = TYPED(activation_at)(op, A_ACT, 0);
    c.recurrent_activation = TYPED(activation_at)(op, A_RACT, 3);
    c.packed = op->prepared;
    return c;
}

static const rnnrt_kernels *TYPED(kernels_for)(const rnnrt_plan *p, const rnnrt_kernels *k, const rnnrt_op *op)
{
    return TABLE_OF(k, rnnrt_weight_dtype(p, op->weight[W_KERNEL]));
}

static int TYPED(weight_is)(const rnnrt_plan *p, int64_t w, int64_t dtype, int64_t rank, int64_t d0, int64_t d1)
{
    if (w < 0)
        return 0;
    const rnnrt_plan_weight *x = &p->weights[w];
    return x->dtype == dtype && x->rank == rank && x->dims[0] == d0 && (rank < 2 || x->dims[1] == d1);
}

static int32_t TYPED(check)(const rnnrt_plan_view *v, const rnnrt_op *op, rnnrt_error *err)
{
    const rnnrt_plan *p = v->plan;
    const rnnrt_plan_op *d = op->desc;
    int32_t kind = kind_of(op);
    int gates = gates_of(kind), nstates = states_of(kind), masked = d->mask >= 0;
    if (d->n_in != 1 || (d->n_weight != W_COUNT && d->n_weight != W_SCALED) || d->n_attr != A_COUNT || d->n_real != 6 || (d->n_state != nstates + masked && d->n_state != 0)
        || (d->n_out != 1 && d->n_out != 1 + nstates) || (d->n_init != 0 && d->n_init != nstates))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 1, 0);
    int64_t u = op->attr[A_UNITS], f = op->attr[A_FEATURES];
    if (u < 1 || f < 1 || u > (int64_t)1 << 24 || f > (int64_t)1 << 24 || !valid_activation(op->attr[A_ACT], 1)
        || !valid_activation(op->attr[A_RACT], 1))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 2, 0);
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]], *y = &p->tensors[op->out[0]];
    int sequences = (d->flags & RNNRT_OP_SEQUENCES) != 0;
    if (x->dtype != REAL_DTYPE || x->rank != 3 || !x->timed || !const_dim(p, x, 2, f) || y->dtype != REAL_DTYPE
        || y->rank != (sequences ? 3 : 2) || !const_dim(p, y, y->rank - 1, u) || (sequences && !y->timed))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 3, 0);
    for (int64_t i = 0; i < d->n_out - 1 + d->n_init; i++) {
        const rnnrt_plan_tensor *t = &p->tensors[i < d->n_out - 1 ? op->out[1 + i] : op->init[i - (d->n_out - 1)]];
        if (t->dtype != REAL_DTYPE || t->rank != 2 || !const_dim(p, t, 1, u))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 4, 0);
    }
    if (masked) {
        const rnnrt_plan_tensor *m = &p->tensors[d->mask];
        if (m->dtype != RNNRT_BOOL || m->rank != 2 || !m->timed)
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 5, 0);
    }
    for (int i = 0; i < d->n_state; i++)
        if (p->states[op->state[i]].bytes != (i < nstates ? (int64_t)sizeof(REAL) * u : 4) || p->states[op->state[i]].offset % (int64_t)sizeof(REAL))
            return rnnrt_fail(err, RNNRT_EINVAL, op->index, 6, 0);
    int two_rows = kind == RNNRT_CELL_GRU && (d->flags & RNNRT_OP_RESET_AFTER);
    int64_t stored = op->weight[W_KERNEL] < 0 ? -1 : p->weights[op->weight[W_KERNEL]].dtype, n = gates * u;
    int64_t bias = op->weight[W_BIAS];
    if (!STORED_DTYPE(stored) || !TABLE_OF(v->kernels, (int32_t)stored) || !TYPED(weight_is)(p, op->weight[W_KERNEL], stored, 2, f, n)
        || !TYPED(weight_is)(p, op->weight[W_RECURRENT], stored, 2, u, n)
        || (bias >= 0 && !(two_rows ? TYPED(weight_is)(p, bias, REAL_DTYPE, 2, 2, n) : TYPED(weight_is)(p, bias, REAL_DTYPE, 1, n, 0))))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 7, 0);
    if (d->n_weight != (stored == RNNRT_I8 ? W_SCALED : W_COUNT))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 8, 0);
    if (stored == RNNRT_I8
        && (f > RNNRT_INT8_INPUTS || u > RNNRT_INT8_INPUTS || !TYPED(weight_is)(p, op->weight[W_KERNEL_SCALE], RNNRT_F32, 1, n, 0)
            || !TYPED(weight_is)(p, op->weight[W_RECURRENT_SCALE], RNNRT_F32, 1, n, 0)))
        return rnnrt_fail(err, RNNRT_EINVAL, op->index, 9, 0);
    return RNNRT_OK;
}

/* What prepare makes: this record, the packed weights, the table of projected rows and how far each of them is. */
typedef struct TYPED(made) {
    const rnnrt_kernels *k;
    T_CELL cell;
    rnnrt_cell_sizes sizes;
    REAL *table;                 /* (rows, z_width), or NULL; a row is made when it is first read */
    rnnrt_row_state *state;      /* of each row */
} TYPED(made);

static TYPED(made) TYPED(made_of)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    TYPED(made) made = {.k = TYPED(kernels_for)(v->plan, v->kernels, op), .cell = TYPED(cell_of)(v->plan, op)};
    TABLE(made.k)->cell_sizes(&made.cell, &made.sizes);
    return made;
}

static int64_t TYPED(table_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op, const rnnrt_op *rows)
{
    const rnnrt_plan_weight *w = &v->plan->weights[rows->weight[0]];
    TYPED(made) made = TYPED(made_of)(v, op);
    int64_t f = made.cell.features, line = made.sizes.z_width * (int64_t)sizeof(REAL);
    if (w->dtype != REAL_DTYPE || rnnrt_weight_dtype(v->plan, op->weight[W_KERNEL]) != REAL_DTYPE || f < TABLE_FEATURES
        || w->dims[0] > TABLE_BYTES / line)
        return 0;
    int64_t weights = (w->dims[0] + gates_of(made.cell.kind) * made.cell.units) * f * (int64_t)sizeof(REAL);
    return w->dims[0] * line / TABLE_GROWTH <= weights ? w->dims[0] * line : 0;
}

static int64_t TYPED(prepared_bytes)(const rnnrt_plan_view *v, const rnnrt_op *op)
{
    TYPED(made) made = TYPED(made_of)(v, op);
    return rnnrt_round64(sizeof made) + rnnrt_round64(made.sizes.packed_bytes)
         + (op->rows ? rnnrt_round64(TYPED(table_bytes)(v, op, op->rows)) + v->plan->weights[op->rows->weight[0]].dims[0] : 0);
}

static void TYPED(prepare)(const rnnrt_plan_view *v, const rnnrt_op *op, void *prepared)
{
    TYPED(made) made = TYPED(made_of)(v, op);
    char *packed = (char *)prepared + rnnrt_round64(sizeof made);
    const void *const *data = v->plan->weight_data;
    T_CELL_WEIGHTS w = {.kernel = data[op->weight[W_KERNEL]],
                        .recurrent = data[op->weight[W_RECURRENT]],
                        .bias = op->weight[W_BIAS] >= 0 ? data[op->weight[W_BIAS]] : NULL};
    SET_DTYPE(w, rnnrt_weight_dtype(v->plan, op->weight[W_KERNEL]));
    if (op->desc->n_weight == W_SCALED)
        SET_SCALES(w, data[op->weight[W_KERNEL_SCALE]], data[op->weight[W_RECURRENT_SCALE]]);
    TABLE(made.k)->cell_pack(&made.cell, &w, packed);
    made.cell.packed = packed;
    if (op->rows) {
        char *table = packed + rnnrt_round64(made.sizes.packed_bytes);
        made.table = (REAL *)table;
        made.state = (rnnrt_row_state *)(table + rnnrt_round64(TYPED(table_bytes)(v, op, op->rows)));
        memset((void *)made.state, ROW_FRESH, (size_t)v->plan->weights[op->rows->weight[0]].dims[0]);
    }
    memcpy(prepared, &made, sizeof made);
}

/* Steps whose projection is hoisted at once; 0: none is. */
static int64_t TYPED(hoist_steps)(int64_t steps, int64_t batch, int64_t z_width, int64_t packed_bytes)
{
    if (steps < 2 || batch >= (packed_bytes > CACHED_BYTES ? READING_ROWS : CACHED_ROWS))
        return 0;
    int64_t by_rows = (HOIST_ROWS + batch - 1) / batch;
    int64_t by_bytes = HOIST_BYTES / (batch * z_width * (int64_t)sizeof(REAL));
    int64_t n = by_rows > by_bytes ? by_rows : by_bytes;
    return n < steps ? n : steps;
}

/* What a number of rows that are run together needs for themselves: sets hoist, z, cell and returns where it ends. */
static int64_t TYPED(own_layout)(const TYPED(made) *made, int64_t batch, int64_t steps, layout *l)
{
    /* rows of a table are gathered for one step, a single one is read where it lies */
    l->hoist = made->table ? batch > 1 : TYPED(hoist_steps)(steps, batch, made->sizes.z_width, made->sizes.packed_bytes);
    l->z = 0;
    int64_t rows = l->hoist ? l->hoist * batch : made->table != NULL; /* one that is being made */
    l->cell = rnnrt_round64(rows * made->sizes.z_width * (int64_t)sizeof(REAL));
    return l->cell + rnnrt_round64(TABLE(made->k)->cell_scratch_bytes(&made->cell, batch));
}

/* Threads share out the rows of a batch where each core's cache holds all weights, and where there are no units to share
 * out. Larger weights are read from beyond it, each core its own units': by rows each would read all of them. */
static int TYPED(by_rows)(const TYPED(made) *made, int64_t batch, int64_t threads)
{
    if (threads < 2 || batch < 2 * threads)
        return 0;
    return most_blocks(&made->sizes) == 1 || (batch >= SHARED_ROWS * threads && made->sizes.packed_bytes <= CACHED_BYTES);
}

/* Bytes of scratch from one thread's to the next where rows are shared out. */
static int64_t TYPED(own_stride)(const TYPED(made) *made, int64_t batch, int64_t steps, int64_t threads)
{
    layout most, less;
    int64_t n = (batch + threads - 1) / threads; /* of a part, or one less */
    int64_t a = TYPED(own_layout)(made, n, steps, &most), b = TYPED(own_layout)(made, n - 1, steps, &less);
    return a > b ? a : b;
}

static layout TYPED(scratch_layout)(const TYPED(made) *made, int64_t batch, int64_t steps, int masked, int local,
                                    int64_t threads)
{
    const T_CELL *cell = &made->cell;
    layout l;
    int64_t at = TYPED(own_layout)(made, batch, steps, &l), rows = rnnrt_round64(batch * cell->units * (int64_t)sizeof(REAL));
    if (TYPED(by_rows)(made, batch, threads)) {
        int64_t shared = threads * TYPED(own_stride)(made, batch, steps, threads);
        at = shared > at ? shared : at;
    }
    l.h0 = at;
    at += rows;
    l.h1 = at;
    at += rows;
    l.c = at;
    at += masked ? rows : 0;
    l.local = at;
    l.local_stride = 2 * rnnrt_round64(cell->units * (int64_t)sizeof(REAL)) + 64; /* h | c | has_output */
    at += local ? batch * l.local_stride : 0;
    l.total = at;
    return l;
}

static int32_t TYPED(size)(const rnnrt_sizes *s, const rnnrt_op *op, int64_t *scratch, int64_t *cost, rnnrt_error *err)
{
    const rnnrt_plan *p = s->plan;
    const rnnrt_plan_tensor *x = &p->tensors[op->in[0]];
    int64_t batch = s->dims[x->dims[0]], steps = s->dims[x->dims[1]];
    if (steps < 1)
        return rnnrt_fail(err, RNNRT_ESHAPE, op->index, steps, 1);
    if (op->desc->mask >= 0) {
        const rnnrt_plan_tensor *m = &p->tensors[op->desc->mask];
        if (s->dims[m->dims[0]] != batch || s->dims[m->dims[1]] != steps)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[m->dims[1]], steps);
    }
    for (int64_t i = 0; i < op->desc->n_init; i++)
        if (s->dims[p->tensors[op->init[i]].dims[0]] != batch)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[p->tensors[op->init[i]].dims[0]], batch);
    for (int64_t i = 1; i < op->desc->n_out; i++)
        if (s->dims[p->tensors[op->out[i]].dims[0]] != batch)
            return rnnrt_fail(err, RNNRT_ESHAPE, op->index, s->dims[p->tensors[op->out[i]].dims[0]], batch);
    int32_t rc = rnnrt_axes_agree(s, op, op->desc->flags & RNNRT_OP_SEQUENCES ? 2 : 1, err);
    if (rc)
        return rc;
    const TYPED(made) *made = op->prepared;
    *scratch = TYPED(scratch_layout)(made, batch, s->steps, op->desc->mask >= 0, op->desc->n_state == 0,
                                     s->threads).total;
    int64_t units = made->cell.units, gates = gates_of(made->cell.kind);
    *cost = rnnrt_product_ns(s->kernels, (double)steps, (double)batch, (double)((made->table ? 1 : made->cell.features) + units),
                             (double)(gates * units), p->weights[op->weight[0]].dtype)
          + steps * (batch * gates * units * 8 / s->kernels->vector_floats + 80);
    return RNNRT_OK;
}
