/* The walk over steps of recurrent.c over REAL, and how threads share it. Included twice; see typed.h. */

/* Everything of one run that the loop over steps needs. */
typedef struct TYPED(loop) {
    const TYPED(made) *made;
    const rnnrt_view *x, *y;
    int64_t batch, units, steps, walked;
    int reverse_in, reverse_out, sequences, by_rows;
    int64_t row_reals;
    REAL *h, *c;                 /* in the state rows, stride row_reals */
    const rnnrt_view *mask;      /* or NULL */
    int32_t *has_output;         /* in the state rows, where there is a mask */
    int zero_masked;
    layout l;
    char *scratch;               /* z and that of the cell */
    REAL *aside[2], *c_aside;    /* rows of h after even and odd steps, of c under a mask */
    rnnrt_team *team;            /* NULL: no units are shared out */
    int64_t step_work, project_work; /* multiply-adds of a step, of its hoisted projection */
} TYPED(loop);

static void TYPED(copy_rows)(REAL *dst, int64_t dst_stride, const REAL *src, int64_t src_stride, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++)
        memcpy(dst + r * dst_stride, src + r * src_stride, (size_t)n * sizeof(REAL));
}

/* Only ever writes what a row is to hold, so that one written twice can be read meanwhile: a race that does not matter,
 * and that the sanitizer need not tell. */
#if defined(__SANITIZE_THREAD__)
__attribute__((no_sanitize("thread")))
#endif
static void TYPED(publish)(REAL *row, const REAL *z, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        row[i] = z[i];
}

/* Both stay out of line: the loop over steps is 5 % slower where they are a part of its function.
 * z: a row of scratch, where the kernels may leave sums that are not whole yet. */
__attribute__((cold, noinline))
static void TYPED(make_row)(const TYPED(made) *made, const REAL *rows, int64_t r, REAL *z)
{
    unsigned char seen = ROW_FRESH;
    if (!atomic_compare_exchange_strong(&made->state[r], &seen, ROW_TAKEN)) {
        for (int i = 0; seen == ROW_TAKEN && i < ROW_PATIENCE; i++) {
            rnnrt_relax();
            seen = atomic_load_explicit(&made->state[r], memory_order_acquire);
        }
        if (seen == ROW_MADE)
            return;
        /* who waits no longer publishes the same numbers */
    }
    int64_t f = made->cell.features, zw = made->sizes.z_width;
    TABLE(made->k)->cell_project(&made->cell, 1, rows + r * f, f, z, zw, 0, RNNRT_ALL_BLOCKS);
    TYPED(publish)(made->table + r * zw, z, zw);
    atomic_store_explicit(&made->state[r], ROW_MADE, memory_order_release);
}

/* Makes the rows of the table that x, numbers of rows of the embedding, reads for the first time. */
__attribute__((noinline))
static void TYPED(make_rows)(const TYPED(made) *made, const rnnrt_op *embedding, const rnnrt_view *x, REAL *z)
{
    for (int64_t b = 0; b < x->batch; b++)
        for (int64_t t = 0; t < x->steps; t++) {
            int64_t r = *(const int32_t *)((const REAL *)x->data + b * x->batch_stride + t * made->cell.features);
            if (atomic_load_explicit(&made->state[r], memory_order_acquire) != ROW_MADE)
                TYPED(make_row)(made, embedding->prepared, r, z);
        }
}

/* The table's row for a batch row at a processing step, by the number that the embedding wrote. */
static const REAL *TYPED(table_row)(const TYPED(loop) *lp, int64_t b, int64_t s)
{
    int64_t t = lp->reverse_in ? lp->steps - 1 - s : s;
    const REAL *x = (const REAL *)lp->x->data + b * lp->x->batch_stride + t * lp->made->cell.features;
    return lp->made->table + *(const int32_t *)x * lp->made->sizes.z_width;
}

static void TYPED(gather)(const TYPED(loop) *lp, int64_t s, REAL *z)
{
    int64_t zw = lp->made->sizes.z_width;
    for (int64_t b = 0; b < lp->batch; b++)
        memcpy(z + b * zw, TYPED(table_row)(lp, b, s), (size_t)zw * sizeof(REAL));
}

