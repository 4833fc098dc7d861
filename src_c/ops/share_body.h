/* A dense layer over REAL, its rows or its outputs shared out among the threads of the call. Included twice; see
 * typed.h. */

typedef struct TYPED(rnnrt_dense_job) {
    const rnnrt_kernels *k;
    const T_DENSE *d;
    int64_t rows, x_stride, y_stride;
    const REAL *x;
    REAL *y;
    int64_t parts;
    int by_rows;
} TYPED(rnnrt_dense_job);

static void TYPED(rnnrt_dense_part)(void *context, int64_t part, int64_t step)
{
    const TYPED(rnnrt_dense_job) *j = context;
    int64_t n = j->by_rows ? j->rows : TABLE(j->k)->dense_blocks(j->d);
    int64_t begin = rnnrt_part_begin(n, part, j->parts), end = rnnrt_part_begin(n, part + 1, j->parts);
    (void)step;
    if (begin == end)
        return;
    if (j->by_rows)
        TABLE(j->k)->dense(j->d, end - begin, j->x + begin * j->x_stride, j->x_stride, j->y + begin * j->y_stride,
                           j->y_stride, 0, RNNRT_ALL_BLOCKS);
    else
        TABLE(j->k)->dense(j->d, j->rows, j->x, j->x_stride, j->y, j->y_stride, begin, end);
}

/* k: the table for the dtype of the weights. Few rows share out the outputs, since each core then reads its own
 * weights only; many rows are shared out themselves. */
static inline void TYPED(rnnrt_dense)(rnnrt_team *team, const rnnrt_kernels *k, const T_DENSE *d, int64_t rows,
                                      const REAL *x, int64_t x_stride, REAL *y, int64_t y_stride)
{
    int64_t parts = rnnrt_parts(team, rows * d->inputs * d->outputs);
    if (parts > 1) {
        TYPED(rnnrt_dense_job) job = {k, d, rows, x_stride, y_stride, x, y, parts, rows >= RNNRT_TEAM_ROWS * parts};
        if (job.by_rows || TABLE(k)->dense_blocks(d) >= parts) {
            rnnrt_team_run(team, parts, 1, TYPED(rnnrt_dense_part), &job);
            return;
        }
    }
    TABLE(k)->dense(d, rows, x, x_stride, y, y_stride, 0, RNNRT_ALL_BLOCKS);
}
