/* Holds the tables to their promises: the FMA tables equal the scalar oracle bit for bit on every path,
 * the others equal themselves on every path, and all stay near double precision. Exit 1 on any failure. */
#include "common.h"
#include "reference.h"

static const rnnrt_kernels *const all[] = {&rnnrt_kernels_oracle, &rnnrt_kernels_avx512_vnni, &rnnrt_kernels_avx512,
                                           &rnnrt_kernels_avx2, &rnnrt_kernels_portable, &rnnrt_kernels_blas};
enum { TABLES = 6, ORACLE = 0, BLAS = 5, MAX_ROWS = 33 };

static const int dtypes[] = {RNNRT_F32, RNNRT_F16, RNNRT_I8};

static long compared, differing, near_checked, near_failed;
static double worst;

/* row-major y = x W for the blas table, in its column-major words; any order will do */
static void test_sgemm(char *ta, char *tb, int *m, int *n, int *k, float *alpha, float *a, int *lda, float *b,
                       int *ldb, float *beta, float *c, int *ldc)
{
    if (*ta != 'N' || *tb != 'N' || *lda < *m || *ldb < *k || *ldc < *m)
        exit(3);
    for (int j = 0; j < *n; j++)
        for (int i = 0; i < *m; i++) {
            float sum = 0;
            for (int p = 0; p < *k; p++)
                sum += a[i + p * *lda] * b[p + j * *ldb];
            c[i + j * *ldc] = *alpha * sum + *beta * c[i + j * *ldc];
        }
}
static void test_sgemv(char *ta, int *m, int *n, float *alpha, float *a, int *lda, float *x, int *incx,
                       float *beta, float *y, int *incy)
{
    int one = 1;
    if (*incx != 1 || *incy != 1)
        exit(3);
    test_sgemm(ta, "N", m, &one, n, alpha, a, lda, x, n, beta, y, m);
}

static int same(const float *a, const float *b, int64_t n)
{
    if (!memcmp(a, b, (size_t)n * sizeof *a))
        return 1;
    for (int64_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) && !(isnan(a[i]) && isnan(b[i])))
            return 0;
    return 1;
}

static void expect_same(const float *a, const float *b, int64_t rows, int64_t width, int64_t stride,
                        const char *table, const char *path, const char *what)
{
    int ok = 1;
    for (int64_t r = 0; r < rows; r++)
        ok &= same(a + r * stride, b + r * stride, width);
    compared++;
    if (!ok && differing++ < 20)
        printf("DIFFERS %s %s: %s\n", table, path, what);
}

static void fill(float *p, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = scale * random_unit();
}
/* -0.0, infinities and NaN strewn in */
static void sprinkle(float *p, int64_t n, int wild)
{
    static const float odd[] = {-0.0f, 0.0f, INFINITY, -INFINITY, NAN, 1e-30f, -3e38f};
    for (int64_t i = 0; i < n; i++) {
        const uint32_t r = random_u32();
        if (r % 8 == 0)
            p[i] = -0.0f;
        else if (wild && r % 97 == 1)
            p[i] = odd[(r >> 16) % 7];
    }
}

/* float weights become halves, truncated, some of them denormal or zero; w is what they widen to */
static uint16_t *halve(float *w, int64_t n)
{
    uint16_t *h = aligned(n * 2);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, w + i, 4);
        const int32_t e = (int32_t)(bits >> 23 & 255) - 112;
        h[i] = (uint16_t)(bits >> 16 & 0x8000u);
        if (random_u32() % 16 == 0)
            h[i] |= (uint16_t)(random_u32() % 0x400u);
        else if (e > 0)
            h[i] |= (uint16_t)((uint32_t)e << 10 | (bits >> 13 & 0x3ffu));
        w[i] = rnnrt_half(h[i]);
    }
    return h;
}

