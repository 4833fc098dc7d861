/* Weights, the choice of a path, scratch, and the run over chunks of steps. */
#include "recurrent.cuh"

#include "gemm_tiles.cuh"
#include "launch.cuh"
#include "persistent.cuh"
#include "steps.cuh"

namespace rnnrt {
namespace {

constexpr int64_t Z_BYTES = 64 << 20;  /* of projected inputs at once */

cell_form form_of(const recurrent_cell &c)
{
    return c.kind == RNNRT_CELL_LSTM ? FORM_LSTM : c.kind != RNNRT_CELL_GRU ? FORM_SIMPLE
         : c.reset_after ? FORM_GRU_AFTER : FORM_GRU_BEFORE;
}

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

packed_layout layout_of(const recurrent_cell &c)
{
    const cell_form form = form_of(c);
    packed_layout l = {};
    l.gates = form == FORM_LSTM ? 4 : form == FORM_SIMPLE ? 1 : 3;
    l.first = form == FORM_GRU_BEFORE ? 2 : l.gates;
    const int64_t u = c.units;
    int64_t at = 0;
    const auto place = [&](int64_t &where, int64_t n) {
        where = at;
        at += round_up(n, 64);
    };
    place(l.kernel, c.features * u * l.gates);
    place(l.bias, u * l.gates);
    place(l.hidden_bias, u);
    place(l.recurrent, u * u * l.first);
    place(l.candidate, form == FORM_GRU_BEFORE ? u * u : 0);
    l.floats = at;
    return l;
}

/* to (rows, units, count) = gates [from, from + count) of source (rows, gates * units) */
void interleave(const float *source, int64_t rows, int64_t units, int gates, int from, int count, float *to)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t u = 0; u < units; u++)
            for (int g = 0; g < count; g++)
                *to++ = source[(r * gates + from + g) * units + u];
}

/* How a team of blocks would be cut; kpt == 0: not at all. */
struct team_plan {
    int unit_bits, team, rows;
    int kpt;                     /* weights of a thread; TENSOR: passes of a product */
    int64_t tiles, at_once;      /* tiles of the batch, and how many of them one launch takes */
    int64_t waves;               /* launches after one another, or as much as that */
    size_t shared;
};

size_t team_shared(const team_plan &p, int gates, bool cluster)
{
    const int uc = 1 << p.unit_bits, segments = TEAM_THREADS / uc, groups = TEAM_THREADS / (uc > 32 ? uc : 32);
    return sizeof(float) * (size_t)p.rows * ((cluster ? 2 : 1) * (size_t)segments * (size_t)p.kpt + (size_t)groups * (size_t)uc * (size_t)gates);
}

int bits_of(int n) { return n <= 1 ? 0 : 1 + bits_of(n / 2); }

/* Teams that run at once. */
int64_t teams_of(const recurrent_device &d, int team, bool cluster)
{
    const int64_t by_blocks = d.multiprocessors / team;
    return cluster && d.clusters[bits_of(team)] < by_blocks ? d.clusters[bits_of(team)] : by_blocks;
}

void tile_up(team_plan *p, int64_t batch, int64_t teams, bool cluster)
{
    p->tiles = (batch + p->rows - 1) / p->rows;
    p->at_once = cluster || p->tiles < teams ? p->tiles : teams;
    p->waves = (p->tiles + teams - 1) / teams;
}

