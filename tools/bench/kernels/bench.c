/* Times the kernels against a pure read loop over the same bytes: microseconds per step, minima of many runs.
 * bench [table ...]: avx512 and avx2 where the CPU has them.
 * bench narrow: only float16 and int8 weights beside float32. */
#include "common.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static double budget = 0.03; /* seconds per figure */

typedef struct job {
    const rnnrt_kernels *k;
    rnnrt_cell cell;
    rnnrt_cell_sizes sizes;
    int64_t rows, steps;
    float *packed, *x, *z, *h[2], *c, *scratch;
    rnnrt_dense dense;
    int flip;
} job;

/* floats within +-scale become halves (truncated) or counts of scale / 127, in place */
static void narrow(int dtype, float *w, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, w + i, 4);
        const int32_t e = (int32_t)(bits >> 23 & 255) - 112;
        if (dtype == RNNRT_F16)
            ((uint16_t *)w)[i] = (uint16_t)((bits >> 16 & 0x8000u) | (e > 0 ? (uint32_t)e << 10 | (bits >> 13 & 0x3ffu) : 0));
        else if (dtype == RNNRT_I8)
            ((int8_t *)w)[i] = (int8_t)rintf(w[i] / scale * 127);
    }
}

static job make_as(const rnnrt_kernels *k, int dtype, int kind, int reset_after, int64_t u, int64_t d, int64_t rows,
                   int64_t steps)
{
    k = rnnrt_kernels_of(k, dtype);
    job j = {.k = k, .rows = rows, .steps = steps};
    j.cell = (rnnrt_cell){.dtype = dtype, .kind = kind, .reset_after = reset_after, .units = u, .features = d,
                          .activation = {.kind = RNNRT_ACT_TANH},
                          .recurrent_activation = {.kind = RNNRT_ACT_SIGMOID}};
    const int64_t n = u * (kind == RNNRT_CELL_LSTM ? 4 : kind == RNNRT_CELL_GRU ? 3 : 1);
    const float scale = 1.0f / sqrtf((float)(u + d));
    float *kernel = floats(d * n), *recurrent = floats(u * n), *bias = floats(2 * n);
    for (int64_t i = 0; i < d * n; i++)
        kernel[i] = scale * random_unit();
    for (int64_t i = 0; i < u * n; i++)
        recurrent[i] = scale * random_unit();
    for (int64_t i = 0; i < 2 * n; i++)
        bias[i] = 0.1f * random_unit();
    k->cell_sizes(&j.cell, &j.sizes);
    j.packed = aligned(j.sizes.packed_bytes);
    rnnrt_cell_weights w = {.dtype = dtype, .kernel = kernel, .recurrent = recurrent, .bias = bias};
    float *scales = floats(n);
    for (int64_t i = 0; i < n; i++)
        scales[i] = scale / 127;
    w.kernel_scale = w.recurrent_scale = scales;
    narrow(dtype, kernel, d * n, scale);
    narrow(dtype, recurrent, u * n, scale);
    k->cell_pack(&j.cell, &w, j.packed);
    free(scales);
    j.cell.packed = j.packed;
    free(kernel);
    free(recurrent);
    free(bias);
    j.x = floats(rows * steps * d);
    j.z = floats(rows * steps * j.sizes.z_width);
    j.h[0] = floats(rows * u);
    j.h[1] = floats(rows * u);
    j.c = floats(rows * u);
    j.scratch = aligned(k->cell_scratch_bytes(&j.cell, rows));
    for (int64_t i = 0; i < rows * steps * d; i++)
        j.x[i] = random_unit();
    memset(j.h[0], 0, (size_t)(rows * u) * 4);
    memset(j.h[1], 0, (size_t)(rows * u) * 4);
    memset(j.c, 0, (size_t)(rows * u) * 4);
    return j;
}
static job make(const rnnrt_kernels *k, int kind, int reset_after, int64_t u, int64_t d, int64_t rows, int64_t steps)
{
    return make_as(k, RNNRT_F32, kind, reset_after, u, d, rows, steps);
}
static void drop(job *j)
{
    free(j->packed);
    free(j->x);
    free(j->z);
    free(j->h[0]);
    free(j->h[1]);
    free(j->c);
    free(j->scratch);
}