/* float weights (k, n) become whole numbers with a scale for each column; w is what they stand for; -128 too */
static int8_t *quarter(float *w, int64_t k, int64_t n, float *scale)
{
    int8_t *q = aligned(k * n);
    for (int64_t j = 0; j < n; j++) {
        float most = 0;
        for (int64_t i = 0; i < k; i++)
            most = fmaxf(most, fabsf(w[i * n + j]));
        scale[j] = most / 127;
        for (int64_t i = 0; i < k; i++) {
            const float count = most > 0 ? rintf(w[i * n + j] / scale[j]) : 0;
            q[i * n + j] = (int8_t)(count == -127 ? -128 : count);
            w[i * n + j] = (float)q[i * n + j] * scale[j];
        }
    }
    return q;
}

typedef struct cell_case {
    rnnrt_cell cell;
    rnnrt_cell_weights w;
    float *kernel, *recurrent, *bias, *x, *h, *c;
    void *stored[2]; /* kernel and recurrent where they are no floats */
    float *scales;
    int64_t xs, hs, cs;
    char what[160];
} cell_case;

static cell_case make_case(int kind, int reset_after, int64_t u, int64_t d, int biased, int act, int gate,
                           int wild, int dtype)
{
    cell_case t = {.cell = {.kind = kind, .reset_after = reset_after, .dtype = dtype, .units = u, .features = d}};
    const int64_t gates = kind == RNNRT_CELL_LSTM ? 4 : kind == RNNRT_CELL_GRU ? 3 : 1, n = gates * u;
    const float scale = 2.0f / sqrtf((float)(u + d));
    t.cell.activation.kind = act;
    t.cell.recurrent_activation.kind = gate;
    t.xs = d + 3;
    t.hs = u + 5;
    t.cs = u + 1;
    t.kernel = floats(d * n);
    t.recurrent = floats(u * n);
    t.bias = floats(2 * n);
    t.x = floats(MAX_ROWS * t.xs);
    t.h = floats(MAX_ROWS * t.hs);
    t.c = floats(MAX_ROWS * t.cs);
    fill(t.kernel, d * n, scale);
    fill(t.recurrent, u * n, scale);
    fill(t.bias, 2 * n, 0.5f);
    fill(t.x, MAX_ROWS * t.xs, 2);
    fill(t.h, MAX_ROWS * t.hs, 1);
    fill(t.c, MAX_ROWS * t.cs, 1);
    if (wild) {
        sprinkle(t.kernel, d * n, 0);
        sprinkle(t.recurrent, u * n, 0);
        sprinkle(t.bias, 2 * n, 0);
        sprinkle(t.x, MAX_ROWS * t.xs, wild > 1);
        sprinkle(t.h, MAX_ROWS * t.hs, wild > 1);
        sprinkle(t.c, MAX_ROWS * t.cs, wild > 1);
    }
    t.w = (rnnrt_cell_weights){.kernel = t.kernel, .recurrent = t.recurrent, .bias = biased ? t.bias : NULL};
    if (dtype == RNNRT_F16) {
        t.w.kernel = t.stored[0] = halve(t.kernel, d * n);
        t.w.recurrent = t.stored[1] = halve(t.recurrent, u * n);
    }
    if (dtype == RNNRT_I8) {
        t.scales = floats(2 * n);
        t.w.kernel = t.stored[0] = quarter(t.kernel, d, n, t.scales);
        t.w.recurrent = t.stored[1] = quarter(t.recurrent, u, n, t.scales + n);
        t.w.kernel_scale = t.scales;
        t.w.recurrent_scale = t.scales + n;
    }
    t.w.dtype = dtype;
    snprintf(t.what, sizeof t.what, "kind %d reset_after %d U %d D %d bias %d %s/%s wild %d dtype %d", kind,
             reset_after, (int)u, (int)d, biased, activation_names[act], activation_names[gate], wild, dtype);
    return t;
}
static void free_case(cell_case *t)
{
    free(t->kernel);
    free(t->recurrent);
    free(t->bias);
    free(t->x);
    free(t->h);
    free(t->c);
    free(t->stored[0]);
    free(t->stored[1]);
    free(t->scales);
}