/* unit_bits: the cut to be tried. */
team_plan team_cut(const recurrent_args &a, const recurrent_device &d, int unit_bits, bool cluster)
{
    team_plan p = {};
    const packed_layout l = layout_of(a.cell);
    const int64_t uc = (int64_t)1 << unit_bits, team = (a.cell.units + uc - 1) / uc, segments = TEAM_THREADS / uc;
    const int64_t need = round_up((a.cell.units + segments - 1) / segments, 4);
    if (need > 32 || team > (cluster ? 8 : d.multiprocessors))
        return p;
    p.unit_bits = unit_bits;
    p.team = cluster ? 1 : (int)team;
    while (p.team < team) /* clusters are powers of two */
        p.team *= 2;
    const int64_t teams = teams_of(d, p.team, cluster);
    if (!teams)
        return p;
    int64_t rows = (a.batch + teams - 1) / teams;
    const int64_t most = TEAM_PAIRS * TEAM_THREADS / uc < TEAM_ROWS ? TEAM_PAIRS * TEAM_THREADS / uc : TEAM_ROWS;
    rows = rows < most ? rows : most;
    const int kpt = need <= 8 ? 8 : need <= 16 ? 16 : 32;
    for (p.rows = (int)rows, p.kpt = kpt; p.rows; p.rows--)
        if ((p.shared = team_shared(p, l.gates, cluster)) <= (size_t)d.shared_bytes)
            break;
    if (p.rows)
        tile_up(&p, a.batch, teams, cluster);
    else
        p.kpt = 0;
    return p;
}

team_plan tensor_cut(const recurrent_args &a, const recurrent_device &d, int unit_bits, int rows)
{
    team_plan p = {};
    const int uc = 1 << unit_bits, cols = uc * 4, warps = TEAM_THREADS / 32, tiles = rows / 32 * (cols / 32);
    const int64_t team = (a.cell.units + uc - 1) / uc;
    if (tiles > warps || team > d.multiprocessors)
        return p;
    const int64_t splits = warps / tiles, k = round_up(a.cell.units, TILE_K * splits);
    const int64_t ring = TENSOR_STAGES * splits * rows * X_PITCH, sums = splits * rows * (cols + 4);
    p.shared = sizeof(float) * (size_t)(k * w_pitch(cols) + rows * uc * (layout_of(a.cell).gates + 2) + (ring > sums ? ring : sums));
    if (p.shared > (size_t)d.shared_bytes)
        return p;
    p.unit_bits = unit_bits;
    p.team = (int)team;
    p.rows = rows;
    p.kpt = a.math == MATH_TF32 ? 1 : 3;
    tile_up(&p, a.batch, teams_of(d, p.team, false), false);
    return p;
}

/* Cycles of a multiprocessor for a step: guesses, no device has been measured. */
int64_t cost_of(const recurrent_args &a, const team_plan &p, recurrent_path path)
{
    const int64_t gates = layout_of(a.cell).gates, sums = ((int64_t)p.rows << p.unit_bits) * a.cell.units;
    if (path == PATH_TENSOR)
        return p.waves * (sums * 4 / (p.kpt == 3 ? 170 : 450) + 2600);
    return p.waves * (sums * gates / 100 + (path == PATH_CLUSTER ? 1000 : 2000));
}

int64_t cost_of_steps(const recurrent_args &a, const recurrent_device &d)
{
    const int64_t weights = a.cell.units * a.cell.units * layout_of(a.cell).gates, rate = a.batch < 16 || d.arch < 80 ? 60 : 130;
    const int64_t sums = weights * a.batch / (rate * d.multiprocessors), reads = weights * 4 / 3000;
    return (sums > reads ? sums : reads) + 9000;
}

/* a SimpleRNN has no gates */
bool usual_functions(const recurrent_cell &c, step_job &s)
{
    const bool first = usual_function_of(c.activation, &s.usual), second = usual_function_of(c.recurrent_activation, &s.recurrent_usual);
    s.both_usual = first && (second || c.kind == RNNRT_CELL_SIMPLE_RNN);
    return s.both_usual;
}

/* Of teams of threads the smallest whose threads hold few weights, else the largest that holds them at all; of teams with
 * tensor cores the one that takes the least time. */