static void run_step(job *j, const float *x, const float *z)
{
    const int64_t u = j->cell.units;
    const rnnrt_cell_step s = {
        .rows = j->rows, .x = x, .x_stride = j->cell.features, .z = z, .z_stride = j->sizes.z_width,
        .h = j->h[j->flip], .h_stride = u, .h_out = j->h[!j->flip], .h_out_stride = u,
        .c = j->c, .c_stride = u, .c_out = j->c, .c_out_stride = u, .scratch = j->scratch,
        .zigzag = j->flip,
    };
    j->k->cell_step(&j->cell, &s);
    j->flip = !j->flip;
}
static void one_step(void *p)
{
    job *j = p;
    run_step(j, j->x, 0);
}
static void sequence(void *p)
{
    job *j = p;
    j->k->cell_project(&j->cell, j->rows * j->steps, j->x, j->cell.features, j->z, j->sizes.z_width, 0, RNNRT_ALL_BLOCKS);
    for (int64_t t = 0; t < j->steps; t++)
        run_step(j, 0, j->z + t * j->rows * j->sizes.z_width);
}
static void project_only(void *p)
{
    job *j = p;
    j->k->cell_project(&j->cell, j->rows * j->steps, j->x, j->cell.features, j->z, j->sizes.z_width, 0, RNNRT_ALL_BLOCKS);
}
static void dense_once(void *p)
{
    job *j = p;
    j->k->dense(&j->dense, j->rows, j->x, j->dense.inputs, j->z, j->dense.outputs, 0, RNNRT_ALL_BLOCKS);
}

typedef struct reader {
    const float *p;
    int64_t n;
    float sink;
} reader;
#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void read_all(void *q)
{
    reader *r = q;
    __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a;
    for (int64_t i = 0; i + 64 <= r->n; i += 64) {
        a = _mm512_add_ps(a, _mm512_load_ps(r->p + i));
        b = _mm512_add_ps(b, _mm512_load_ps(r->p + i + 16));
        c = _mm512_add_ps(c, _mm512_load_ps(r->p + i + 32));
        d = _mm512_add_ps(d, _mm512_load_ps(r->p + i + 48));
    }
    r->sink += _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
}
__attribute__((target("avx2"))) static void read_all_avx2(void *q)
{
    reader *r = q;
    __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a;
    for (int64_t i = 0; i + 32 <= r->n; i += 32) {
        a = _mm256_add_ps(a, _mm256_load_ps(r->p + i));
        b = _mm256_add_ps(b, _mm256_load_ps(r->p + i + 8));
        c = _mm256_add_ps(c, _mm256_load_ps(r->p + i + 16));
        d = _mm256_add_ps(d, _mm256_load_ps(r->p + i + 24));
    }
    float lanes[8];
    _mm256_storeu_ps(lanes, _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
    r->sink += lanes[0];
}
#endif

/* peak fma of one core */
#if defined(__x86_64__)
__attribute__((target("avx512f"))) static double peak_avx512(void)
{
    double best = 1e9;
    for (int rep = 0; rep < 20; rep++) {
        __m512 a[10], m = _mm512_set1_ps(0.999f);
        for (int i = 0; i < 10; i++)
            a[i] = _mm512_set1_ps((float)i);
        const double t = seconds();
        for (int n = 0; n < 100000; n++)
            for (int i = 0; i < 10; i++)
                __asm__ volatile("vfmadd213ps %1, %1, %0" : "+v"(a[i]) : "v"(m));
        best = fmin(best, seconds() - t);
    }
    return 100000.0 * 10 * 32 / best * 1e-9;
}
__attribute__((target("avx2,fma"))) static double peak_avx2(void)
{
    double best = 1e9;
    for (int rep = 0; rep < 20; rep++) {
        __m256 a[10], m = _mm256_set1_ps(0.999f);
        for (int i = 0; i < 10; i++)
            a[i] = _mm256_set1_ps((float)i);
        const double t = seconds();
        for (int n = 0; n < 100000; n++)
            for (int i = 0; i < 10; i++)
                __asm__ volatile("vfmadd213ps %1, %1, %0" : "+x"(a[i]) : "x"(m));
        best = fmin(best, seconds() - t);
    }
    return 100000.0 * 10 * 16 / best * 1e-9;
}
#endif

/* microseconds of one call: the best of batches of about 100 us */
static double best_of(void (*f)(void *), void *p)
{
    f(p);
    f(p);
    double t = seconds();
    f(p);
    double once = seconds() - t;
    int n = (int)(1e-4 / (once + 1e-9)) + 1;
    double best = 1e9;
    const double start = seconds();
    do {
        t = seconds();
        for (int i = 0; i < n; i++)
            f(p);
        best = fmin(best, (seconds() - t) / n);
    } while (seconds() - start < budget);
    return best * 1e6;
}

static double cell_flops(const rnnrt_cell *c)
{
    const double gates = c->kind == RNNRT_CELL_LSTM ? 4 : c->kind == RNNRT_CELL_GRU ? 3 : 1;
    return 2 * gates * (double)c->units * (double)(c->units + c->features);
}

/* float32 | float16 | int8, with the speed-up over float32; the dtypes take turns, since the machine is shared */
static void bench_narrow(const rnnrt_kernels *k)
{
    static const int dtypes[] = {RNNRT_F32, RNNRT_F16, RNNRT_I8};
    static const struct { const char *name; int kind, reset_after, rows, steps; } shapes[] = {
        {"LSTM step", RNNRT_CELL_LSTM, 0, 1, 1}, {"LSTM T=20, us/step", RNNRT_CELL_LSTM, 0, 1, 20},
        {"LSTM 16 rows", RNNRT_CELL_LSTM, 0, 16, 1}, {"GRU step", RNNRT_CELL_GRU, 1, 1, 1},
        {"SimpleRNN step", RNNRT_CELL_SIMPLE_RNN, 0, 1, 1},
    };
    printf("%s: D=64, us, float32 | float16 (x) | int8 (x)\n", k->name);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int u = 64; u <= 1024; u *= 2) {
            job j[3];
            double best[3] = {1e9, 1e9, 1e9};
            for (int t = 0; t < 3; t++)
                j[t] = make_as(k, dtypes[t], shapes[s].kind, shapes[s].reset_after, u, 64, shapes[s].rows, shapes[s].steps);
            for (int turn = 0; turn < 5; turn++)
                for (int t = 0; t < 3; t++)
                    best[t] = fmin(best[t], best_of(shapes[s].steps > 1 ? sequence : one_step, j + t) / shapes[s].steps);
            printf("  %-20s U %4d  %9.3f | %9.3f (%.2f) | %9.3f (%.2f)  %6.0f KB of float32\n", shapes[s].name, u, best[0],
                   best[1], best[0] / best[1], best[2], best[0] / best[2], (double)j[0].sizes.packed_bytes / 1024);
            for (int t = 0; t < 3; t++)
                drop(j + t);
        }
}