typedef struct packed_cell {
    const rnnrt_kernels *k;
    rnnrt_cell cell;
    rnnrt_cell_sizes sizes;
    float *packed;
} packed_cell;

static packed_cell pack(const rnnrt_kernels *k, const cell_case *t)
{
    packed_cell p = {.k = k, .cell = t->cell};
    k = p.k = rnnrt_kernels_of(k, t->cell.dtype);
    k->cell_sizes(&p.cell, &p.sizes);
    p.packed = aligned(p.sizes.packed_bytes);
    memset(p.packed, 0x7f, (size_t)p.sizes.packed_bytes);
    k->cell_pack(&p.cell, &t->w, p.packed);
    p.cell.packed = p.packed;
    return p;
}

/* `rows` rows from `first` on, in one call; hoisted: through project; in place: c_out is c */
static void step(const packed_cell *p, const cell_case *t, int64_t first, int64_t rows, int hoisted, int zigzag,
                 int64_t cut, float *h_out, float *c_out)
{
    const int64_t zs = p->sizes.z_width + (hoisted > 1 ? 16 : 0);
    float *z = floats(rows * zs), *scratch = aligned(p->k->cell_scratch_bytes(&p->cell, rows));
    const float *x = t->x + first * t->xs;
    rnnrt_cell_step s = {
        .rows = rows, .x = x, .x_stride = t->xs, .h = t->h + first * t->hs, .h_stride = t->hs,
        .h_out = h_out + first * t->hs, .h_out_stride = t->hs,
        .scratch = scratch, .zigzag = zigzag,
    };
    if (p->cell.kind == RNNRT_CELL_LSTM) {
        s.c = t->c + first * t->cs;
        s.c_stride = s.c_out_stride = t->cs;
        s.c_out = c_out + first * t->cs;
        if (zigzag) { /* in place */
            for (int64_t r = 0; r < rows; r++)
                memcpy(s.c_out + r * t->cs, s.c + r * t->cs, (size_t)t->cell.units * sizeof(float));
            s.c = s.c_out;
        }
    }
    if (hoisted) {
        const int64_t at = cut < p->sizes.project_blocks ? cut : 0;
        p->k->cell_project(&p->cell, rows, x, t->xs, z, zs, at, RNNRT_ALL_BLOCKS);
        if (at)
            p->k->cell_project(&p->cell, rows, x, t->xs, z, zs, 0, at);
        s.x = NULL;
        s.z = z;
        s.z_stride = zs;
    }
    if (!cut)
        p->k->cell_step(&p->cell, &s);
    /* each phase in two ranges, the later one first */
    for (s.phase = 1; cut && s.phase <= p->sizes.phases; s.phase++) {
        const int64_t n = p->sizes.blocks[s.phase - 1], at = cut < n ? cut : n - 1;
        s.block_begin = at;
        s.block_end = n;
        p->k->cell_step(&p->cell, &s);
        s.block_begin = 0;
        s.block_end = at;
        if (at)
            p->k->cell_step(&p->cell, &s);
    }
    free(z);
    free(scratch);
}

static void expect_near(const char *what, const char *table, double got, double ref, double tolerance)
{
    near_checked++;
    const double error = fabs(got - ref) / fmax(1, fabs(ref));
    if ((isnan(got) && isnan(ref)) || got == ref)
        return;
    if (error > worst)
        worst = error;
    if (!(error <= tolerance) && near_failed++ < 20)
        printf("FAR %s %s: %.9g, double precision %.9g\n", table, what, got, ref);
}