team_plan team_of(const recurrent_args &a, const recurrent_device &d, recurrent_path path)
{
    team_plan best = {};
    step_job s = {};
    const bool cluster = path == PATH_CLUSTER, tensor = path == PATH_TENSOR;
    const cell_form form = form_of(a.cell);
    if (!usual_functions(a.cell, s) || a.cell.units > 1024 || (cluster ? d.arch < 90 : !d.cooperative) || (path == PATH_STEPS) ||
        (tensor && (d.arch < 80 || a.math == MATH_FFMA || (form != FORM_LSTM && form != FORM_GRU_AFTER))))
        return best;
    for (int bits = 5; tensor && bits >= 3; bits--)
        for (int rows = 32; rows <= 128; rows *= 2) {
            const team_plan p = tensor_cut(a, d, bits, rows);
            if (p.kpt && (!best.kpt || cost_of(a, p, path) < cost_of(a, best, path)))
                best = p;
        }
    for (int bits = 6; !tensor && bits >= 3; bits--) {
        const team_plan p = team_cut(a, d, bits, cluster);
        if (!p.kpt)
            continue;
        if (!best.kpt || p.kpt < best.kpt)
            best = p;
        if (best.kpt <= 16)
            break;
    }
    return best;
}

struct scratch_layout {
    int64_t chunk;               /* steps that are projected at once */
    size_t z, sums, reset_h, candidate, words, words_bytes, total;
};

/* The path, and how its teams are cut. */
struct choice {
    recurrent_path path;
    team_plan plan;
};

choice choose(const recurrent_args &a, const recurrent_device &d)
{
    if (a.path != PATH_AUTO)
        return {a.path, team_of(a, d, a.path)};
    choice best = {PATH_STEPS, {}};
    int64_t least = cost_of_steps(a, d);
    for (const recurrent_path path : {PATH_CLUSTER, PATH_GRID, PATH_TENSOR}) {
        const team_plan p = team_of(a, d, path);
        if (p.kpt && cost_of(a, p, path) < least) {
            best = {path, p};
            least = cost_of(a, p, path);
        }
    }
    return best;
}

scratch_layout scratch_of(const recurrent_args &a, const choice &how)
{
    const recurrent_path path = how.path;
    const team_plan &p = how.plan;
    const packed_layout l = layout_of(a.cell);
    const int64_t row = a.batch * a.cell.units;
    scratch_layout s = {};
    s.chunk = Z_BYTES / (row * l.gates * (int64_t)sizeof(float));
    s.chunk = s.chunk < 1 ? 1 : s.chunk < a.steps ? s.chunk : a.steps;
    size_t at = 0;
    const auto place = [&](size_t &where, int64_t bytes) {
        where = at;
        at += (size_t)round_up(bytes, 256);
    };
    place(s.z, s.chunk * row * l.gates * (int64_t)sizeof(float));
    if (path == PATH_STEPS) {
        place(s.sums, row * l.first * (int64_t)sizeof(float));
        place(s.reset_h, row * (int64_t)sizeof(float));
        place(s.candidate, row * (int64_t)sizeof(float));
    } else if (path == PATH_GRID || path == PATH_TENSOR) { /* TENSOR: h, then the counts */
        const int64_t h = 2 * p.rows * (path == PATH_GRID ? a.cell.units * (int64_t)sizeof(word64) : round_up(a.cell.units, 4) * 4);
        s.words_bytes = (size_t)(p.at_once * (h + (path == PATH_TENSOR ? 4 : 0)));
        place(s.words, (int64_t)s.words_bytes);
    }
    s.total = at;
    return s;
}

/* z (n, batch, units, gates) of steps [first, first + n) */
cudaError_t project(const recurrent_args &a, int64_t first, int64_t n, float *z, cudaStream_t stream)
{
    const packed_layout l = layout_of(a.cell);
    const int64_t width = a.cell.units * l.gates;
    gemm_args g = gemm_plain(a.x, a.packed + l.kernel, a.packed + l.bias, z, n * a.batch, width, a.cell.features);
    g.x = a.x + (a.reverse_in ? a.steps - 1 - first : first) * a.x_step;
    g.inner = a.batch;
    g.x_outer = a.reverse_in ? -a.x_step : a.x_step;
    g.x_inner = a.x_batch;
    g.y_outer = a.batch * width;
    g.y_inner = width;
    return gemm(g, a.math, stream);
}