static void bench_table(const rnnrt_kernels *k)
{
    const int wide = !strcmp(k->name, "avx512");
    printf("\n%s\n", k->name);
#if defined(__x86_64__)
    if (!strcmp(k->name, "avx512"))
        printf("peak fma %.0f GFLOP/s\n", peak_avx512());
    else if (!strcmp(k->name, "avx2"))
        printf("peak fma %.0f GFLOP/s\n", peak_avx2());
#endif
    static const struct { int u; double goal, ratio, sequence; } goals[] = {
        {20, 0.25, 0, 0}, {64, 1.5, 0.80, 1.0}, {128, 4.6, 0.83, 3.5}, {256, 27, 1.35, 18},
        {512, 175, 1.05, 165}, {1024, 800, 1.0, 0},
    };
    printf("LSTM D=64  |  step us  goal | read us  ratio  goal | hoisted T=100 us/step  goal | project GFLOP/s\n");
    for (size_t i = 0; i < sizeof goals / sizeof *goals; i++) {
        const int u = goals[i].u, steps = u >= 512 ? 20 : 100;
        job j = make(k, RNNRT_CELL_LSTM, 0, u, 64, 1, steps);
        reader r = {.p = j.packed, .n = j.sizes.packed_bytes / 4};
        double read = 1e9, step = 1e9;
        for (int turn = 0; turn < 3; turn++) {
#if defined(__x86_64__)
            read = fmin(read, best_of(wide ? read_all : read_all_avx2, &r));
#endif
            step = fmin(step, best_of(one_step, &j));
        }
        const double seq = best_of(sequence, &j) / steps, proj = best_of(project_only, &j);
        printf("%9d  | %8.3f %5.2f | %7.3f %6.2f %5.2f | %21.3f %5.1f | %.0f\n", u, step, goals[i].goal, read,
               read / step, goals[i].ratio, seq, goals[i].sequence, 8.0 * u * 64 * steps / proj * 1e-3);
        drop(&j);
    }
    printf("U,D steps us:");
    static const int shapes[][2] = {{8, 64}, {16, 64}, {20, 1}, {20, 28}, {20, 64}, {20, 256}, {33, 64}, {48, 64},
                                    {64, 1}, {64, 28}, {100, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        job j = make(k, RNNRT_CELL_LSTM, 0, shapes[i][0], shapes[i][1], 1, 1);
        printf("  %d,%d %.3f", shapes[i][0], shapes[i][1], best_of(one_step, &j));
        drop(&j);
    }
    printf("\nLSTM batch, D=64, GFLOP/s (goal from 16 on, U <= 512: 110 of 153 = 0.72 of the peak)\n     U");
    static const int batches[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 256};
    static const int units[] = {20, 64, 128, 256, 512};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++)
        printf("%7d", batches[b]);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        printf("\n%6d", units[i]);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            job j = make(k, RNNRT_CELL_LSTM, 0, units[i], 64, batches[b], 1);
            printf("%7.0f", cell_flops(&j.cell) * batches[b] / best_of(one_step, &j) * 1e-3);
            drop(&j);
        }
    }
    printf("\nD=64, step us | GRU after | GRU before | SimpleRNN | GRU after, 64 rows GFLOP/s\n");
    for (int u = 64; u <= 1024; u *= 2) {
        printf("%13d", u);
        for (int c = 0; c < 4; c++) {
            job j = make(k, c == 2 ? RNNRT_CELL_SIMPLE_RNN : RNNRT_CELL_GRU, c == 0 || c == 3, u, 64,
                         c == 3 ? 64 : 1, 1);
            const double t = best_of(one_step, &j);
            printf(" | %10.3f", c == 3 ? cell_flops(&j.cell) * 64 / t * 1e-3 : t);
            drop(&j);
        }
        printf("\n");
    }
    printf("dense us:");
    static const int dense[][3] = {{64, 1, 1}, {128, 1, 1}, {512, 1, 1}, {64, 8, 1}, {64, 10, 1}, {128, 64, 1},
                                   {128, 128, 1}, {128, 128, 64}, {512, 512, 64}, {512, 3, 64}};
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++) {
        const int in = dense[i][0], out = dense[i][1], rows = dense[i][2];
        job j = {.k = k, .rows = rows};
        j.dense = (rnnrt_dense){.inputs = in, .outputs = out, .activation = {.kind = RNNRT_ACT_LINEAR}};
        float *w = floats((int64_t)in * out);
        for (int64_t n = 0; n < (int64_t)in * out; n++)
            w[n] = random_unit();
        j.packed = aligned(k->dense_packed_bytes(&j.dense));
        k->dense_pack(&j.dense, w, 0, 0, j.packed);
        j.dense.packed = j.packed;
        j.x = floats((int64_t)rows * in);
        j.z = floats((int64_t)rows * out);
        memset(j.x, 0, (size_t)rows * in * 4);
        const double t = best_of(dense_once, &j);
        printf("  %dx(%d,%d) %.3f (%.0f GF)", rows, in, out, t, 2.0 * in * out * rows / t * 1e-3);
        free(w);
        free(j.packed);
        free(j.x);
        free(j.z);
    }
    printf("\nfunctions, ns an element (4096 of them):");
    float *x = floats(4096), *y = floats(4096);
    for (int i = 0; i < 4096; i++)
        x[i] = 4 * random_unit();
    for (int a = 0; a < RNNRT_ACT_SOFTMAX; a++) {
        const rnnrt_activation act = {.kind = a, .param = {1, 0.1f, 0.2f}};
        double best = 1e9;
        for (int rep = 0; rep < 50; rep++) {
            const double t = seconds();
            k->activate(&act, 4096, x, y);
            best = fmin(best, seconds() - t);
        }
        printf(" %s %.2f", activation_names[a], best / 4096 * 1e9);
    }
    printf("\n");
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    static const rnnrt_kernels *const all[] = {&rnnrt_kernels_avx512_vnni, &rnnrt_kernels_avx512, &rnnrt_kernels_avx2,
                                               &rnnrt_kernels_portable};
    const rnnrt_fpenv env = rnnrt_fpenv_enter();
    if (argc > 1 && !strcmp(argv[1], "narrow")) {
        for (int k = 0; k < 3; k++)
            if (runs(all[k]))
                bench_narrow(all[k]);
        rnnrt_fpenv_leave(env);
        return 0;
    }
    for (int k = 0; k < 4; k++) {
        int wanted = argc < 2 && k > 0 && k < 3; /* avx512_vnni is avx512 but for int8 */
        for (int i = 1; i < argc; i++)
            wanted |= !strcmp(argv[i], all[k]->name);
        if (wanted && runs(all[k]))
            bench_table(all[k]);
    }
    rnnrt_fpenv_leave(env);
    return 0;
}