static void check_cell(int kind, int reset_after, int64_t u, int64_t d, int biased, int act, int gate, int wild,
                       int many, int dtype)
{
    cell_case t = make_case(kind, reset_after, u, d, biased, act, gate, wild, dtype);
    const int64_t hn = MAX_ROWS * t.hs, cn = MAX_ROWS * t.cs;
    /* int8: one step of inputs rounded to 1/254 of their largest */
    const double tolerance = dtype == RNNRT_I8 ? 5e-2 : 5e-6;
    float *want_h = floats(hn), *want_c = floats(cn), *h = floats(hn), *c = floats(cn);
    for (int k = 0; k < TABLES; k++) {
        if (!runs(all[k]))
            continue;
        packed_cell p = pack(all[k], &t);
        const int own = all[k]->bitwise_group == 0 || k == ORACLE;
        if (own) { /* its own single rows are what its other paths must equal */
            memset(want_h, 0, (size_t)hn * sizeof *h);
            memset(want_c, 0, (size_t)cn * sizeof *c);
            for (int64_t r = 0; r < MAX_ROWS; r++)
                step(&p, &t, r, 1, 0, 0, 0, want_h, want_c);
        }
        if (own && !wild) { /* two of the rows against double precision */
            double *dh = malloc((size_t)u * 11 * sizeof *dh), *dc = dh + u, *work = dc + u;
            for (int64_t r = 0; r < 2; r++) {
                for (int64_t i = 0; i < u; i++) {
                    dh[i] = (double)t.h[r * t.hs + i];
                    dc[i] = (double)t.c[r * t.cs + i];
                }
                ref_step(&t.cell, t.kernel, t.recurrent, biased ? t.bias : NULL, t.x + r * t.xs, dh, dc, work);
                for (int64_t i = 0; i < u; i++) {
                    expect_near(t.what, all[k]->name, (double)want_h[r * t.hs + i], dh[i], tolerance);
                    if (kind == RNNRT_CELL_LSTM)
                        expect_near(t.what, all[k]->name, (double)want_c[r * t.cs + i], dc[i], tolerance);
                }
            }
            free(dh);
        }
        for (int64_t rows = 1; k != BLAS && rows <= MAX_ROWS; rows = rows < 16 ? rows + 1 : rows + 17) {
            if (!many && rows != 1 && rows != 2 && rows != 5 && rows != 7 && rows != 16)
                continue;
            if (k == ORACLE && rows > 3)
                continue;
            for (int path = 0; path < 4; path++) {
                /* 0: x; 1: z; 2: x, zigzag, in place; 3: z, zigzag, in two ranges of blocks */
                const int64_t first = rows < 16 ? (rows * 7 + path) % (MAX_ROWS - rows + 1) : 0;
                char name[64];
                memset(h, 0x55, (size_t)hn * sizeof *h);
                memset(c, 0x55, (size_t)cn * sizeof *c);
                step(&p, &t, first, rows, path % 2 ? 1 + (path == 3) : 0, path >= 2,
                     path == 3 ? 1 + rows % 3 : 0, h, c);
                snprintf(name, sizeof name, "rows %d path %d", (int)rows, path);
                expect_same(want_h + first * t.hs, h + first * t.hs, rows, u, t.hs, all[k]->name, name, t.what);
                if (kind == RNNRT_CELL_LSTM)
                    expect_same(want_c + first * t.cs, c + first * t.cs, rows, u, t.cs, all[k]->name, name,
                                t.what);
                for (int64_t r = first; r < first + rows; r++) /* nothing beyond the width was touched */
                    for (int64_t i = u; i < t.hs; i++) {
                        uint32_t bits;
                        memcpy(&bits, h + r * t.hs + i, 4);
                        if (bits != 0x55555555u && differing++ < 20)
                            printf("OVERRUN %s %s: %s\n", all[k]->name, name, t.what);
                    }
            }
        }
        free(p.packed);
    }
    free(want_h);
    free(want_c);
    free(h);
    free(c);
    free_case(&t);
}