cudaError_t run_steps(const recurrent_args &a, const step_job &s, const scratch_layout &at, int64_t first, int64_t n,
                      cudaStream_t stream)
{
    const packed_layout l = layout_of(a.cell);
    const cell_form form = form_of(a.cell);
    char *base = (char *)a.scratch;
    const int64_t u = a.cell.units;
    step_sums q = {};
    q.sums = (float *)(base + at.sums);
    q.reset_h = (float *)(base + at.reset_h);
    q.candidate = (float *)(base + at.candidate);
    q.hidden_bias = a.packed + l.hidden_bias;
    gemm_args g = gemm_plain(a.h, a.packed + l.recurrent, nullptr, q.sums, a.batch, u * l.first, u);
    g.x_inner = a.row_stride;
    const gemm_args candidate = gemm_plain(q.reset_h, a.packed + l.candidate, nullptr, q.candidate, a.batch, u, u);
    cudaError_t e = cudaSuccess;
    for (int64_t t = 0; t < n && !e; t++) {
        q.z = s.z + t * a.batch * u * l.gates;
        e = gemm(g, a.math, stream);
        if (!e && form == FORM_GRU_BEFORE) {
            e = step_resets(s, q, stream);
            if (!e)
                e = gemm(candidate, a.math, stream);
        }
        if (!e)
            e = step_gates(form, s, q, first + t, stream);
    }
    return e;
}

cudaError_t run_team(const recurrent_args &a, const choice &how, const step_job &s, const scratch_layout &at, int64_t first,
                     int64_t n, cudaStream_t stream)
{
    const packed_layout l = layout_of(a.cell);
    const team_plan &p = how.plan;
    const bool cluster = how.path == PATH_CLUSTER;
    const cell_form form = form_of(a.cell);
    team_job j = {};
    j.s = s;
    j.recurrent = a.packed + l.recurrent;
    j.candidate = a.packed + l.candidate;
    j.hidden_bias = a.packed + l.hidden_bias;
    j.words = (word64 *)((char *)a.scratch + at.words);
    j.h = (float *)j.words;
    j.arrived = (unsigned *)(j.h + p.at_once * 2 * p.rows * round_up(a.cell.units, 4));
    j.step0 = first;
    j.steps = n;
    j.rows = p.rows;
    j.unit_bits = p.unit_bits;
    j.team = p.team;
    cudaError_t e = cudaSuccess;
    for (; j.first_tile < p.tiles && !e; j.first_tile += p.at_once) {
        const int64_t tiles = p.tiles - j.first_tile < p.at_once ? p.tiles - j.first_tile : p.at_once;
        grid_shape g = {dim3((unsigned)(tiles * p.team)), dim3(TEAM_THREADS), p.shared, 0, !cluster};
        if (cluster)
            g.cluster = (unsigned)p.team;
        else
            e = cudaMemsetAsync(j.words, 0, at.words_bytes, stream);
        if (e)
            break;
        if (how.path == PATH_TENSOR)
            e = form == FORM_LSTM ? lstm_tensor(j, p.kpt, g, stream) : gru_tensor(j, p.kpt, g, stream);
        else
            e = form == FORM_SIMPLE ? simple_rnn_team(j, p.kpt, g, stream) : form == FORM_LSTM ? lstm_team(j, p.kpt, g, stream)
              : form == FORM_GRU_AFTER ? gru_after_team(j, p.kpt, g, stream) : gru_before_team(j, p.kpt, g, stream);
    }
    return e;
}

} // namespace

int64_t recurrent_packed_floats(const recurrent_cell &cell) { return layout_of(cell).floats; }