/* A row of the next step, which may lie beyond the caches, is asked for during this one. */
static void TYPED(ask)(const TYPED(loop) *lp, int64_t s)
{
    if (s >= lp->steps)
        return;
    const char *row = (const char *)TYPED(table_row)(lp, 0, s);
    int64_t bytes = lp->made->sizes.z_width * (int64_t)sizeof(REAL);
    for (int64_t at = 0; at < bytes; at += 64)
        __builtin_prefetch(row + at);
}

/* Blocks [begin, end) of the projection of processing steps [s, s+n) into scratch; row (step, batch) or (batch, step),
 * whichever gives the matrix kernel longer runs. */
static void TYPED(project)(const TYPED(loop) *lp, int64_t s, int64_t n, int64_t begin, int64_t end)
{
    REAL *z = (REAL *)(lp->scratch + lp->l.z);
    const T_CELL *cell = &lp->made->cell;
    int64_t zw = lp->made->sizes.z_width, f = cell->features, d = lp->reverse_in ? -1 : 1;
    const REAL *x = (const REAL *)lp->x->data;
    int64_t first = lp->reverse_in ? lp->steps - 1 - s : s;
    if (n >= lp->batch) {
        for (int64_t b = 0; b < lp->batch; b++)
            TABLE(lp->made->k)->cell_project(cell, n, x + b * lp->x->batch_stride + first * f, d * f, z + b * n * zw, zw,
                                             begin, end);
    } else {
        for (int64_t t = 0; t < n; t++)
            TABLE(lp->made->k)->cell_project(cell, lp->batch, x + (first + d * t) * f, lp->x->batch_stride,
                                             z + t * lp->batch * zw, zw, begin, end);
    }
}

/* Steps that are run together: what they have of the input, and how threads share them. */
typedef struct TYPED(span) {
    const TYPED(loop) *lp;
    int64_t first, n;            /* processing steps */
    const REAL *z;               /* hoisted, of the first; or NULL */
    int64_t z_step, z_row;       /* strides */
    int64_t begin;               /* first step of a job */
    int64_t parts;
    const T_CELL_STEP *masked;   /* the one step of a job under a mask */
} TYPED(span);

static void TYPED(project_part)(void *context, int64_t part, int64_t step)
{
    const TYPED(span) *sp = context;
    int64_t n = sp->lp->made->sizes.project_blocks;
    int64_t begin = rnnrt_part_begin(n, part, sp->parts), end = rnnrt_part_begin(n, part + 1, sp->parts);
    (void)step;
    if (begin < end)
        TYPED(project)(sp->lp, sp->first, sp->n, begin, end);
}

/* Hoists the projection of a span; of a table gathers the rows of its one step. */
static void TYPED(hoist)(TYPED(span) *sp)
{
    const TYPED(loop) *lp = sp->lp;
    int64_t zw = lp->made->sizes.z_width;
    sp->z = (const REAL *)(lp->scratch + lp->l.z);
    if (lp->made->table) {
        sp->z_row = zw;
        TYPED(gather)(lp, sp->first, (REAL *)(lp->scratch + lp->l.z));
        return;
    }
    sp->z_step = sp->n >= lp->batch ? zw : lp->batch * zw;
    sp->z_row = sp->n >= lp->batch ? sp->n * zw : zw;
    sp->parts = rnnrt_parts(lp->team, sp->n * lp->project_work);
    if (sp->parts > 1)
        rnnrt_team_run(lp->team, sp->parts, 1, TYPED(project_part), sp);
    else
        TYPED(project)(lp, sp->first, sp->n, 0, RNNRT_ALL_BLOCKS);
}

static void TYPED(fill_step)(const TYPED(span) *sp, T_CELL_STEP *st, int64_t s)
{
    const TYPED(loop) *lp = sp->lp;
    st->rows = lp->batch;
    st->scratch = (REAL *)(lp->scratch + lp->l.cell);
    st->zigzag = (int32_t)((lp->walked + s) & 1);
    if (sp->z) {
        st->z = sp->z + (s - sp->first) * sp->z_step;
        st->z_stride = sp->z_row;
    } else if (lp->made->table) {
        st->z = TYPED(table_row)(lp, 0, s);
        TYPED(ask)(lp, s + 1);
    } else {
        int64_t t = lp->reverse_in ? lp->steps - 1 - s : s;
        st->x = (const REAL *)lp->x->data + t * lp->made->cell.features;
        st->x_stride = lp->x->batch_stride;
    }
}

static REAL *TYPED(output_at)(const TYPED(loop) *lp, int64_t s)
{
    return (REAL *)lp->y->data + (lp->reverse_out ? lp->steps - 1 - s : s) * lp->units;
}