/* the definition in kernels.h, written once more */
static void expect_int8(const char *what, int64_t k, int64_t n, int64_t column, const float *x, const int8_t *w,
                        float column_scale, float bias, float got)
{
    float most = 0;
    int64_t sum = 0;
    for (int64_t i = 0; i < k; i++)
        most = fmaxf(most, fabsf(x[i]));
    const float inverse = 127 / most, scale = most / 127;
    for (int64_t i = 0; i < k; i++)
        sum += (int64_t)nearbyintf(x[i] * inverse) * w[i * n + column];
    const float both = scale * column_scale, want = fmaf((float)sum, both, bias);
    expect_same(&want, &got, 1, 1, 1, "oracle", "int8 by its definition", what);
}

static void check_dense(int64_t inputs, int64_t outputs, int biased, int act, int wild, int dtype)
{
    const int64_t xs = inputs + 2, ys = outputs + 3;
    float *w = floats(inputs * outputs), *b = floats(outputs), *x = floats(MAX_ROWS * xs);
    float *want = floats(MAX_ROWS * ys), *y = floats(MAX_ROWS * ys);
    char what[100];
    fill(w, inputs * outputs, 1);
    fill(b, outputs, 1);
    fill(x, MAX_ROWS * xs, 1);
    if (wild) {
        sprinkle(w, inputs * outputs, 0);
        sprinkle(x, MAX_ROWS * xs, wild > 1);
    }
    float *scale = floats(outputs);
    void *stored = dtype == RNNRT_F16 ? (void *)halve(w, inputs * outputs)
                 : dtype == RNNRT_I8  ? (void *)quarter(w, inputs, outputs, scale) : NULL;
    snprintf(what, sizeof what, "dense K %d N %d bias %d %s wild %d dtype %d", (int)inputs, (int)outputs, biased,
             activation_names[act], wild, dtype);
    for (int k = 0; k < TABLES; k++) {
        if (!runs(all[k]))
            continue;
        rnnrt_dense d = {.dtype = dtype, .inputs = inputs, .outputs = outputs,
                         .activation = {.kind = act, .param = {0.3f}}};
        const rnnrt_kernels *own = rnnrt_kernels_of(all[k], dtype);
        float *packed = aligned(own->dense_packed_bytes(&d));
        own->dense_pack(&d, stored ? stored : w, biased ? b : NULL, scale, packed);
        d.packed = packed;
        if (all[k]->bitwise_group == 0 || k == ORACLE) {
            for (int64_t r = 0; r < MAX_ROWS; r++)
                own->dense(&d, 1, x + r * xs, xs, want + r * ys, ys, 0, RNNRT_ALL_BLOCKS);
            for (int64_t j = 0; !wild && j < outputs; j++) {
                double sum = biased ? (double)b[j] : 0;
                for (int64_t i = 0; i < inputs; i++)
                    sum += (double)x[i] * (double)w[i * outputs + j];
                if (dtype != RNNRT_I8)
                    expect_near(what, all[k]->name, (double)want[j], ref_act(&d.activation, sum), 1e-5);
                else if (k == ORACLE && act == RNNRT_ACT_LINEAR)
                    expect_int8(what, inputs, outputs, j, x, stored, scale[j], biased ? b[j] : 0, want[j]);
            }
        }
        for (int64_t rows = 1; k != BLAS && rows <= MAX_ROWS; rows = rows < 16 ? rows + 1 : rows + 17) {
            const int64_t first = rows < 16 ? (rows * 5) % (MAX_ROWS - rows + 1) : 0;
            char name[32];
            snprintf(name, sizeof name, "rows %d", (int)rows);
            memset(y, 0x55, (size_t)(MAX_ROWS * ys) * sizeof *y);
            const int64_t at = own->dense_blocks(&d) * (rows % 3) / 4; /* 0, or in two ranges of blocks */
            own->dense(&d, rows, x + first * xs, xs, y, ys, at, RNNRT_ALL_BLOCKS);
            if (at)
                own->dense(&d, rows, x + first * xs, xs, y, ys, 0, at);
            expect_same(want + first * ys, y, rows, outputs, ys, all[k]->name, name, what);
            uint32_t bits;
            memcpy(&bits, y + outputs, 4);
            if (bits != 0x55555555u && differing++ < 20)
                printf("OVERRUN %s: %s\n", all[k]->name, what);
        }
        free(packed);
    }
    free(w);
    free(stored);
    free(scale);
    free(b);
    free(x);
    free(want);
    free(y);
}