void recurrent_pack(const recurrent_cell &cell, const float *kernel, const float *recurrent, const float *bias, float *packed)
{
    const packed_layout l = layout_of(cell);
    const cell_form form = form_of(cell);
    const int64_t u = cell.units;
    for (int64_t i = 0; i < l.floats; i++)
        packed[i] = 0.0f;
    interleave(kernel, cell.features, u, l.gates, 0, l.gates, packed + l.kernel);
    interleave(recurrent, u, u, l.gates, 0, l.first, packed + l.recurrent);
    if (form == FORM_GRU_BEFORE)
        interleave(recurrent, u, u, l.gates, 2, 1, packed + l.candidate);
    if (!bias)
        return;
    interleave(bias, 1, u, l.gates, 0, l.gates, packed + l.bias);
    if (form == FORM_GRU_AFTER)
        for (int64_t i = 0; i < u; i++) {
            packed[l.bias + i * 3] += bias[3 * u + i];
            packed[l.bias + i * 3 + 1] += bias[4 * u + i];
            packed[l.hidden_bias + i] = bias[5 * u + i];
        }
}

cudaError_t recurrent_device_of(int device, recurrent_device *out)
{
    int major = 0, minor = 0;
    *out = {};
    const struct { cudaDeviceAttr attribute; int *value; } ask[] = {
        {cudaDevAttrComputeCapabilityMajor, &major}, {cudaDevAttrComputeCapabilityMinor, &minor},
        {cudaDevAttrMultiProcessorCount, &out->multiprocessors}, {cudaDevAttrMaxSharedMemoryPerBlockOptin, &out->shared_bytes},
        {cudaDevAttrCooperativeLaunch, &out->cooperative},
    };
    for (auto &a : ask)
        if (const cudaError_t e = cudaDeviceGetAttribute(a.value, a.attribute, device))
            return e;
    out->arch = major * 10 + minor;
    for (int i = 0; i < 4 && out->arch >= 90; i++) /* a device that is shared may have no room for some */
        if (team_clusters(1u << i, (size_t)out->shared_bytes, &out->clusters[i]))
            out->clusters[i] = 0;
    cudaGetLastError();
    return cudaSuccess;
}

recurrent_path recurrent_choose(const recurrent_args &a, const recurrent_device &d) { return choose(a, d).path; }

size_t recurrent_scratch_bytes(const recurrent_args &a, const recurrent_device &d)
{
    return scratch_of(a, choose(a, d)).total;
}

cudaError_t recurrent_run(const recurrent_args &a, const recurrent_device &d, cudaStream_t stream)
{
    const choice how = choose(a, d);
    if (how.path != PATH_STEPS && !how.plan.kpt)
        return cudaErrorInvalidConfiguration;
    const scratch_layout at = scratch_of(a, how);
    float *const z = (float *)((char *)a.scratch + at.z);
    step_job s = {};
    s.batch = a.batch, s.units = a.cell.units, s.total = a.steps;
    s.activation = a.cell.activation, s.recurrent_activation = a.cell.recurrent_activation;
    usual_functions(a.cell, s);
    s.reverse_in = a.reverse_in, s.reverse_out = a.reverse_out, s.sequences = a.sequences, s.zero_masked = a.zero_masked;
    s.z = z;
    s.y = a.y, s.y_batch = a.y_batch, s.y_step = a.y_step;
    s.mask = a.mask, s.mask_batch = a.mask_batch;
    s.h = a.h, s.c = a.c, s.has_output = a.has_output, s.row_stride = a.row_stride;
    cudaError_t e = cudaSuccess;
    for (int64_t first = 0; first < a.steps && !e; first += at.chunk) {
        const int64_t n = a.steps - first < at.chunk ? a.steps - first : at.chunk;
        e = project(a, first, n, z, stream);
        if (!e)
            e = how.path == PATH_STEPS ? run_steps(a, s, at, first, n, stream) : run_team(a, how, s, at, first, n, stream);
    }
    return e;
}

} // namespace rnnrt