/* Where the h of a step without a mask lies: in the output, where the next step finds it; that before the first step
 * in the state rows. */
static REAL *TYPED(h_after)(const TYPED(loop) *lp, int64_t s, int64_t *stride)
{
    if (s < 0) {
        *stride = lp->row_reals;
        return lp->h;
    }
    *stride = lp->sequences ? lp->y->batch_stride : lp->units;
    return lp->sequences ? TYPED(output_at)(lp, s) : lp->aside[s & 1];
}

static void TYPED(fill_plain)(const TYPED(span) *sp, T_CELL_STEP *st, int64_t s)
{
    const TYPED(loop) *lp = sp->lp;
    TYPED(fill_step)(sp, st, s);
    st->h = TYPED(h_after)(lp, s - 1, &st->h_stride);
    st->h_out = TYPED(h_after)(lp, s, &st->h_out_stride);
    st->c = lp->c;
    st->c_out = lp->c;
    st->c_stride = st->c_out_stride = lp->row_reals;
}

/* One part of one phase of a step; the phases of all steps of the job are numbered through. */
static void TYPED(step_part)(void *context, int64_t part, int64_t step)
{
    const TYPED(span) *sp = context;
    const rnnrt_cell_sizes *sizes = &sp->lp->made->sizes;
    T_CELL_STEP st = {0};
    int64_t phase = step % sizes->phases, n = sizes->blocks[phase];
    if (rnnrt_part_begin(n, part, sp->parts) == rnnrt_part_begin(n, part + 1, sp->parts))
        return;
    if (sp->masked)
        st = *sp->masked;
    else
        TYPED(fill_plain)(sp, &st, sp->begin + step / sizes->phases);
    st.phase = (int32_t)phase + 1;
    st.block_begin = rnnrt_part_begin(n, part, sp->parts);
    st.block_end = rnnrt_part_begin(n, part + 1, sp->parts);
    TABLE(sp->lp->made->k)->cell_step(&sp->lp->made->cell, &st);
}

/* Steps without a mask. Jobs are short, so that a team whose threads get no cores is left alone soon. */
static void TYPED(plain_steps)(TYPED(span) *sp)
{
    const TYPED(loop) *lp = sp->lp;
    T_CELL_STEP st = {0};
    for (int64_t s = sp->first, end = sp->first + sp->n; s < end;) {
        sp->parts = rnnrt_parts(lp->team, lp->step_work);
        if (sp->parts > 1) {
            int64_t n = end - s < JOB_STEPS ? end - s : JOB_STEPS;
            sp->begin = s;
            rnnrt_team_run(lp->team, sp->parts, n * lp->made->sizes.phases, TYPED(step_part), sp);
            s += n;
        } else {
            TYPED(fill_plain)(sp, &st, s++);
            TABLE(lp->made->k)->cell_step(&lp->made->cell, &st);
        }
    }
}

/* A step under a mask: all rows are computed aside, the unmasked ones are taken over. */
static void TYPED(masked_step)(TYPED(span) *sp, int64_t s)
{
    const TYPED(loop) *lp = sp->lp;
    int64_t t = lp->reverse_in ? lp->steps - 1 - s : s, mask_stride = lp->mask->batch_stride;
    const char *m = lp->mask->data + t;
    REAL *h_new = lp->aside[0], *c_new = lp->c_aside;
    REAL *out = lp->sequences ? TYPED(output_at)(lp, s) : (REAL *)lp->y->data;
    int64_t u = lp->units, rf = lp->row_reals, any = 0;
    for (int64_t b = 0; b < lp->batch; b++)
        any |= m[b * mask_stride];
    if (any) {
        T_CELL_STEP st = {.h = lp->h, .h_stride = rf, .h_out = h_new, .h_out_stride = u,
                          .c = lp->c, .c_stride = rf, .c_out = lp->c ? c_new : NULL, .c_out_stride = u};
        TYPED(fill_step)(sp, &st, s);
        sp->parts = rnnrt_parts(lp->team, lp->step_work);
        sp->masked = &st;
        if (sp->parts > 1)
            rnnrt_team_run(lp->team, sp->parts, lp->made->sizes.phases, TYPED(step_part), sp);
        else
            TABLE(lp->made->k)->cell_step(&lp->made->cell, &st);
    }
    for (int64_t b = 0; b < lp->batch; b++) {
        REAL *y = out + b * lp->y->batch_stride;
        int32_t *has = (int32_t *)((char *)lp->has_output + b * rf * (int64_t)sizeof(REAL));
        if (m[b * mask_stride]) {
            memcpy(lp->h + b * rf, h_new + b * u, (size_t)u * sizeof(REAL));
            if (lp->c)
                memcpy(lp->c + b * rf, c_new + b * u, (size_t)u * sizeof(REAL));
            memcpy(y, h_new + b * u, (size_t)u * sizeof(REAL));
            *has = 1;
        } else if (*has && !lp->zero_masked) {
            memcpy(y, lp->h + b * rf, (size_t)u * sizeof(REAL));
        } else {
            memset(y, 0, (size_t)u * sizeof(REAL));
        }
    }
}

