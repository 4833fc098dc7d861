/* The part of check.c that holds elementwise and rowwise functions to their promises. */
static const struct { int kind; float param[3]; } functions[] = {
    {RNNRT_ACT_LINEAR, {0}}, {RNNRT_ACT_TANH, {0}}, {RNNRT_ACT_SIGMOID, {0}},
    {RNNRT_ACT_HARD_SIGMOID_K2, {0}}, {RNNRT_ACT_HARD_SIGMOID_K3, {0}}, {RNNRT_ACT_RELU, {0}},
    {RNNRT_ACT_RELU_GENERAL, {INFINITY, 0, 0}}, {RNNRT_ACT_RELU_GENERAL, {6, 0, 0}},
    {RNNRT_ACT_RELU_GENERAL, {4, 0.25f, 0.5f}}, {RNNRT_ACT_RELU_GENERAL, {INFINITY, 0.1f, -1}},
    {RNNRT_ACT_RELU_GENERAL, {5, 0, -1}}, {RNNRT_ACT_LEAKY_RELU, {0.2f}}, {RNNRT_ACT_LEAKY_RELU, {1.5f}},
    {RNNRT_ACT_ELU, {1}}, {RNNRT_ACT_ELU, {0.3f}}, {RNNRT_ACT_SELU, {0}}, {RNNRT_ACT_CELU, {1}},
    {RNNRT_ACT_CELU, {2.5f}}, {RNNRT_ACT_EXPONENTIAL, {0}}, {RNNRT_ACT_SOFTPLUS, {0}},
    {RNNRT_ACT_SOFTSIGN, {0}}, {RNNRT_ACT_SILU, {0}}, {RNNRT_ACT_MISH, {0}}, {RNNRT_ACT_GELU, {0}},
    {RNNRT_ACT_GELU_TANH, {0}}, {RNNRT_ACT_HARD_SILU, {0}}, {RNNRT_ACT_HARD_TANH, {0}},
    {RNNRT_ACT_HARD_SHRINK, {0.5f}}, {RNNRT_ACT_SOFT_SHRINK, {0.5f}}, {RNNRT_ACT_TANH_SHRINK, {0}},
    {RNNRT_ACT_LOG_SIGMOID, {0}}, {RNNRT_ACT_SQUAREPLUS, {4}}, {RNNRT_ACT_SQUAREPLUS, {0.01f}},
    {RNNRT_ACT_SPARSE_PLUS, {0}}, {RNNRT_ACT_SPARSE_SIGMOID, {0}}, {RNNRT_ACT_THRESHOLD, {0.3f, -2}},
    {RNNRT_ACT_THRESHOLDED_RELU, {1}},
};

/* every 2^k-th float bit pattern, shifted so that runs differ in their low bits */
static void check_functions(int step_bits)
{
    enum { CHUNK = 4099 };
    static float x[CHUNK], want[CHUNK], y[CHUNK];
    const uint64_t total = 1ull << (32 - step_bits);
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        rnnrt_activation a = {.kind = functions[f].kind};
        memcpy(a.param, functions[f].param, sizeof a.param);
        double most = 0, most_relative = 0;
        float at = 0, at_relative = 0;
        for (uint64_t base = 0; base < total; base += CHUNK) {
            const int64_t n = base + CHUNK < total ? CHUNK : (int64_t)(total - base);
            for (int64_t i = 0; i < n; i++) {
                const uint32_t bits = (uint32_t)((base + (uint64_t)i) << step_bits) + (random_u32() >> (32 - step_bits));
                memcpy(x + i, &bits, 4);
            }
            if (base == 0)
                x[0] = 0, x[1] = -0.0f, x[2] = INFINITY, x[3] = -INFINITY, x[4] = NAN, x[5] = 3.4e38f, x[6] = -3.4e38f;
            for (int k = 0; k < TABLES - 1; k++) {
                if (!runs(all[k]))
                    continue;
                float *to = k == ORACLE ? want : y;
                all[k]->activate(&a, n, x, to);
                if (all[k]->bitwise_group)
                    expect_same(want, to, 1, n, n, all[k]->name, "activate", activation_names[a.kind]);
                for (int64_t i = 0; i < n; i++) {
                    if (fabsf(x[i]) < 0x1p-126f)
                        continue; /* denormals are zero here */
                    double ref = ref_act(&a, (double)x[i]), got = (double)to[i];
                    if (fabs(ref) > 3.4028235677973366e38)
                        ref = copysign(INFINITY, ref);
                    const double error = got == ref || (isnan(got) && isnan(ref)) ? 0 : fabs(got - ref);
                    const double scaled = error / fmax(1, fabs(ref));
                    near_checked++;
                    if (!(scaled <= 1e-6) && near_failed++ < 40)
                        printf("FAR %s %s(%.9g) = %.9g, double precision %.9g\n", all[k]->name,
                               activation_names[a.kind], (double)x[i], got, ref);
                    if (((a.kind == RNNRT_ACT_SIGMOID && (got < 0 || got > 1)) ||
                         (a.kind == RNNRT_ACT_TANH && fabs(got) > 1)) && near_failed++ < 40)
                        printf("RANGE %s %s(%.9g) = %.9g\n", all[k]->name, activation_names[a.kind],
                               (double)x[i], got);
                    if (scaled > most)
                        most = scaled, at = x[i];
                    if (fabs(ref) > 1e-37 && error / fabs(ref) > most_relative)
                        most_relative = error / fabs(ref), at_relative = x[i];
                }
            }
        }
        printf("  %-18s (%g %g %g): %.2g of max(1, |ref|) at %.6g; relative %.2g at %.6g\n",
               activation_names[a.kind], (double)a.param[0], (double)a.param[1], (double)a.param[2], most,
               (double)at, most_relative, (double)at_relative);
    }
}

