/* The grid trajectory alone: its bytes, its error and its time.
 *
 *   bench_grid                              times it on a noisy walk of the small MLP's weights
 *   bench_grid IN OUT STEPS QUALITY N0 N1 ...
 *                                           feeds STEPS + 1 raw float32 states of an MLP N0-N1-...
 *                                           (per layer: weight out x in, bias) from IN, writes what
 *                                           is read back to OUT, prints one line of JSON
 *
 * bench/grid_study.py makes the states of real training runs and judges what comes back. */
#include "base/rng.h"
#include "train/trajectory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS_MAX = 16, WALK_STEPS = 300, WORKING_SET = 1 << 20 };

typedef struct bench {
    drmad_ctx *ctx;
    param_table *params;
    trajectory *tr;
    float *w;                    /* one state, laid out by `params` */
    double *encode_s, *decode_s; /* of each step: in traj_record for t > 0, in traj_load */
} bench;

static drmad_status open_mlp(bench *b, const int64_t *width, int layers, traj_spec spec)
{
    drmad_status st = DRMAD_OK;

    TRY(params_new(b->ctx, &b->params));
    for (int l = 0; l < layers; l++) {
        char name[32];
        snprintf(name, sizeof name, "layers.%d.weight", l);
        TRY(params_add(b->params, name, SHAPE(width[l + 1], width[l]), PARAM_WEIGHT, l));
        snprintf(name, sizeof name, "layers.%d.bias", l);
        TRY(params_add(b->params, name, SHAPE(width[l + 1]), PARAM_BIAS, l));
    }
    spec.kind = TRAJ_GRID;
    spec.params = b->params;
    spec.vectors = 1;
    TRY(traj_new(b->ctx, &spec, &b->tr));
    TRY(mem_alloc(b->ctx, (size_t)b->params->total, sizeof *b->w, &b->w));
    TRY(mem_alloc(b->ctx, (size_t)spec.steps, sizeof *b->encode_s, &b->encode_s));
    TRY(mem_alloc(b->ctx, (size_t)spec.steps, sizeof *b->decode_s, &b->decode_s));
done:
    return st;
}