/* Processing steps [s, end). */
static void TYPED(walk)(const TYPED(loop) *lp, int64_t s, int64_t end)
{
    while (s < end) {
        TYPED(span) sp = {.lp = lp, .first = s};
        sp.n = lp->l.hoist && end - s > lp->l.hoist ? lp->l.hoist : end - s;
        if (lp->l.hoist)
            TYPED(hoist)(&sp);
        if (!lp->mask)
            TYPED(plain_steps)(&sp);
        for (int64_t i = 0; lp->mask && i < sp.n; i++)
            TYPED(masked_step)(&sp, s + i);
        s += sp.n;
    }
}

/* Steps whose rows are shared out: each thread walks its rows alone, from meeting to meeting. */
typedef struct TYPED(row_job) {
    const TYPED(loop) *lp;
    int64_t parts, first, end, stride; /* steps of the job; those from one meeting to the next */
} TYPED(row_job);

static void TYPED(row_part)(void *context, int64_t part, int64_t step)
{
    const TYPED(row_job) *j = context;
    TYPED(loop) lp = *j->lp;
    rnnrt_view x = *lp.x, y = *lp.y, mask;
    int64_t row = rnnrt_part_begin(lp.batch, part, j->parts), n = rnnrt_part_begin(lp.batch, part + 1, j->parts) - row;
    lp.scratch += part * TYPED(own_stride)(lp.made, lp.batch, lp.steps, j->parts);
    TYPED(own_layout)(lp.made, n, lp.steps, &lp.l);
    x.data += row * x.batch_stride * (int64_t)sizeof(REAL);
    y.data += row * y.batch_stride * (int64_t)sizeof(REAL);
    lp.x = &x;
    lp.y = &y;
    if (lp.mask) {
        mask = *lp.mask;
        mask.data += row * mask.batch_stride;
        lp.mask = &mask;
        lp.has_output = (int32_t *)((char *)lp.has_output + row * lp.row_reals * (int64_t)sizeof(REAL));
        lp.c_aside += row * lp.units;
    }
    lp.h += row * lp.row_reals;
    lp.c = lp.c ? lp.c + row * lp.row_reals : NULL;
    lp.aside[0] += row * lp.units;
    lp.aside[1] += row * lp.units;
    lp.batch = n;
    lp.team = NULL;
    int64_t s = j->first + step * j->stride;
    TYPED(walk)(&lp, s, s + j->stride < j->end ? s + j->stride : j->end);
}

static void TYPED(share_rows)(const TYPED(loop) *lp, rnnrt_team *team)
{
    int64_t stride = MEET_WORK / (lp->step_work + lp->project_work) + 1;
    for (int64_t s = 0; s < lp->steps;) {
        int64_t n = lp->steps - s < stride * MEETINGS ? lp->steps - s : stride * MEETINGS;
        int64_t parts = rnnrt_parts(team, (n < stride ? n : stride) * lp->step_work);
        TYPED(row_job) j = {lp, parts, s, s + n, stride};
        if (parts > 1)
            rnnrt_team_run(team, parts, (n + stride - 1) / stride, TYPED(row_part), &j);
        else
            TYPED(walk)(lp, s, s + n);
        s += n;
    }
}

/* Whether and how much there is to share out. */
static void TYPED(meet)(TYPED(loop) *lp, const rnnrt_run *run, const rnnrt_op *op)
{
    lp->team = NULL;
    if (!run->team)
        return;
    int64_t columns = lp->batch * gates_of(lp->made->cell.kind) * lp->units;
    if (rnnrt_weight_dtype(run->plan, op->weight[W_KERNEL]) == RNNRT_I8)
        columns /= INT8_TIMES;
    lp->team = lp->by_rows || most_blocks(&lp->made->sizes) == 1 ? NULL : run->team;
    lp->step_work = columns * (lp->units + (lp->l.hoist || lp->made->table ? 0 : lp->made->cell.features));
    lp->project_work = columns * lp->made->cell.features;
}