static void check_rows(void)
{
    static const int kinds[] = {RNNRT_ACT_SOFTMAX, RNNRT_ACT_LOG_SOFTMAX, RNNRT_ACT_SPARSEMAX, RNNRT_ACT_GLU};
    for (int f = 0; f < 4; f++)
        for (int64_t width = f == 3 ? 2 : 1; width <= 300; width += f == 3 ? 2 : width < 40 ? 1 : 13)
            for (int wild = 0; wild < 2; wild++) {
                const rnnrt_activation a = {.kind = kinds[f]};
                const int64_t rows = 3, xs = width + 3, out = f == 3 ? width / 2 : width;
                float *x = floats(rows * xs), *want = floats(rows * xs), *y = floats(rows * xs);
                float *scratch = floats(width);
                double *dx = malloc((size_t)width * 3 * sizeof *dx);
                fill(x, rows * xs, wild ? 30.0f : 3.0f);
                if (wild)
                    sprinkle(x + 2 * xs, width, 1);
                for (int k = 0; k < TABLES; k++) {
                    if (!runs(all[k]))
                        continue;
                    float *to = k == ORACLE ? want : y;
                    all[k]->activate_rows(&a, rows, width, x, xs, to, xs, scratch);
                    if (all[k]->bitwise_group)
                        expect_same(want, to, rows, out, xs, all[k]->name, "rows", activation_names[a.kind]);
                    for (int64_t r = 0; r < 2; r++) {
                        for (int64_t i = 0; i < width; i++)
                            dx[i] = (double)x[r * xs + i];
                        ref_row(&a, width, dx, dx + width, dx + 2 * width);
                        for (int64_t i = 0; f != 2 && i < out; i++)
                            expect_near(activation_names[a.kind], all[k]->name, (double)to[r * xs + i],
                                        dx[width + i], 2e-6);
                        for (int64_t i = 0; f == 2 && width < 20 && i < out; i++)
                            expect_near("sparsemax", all[k]->name, (double)to[r * xs + i], dx[width + i], 1e-5);
                    }
                    if (f != 3) { /* in place */
                        memcpy(y, x, (size_t)(rows * xs) * sizeof *y);
                        all[k]->activate_rows(&a, rows, width, y, xs, y, xs, scratch);
                        if (all[k]->bitwise_group)
                            expect_same(want, y, rows, out, xs, all[k]->name, "in place", activation_names[a.kind]);
                    }
                    if (!f) {
                        all[k]->scale_shift(rows, width, x, xs, x + xs, x + 2 * xs, y, xs);
                        float *direct = floats(rows * xs);
                        rnnrt_kernels_oracle.scale_shift(rows, width, x, xs, x + xs, x + 2 * xs, direct, xs);
                        if (all[k]->bitwise_group)
                            expect_same(direct, y, rows, width, xs, all[k]->name, "scale_shift", "");
                        free(direct);
                    }
                }
                free(x);
                free(want);
                free(y);
                free(scratch);
                free(dx);
            }
}