#include "check_functions.h"

int main(int argc, char **argv)
{
    const int quick = argc > 1 && !strcmp(argv[1], "quick");
    static const int sizes[] = {1, 2, 3, 5, 7, 8, 15, 16, 17, 20, 31, 33, 48, 64, 65, 100, 129};
    const int count = sizeof sizes / sizeof *sizes;
    const rnnrt_fpenv env = rnnrt_fpenv_enter();
    rnnrt_blas_set(test_sgemm, test_sgemv);
    static const struct { int act, gate, many, wild; } kinds[] = {
        {RNNRT_ACT_TANH, RNNRT_ACT_SIGMOID, 1, 0},
        {RNNRT_ACT_TANH, RNNRT_ACT_SIGMOID, 0, 1},
        {RNNRT_ACT_TANH, RNNRT_ACT_SIGMOID, 0, 2},
        {RNNRT_ACT_RELU, RNNRT_ACT_HARD_SIGMOID_K2, 0, 0},
        {RNNRT_ACT_SOFTSIGN, RNNRT_ACT_HARD_SIGMOID_K3, 0, 2},
        {RNNRT_ACT_TANH, RNNRT_ACT_SOFTMAX, 0, 0},
        {RNNRT_ACT_SOFTMAX, RNNRT_ACT_SIGMOID, 0, 0},
        {RNNRT_ACT_LOG_SOFTMAX, RNNRT_ACT_SPARSEMAX, 0, 2},
    };
    for (int c = 0; c < 4; c++) { /* SimpleRNN, LSTM, GRU before, GRU after */
        const long before = compared;
        worst = 0;
        for (int i = 0; i < count; i++)
            for (int j = 0; j < count; j++) {
                for (size_t v = 0; v < sizeof kinds / sizeof *kinds; v++) {
                    if ((quick && (i + j * 5 + (int)v) % 7) || (v && (i * 3 + j + (int)v) % 4))
                        continue;
                    for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++)
                        if (!t || (i + 2 * j + (int)v + (int)t) % 3 == 0)
                            check_cell(c < 2 ? c : RNNRT_CELL_GRU, c == 3, sizes[i], sizes[j],
                                       (i + j + (int)v) % 3 != 0, kinds[v].act, kinds[v].gate, kinds[v].wild,
                                       kinds[v].many, dtypes[t]);
                }
            }
        printf("%s: %ld comparisons, worst error %.2g\n",
               c == 0 ? "SimpleRNN" : c == 1 ? "LSTM" : c == 2 ? "GRU reset before" : "GRU reset after",
               compared - before, worst);
    }
    long before = compared;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            for (int v = 0; v < 3; v++)
                for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++)
                    if (!quick || (i + j) % 5 == 0)
                        check_dense(sizes[i], sizes[j], v != 1,
                                    v == 0 ? RNNRT_ACT_LINEAR : v == 1 ? RNNRT_ACT_RELU : RNNRT_ACT_TANH, v, dtypes[t]);
    for (int n = 1; n <= 9; n++)
        for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++)
            check_dense(512, n, 1, RNNRT_ACT_SIGMOID, 0, dtypes[t]);
    printf("dense: %ld comparisons\n", compared - before);
    before = compared;
    check_rows();
    printf("rows: %ld comparisons\n", compared - before);
    before = compared;
    printf("functions, over every %s float bit pattern:\n", quick ? "65536th" : "1024th");
    check_functions(quick ? 16 : 10);
    printf("functions: %ld comparisons\n", compared - before);
    rnnrt_fpenv_leave(env);
    printf("%ld comparisons, %ld differ; %ld values near double precision, %ld far\n", compared, differing,
           near_checked, near_failed);
    return differing || near_failed;
}