static int32_t TYPED(run)(const rnnrt_run *run, const rnnrt_op *op)
{
    const rnnrt_plan_op *d = op->desc;
    TYPED(loop) lp;
    lp.made = op->prepared;
    lp.x = rnnrt_in(run, op, 0);
    lp.y = rnnrt_out(run, op, 0);
    lp.batch = lp.x->batch;
    lp.units = lp.made->cell.units;
    lp.steps = lp.x->steps;
    lp.walked = run->walked + run->position;
    lp.reverse_in = (d->flags & RNNRT_OP_REVERSE_IN) != 0;
    lp.reverse_out = (d->flags & RNNRT_OP_REVERSE_OUT) != 0;
    lp.sequences = (d->flags & RNNRT_OP_SEQUENCES) != 0;
    lp.scratch = run->scratch;
    int nstates = states_of(lp.made->cell.kind), local = d->n_state == 0;
    lp.l = TYPED(scratch_layout)(lp.made, lp.batch, lp.steps, d->mask >= 0, local, run->threads);
    if (lp.made->table)
        TYPED(make_rows)(lp.made, op->rows, lp.x, (REAL *)(run->scratch + lp.l.z));
    lp.aside[0] = (REAL *)(run->scratch + lp.l.h0);
    lp.aside[1] = (REAL *)(run->scratch + lp.l.h1);
    lp.c_aside = (REAL *)(run->scratch + lp.l.c);
    lp.by_rows = TYPED(by_rows)(lp.made, lp.batch, run->threads);
    TYPED(meet)(&lp, run, op);
    lp.row_reals = (local ? lp.l.local_stride : run->row_bytes) / (int64_t)sizeof(REAL);
    char *slot[3]; /* h, c, has_output of the first row */
    for (int i = 0; i < 3; i++) {
        int given = i < 2 ? i : nstates;
        if (local)
            slot[i] = run->scratch + lp.l.local + i * rnnrt_round64(lp.units * (int64_t)sizeof(REAL));
        else
            slot[i] = given < d->n_state ? run->rows + run->plan->states[op->state[given]].offset : NULL;
    }
    if (local && run->first_tile)
        memset(run->scratch + lp.l.local, 0, (size_t)(lp.batch * lp.l.local_stride));
    lp.h = (REAL *)slot[0];
    lp.c = nstates > 1 ? (REAL *)slot[1] : NULL;
    /* a session was given its states at the reset; what starts anew in each call takes them each time */
    int anew = !run->carry || local || (d->n_state && run->plan->states[op->state[0]].restart);
    if (run->first_tile && d->n_init && anew) {
        for (int i = 0; i < nstates; i++) {
            const rnnrt_view *v = &run->views[op->init[i]];
            TYPED(copy_rows)(i ? lp.c : lp.h, lp.row_reals, (const REAL *)v->data, v->batch_stride, lp.batch, lp.units);
        }
    }
    lp.mask = d->mask >= 0 ? &run->views[d->mask] : NULL;
    lp.has_output = (int32_t *)slot[2];
    lp.zero_masked = (d->flags & RNNRT_OP_ZERO_MASKED) != 0;
    if (run->team && lp.by_rows)
        TYPED(share_rows)(&lp, run->team);
    else
        TYPED(walk)(&lp, 0, lp.steps);
    if (!lp.mask) {
        int64_t stride;
        const REAL *h = TYPED(h_after)(&lp, lp.steps - 1, &stride);
        TYPED(copy_rows)(lp.h, lp.row_reals, h, stride, lp.batch, lp.units);
        if (!lp.sequences)
            TYPED(copy_rows)((REAL *)lp.y->data, lp.y->batch_stride, h, stride, lp.batch, lp.units);
    }
    for (int i = 0; i < d->n_out - 1; i++) {
        const rnnrt_view *v = rnnrt_out(run, op, 1 + i);
        TYPED(copy_rows)((REAL *)v->data, v->batch_stride, i ? lp.c : lp.h, lp.row_reals, lp.batch, lp.units);
    }
    return RNNRT_OK;
}