static void close_mlp(bench *b)
{
    traj_free(b->tr);
    params_free(b->params);
    mem_free(b->ctx, b->w);
    mem_free(b->ctx, b->encode_s);
    mem_free(b->ctx, b->decode_s);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_us(double *seconds, int64_t n)
{
    qsort(seconds, (size_t)n, sizeof *seconds, by_size);
    return 1e6 * seconds[n / 2];
}

static drmad_status record(bench *b, int64_t t)
{
    void *state[1] = {b->w};
    double start = base_now();
    drmad_status st = traj_record(b->tr, t, state, NULL);

    if (t > 0) b->encode_s[t - 1] = base_now() - start;
    return st;
}

static drmad_status load(bench *b, int64_t t, traj_view *v)
{
    double start = base_now();
    drmad_status st = traj_load(b->tr, t, v);

    b->decode_s[t] = base_now() - start;
    return st;
}

/* One state between file and flat buffer; false when the file ends early. */
static bool move_state(const bench *b, FILE *f, float *w, bool in)
{
    for (int32_t i = 0; i < b->params->n; i++) {
        const param *p = &b->params->at[i];
        size_t n = (size_t)p->count;
        if ((in ? fread(w + p->offset, 4, n, f) : fwrite(w + p->offset, 4, n, f)) != n)
            return false;
    }
    return true;
}

static drmad_status study(bench *b, FILE *in, FILE *out, int64_t steps)
{
    drmad_status st = DRMAD_OK;
    long bytes = (long)b->params->weights * 4;
    traj_view v;

    for (int64_t t = 0; t <= steps; t++) {
        if (!move_state(b, in, b->w, true))
            return FAIL(b->ctx, DRMAD_E_DATA, "the input ends in state %lld", (long long)t);
        TRY(record(b, t));
    }
    for (int64_t t = steps - 1; t >= 0; t--) {
        TRY(load(b, t, &v));
        memcpy(b->w, v.now[0], (size_t)b->params->total * 4);
        if (fseek(out, bytes * (long)t, SEEK_SET) != 0 || !move_state(b, out, b->w, false))
            return FAIL(b->ctx, DRMAD_E_IO, "state %lld not written", (long long)t);
        if (t < steps - 1) continue;
        memcpy(b->w, v.next[0], (size_t)b->params->total * 4);
        if (!move_state(b, out, b->w, false)) return FAIL(b->ctx, DRMAD_E_IO, "w_T not written");
    }
done:
    return st;
}

static drmad_status run_study(drmad_ctx *ctx, int argc, char **argv)
{
    drmad_status st = DRMAD_OK;
    bench b = {.ctx = ctx};
    int64_t width[LAYERS_MAX + 1];
    int layers = argc - 6;
    traj_spec spec = {
        .dtype = F32, .steps = atoll(argv[3]), .quality = (traj_quality)atoi(argv[4])};
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");

    if (!in || !out || layers < 1 || layers > LAYERS_MAX) {
        st =
            FAIL(ctx, DRMAD_E_USAGE, "files that open and 2 to %d widths expected", LAYERS_MAX + 1);
        goto done;
    }
    for (int l = 0; l <= layers; l++) width[l] = atoll(argv[5 + l]);
    TRY(open_mlp(&b, width, layers, spec));
    TRY(study(&b, in, out, spec.steps));
    traj_stats s = traj_stats_of(b.tr);
    printf("{\"vectors\": %.4f, \"events\": %lld, \"encode_us\": %.2f, \"decode_us\": %.2f}\n",
           (double)s.bytes_held / 4 / (double)b.params->weights, (long long)s.events,
           median_us(b.encode_s, spec.steps), median_us(b.decode_s, spec.steps));
done:
    close_mlp(&b);
    if (in) fclose(in);
    if (out && fclose(out) != 0 && st == DRMAD_OK) st = FAIL(ctx, DRMAD_E_IO, "%s", argv[2]);
    return st;
}

/* Momentum .9 and a step such that about 1.4 % of the weights cross, as at learning rate .1. The
 * noise is a linear congruence: cheap, so that the encoder's data are as warm as in training. */
static void walk(const bench *b, float *velocity, int64_t t)
{
    uint32_t x = (uint32_t)t + 1;

    for (int64_t i = 0; i < b->params->total; i++) {
        x = x * 1664525u + 1013904223u;
        velocity[i] = .9f * velocity[i] + 1.09e-4f * ((float)(x >> 8) * 0x1p-23f - 1);
        b->w[i] += velocity[i];
    }
}

static void start(const bench *b)
{
    for (int64_t i = 0; i < b->params->total; i++)
        b->w[i] = .05f * (float)rng_normal((rng_key){1, 0, 0}, (uint64_t)i);
}

/* Between records other memory is touched, as a training step does. */
static drmad_status run_walk(drmad_ctx *ctx)
{
    static const int64_t width[] = {784, 50, 50, 50, 10};
    drmad_status st = DRMAD_OK;
    bench b = {.ctx = ctx};
    traj_spec spec = {.dtype = F32, .steps = WALK_STEPS, .quality = QUALITY_NORMAL};
    float *velocity = NULL;
    char *other = NULL;
    traj_view v;

    TRY(open_mlp(&b, width, 4, spec));
    TRY(mem_alloc(ctx, (size_t)b.params->total, sizeof *velocity, &velocity));
    TRY(mem_alloc(ctx, WORKING_SET, 1, &other));
    for (int64_t t = 0; t <= WALK_STEPS; t++) {
        memset(other, (int)t, WORKING_SET);
        if (t == 0) start(&b);
        if (t > 0) walk(&b, velocity, t);
        TRY(record(&b, t));
    }
    for (int64_t t = WALK_STEPS - 1; t >= 0; t--) TRY(load(&b, t, &v));
    double events = (double)traj_stats_of(b.tr).events / WALK_STEPS;
    printf("grid_encode_us %.2f a step, 44,860 weights, %.0f crossings\n",
           median_us(b.encode_s, WALK_STEPS), events);
    printf("grid_decode_us %.2f a step, the same\n", median_us(b.decode_s, WALK_STEPS));
done:
    close_mlp(&b);
    mem_free(ctx, velocity);
    mem_free(ctx, other);
    return st;
}

int main(int argc, char **argv)
{
    drmad_ctx *ctx = drmad_ctx_new(NULL, NULL);
    drmad_status st;

    if (!ctx) return 1;
    if (argc != 1 && argc < 7) {
        fprintf(stderr, "usage: bench_grid [IN OUT STEPS QUALITY N0 N1 ...]\n");
        return 2;
    }
    st = argc == 1 ? run_walk(ctx) : run_study(ctx, argc, argv);
    if (st != DRMAD_OK) fprintf(stderr, "bench_grid: %s\n", drmad_errmsg(ctx));
    drmad_ctx_free(ctx);
    return drmad_status_exit(st);
}
