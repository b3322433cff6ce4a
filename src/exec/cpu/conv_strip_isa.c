/* Strips of a convolution: how many lines at a time, their operand with its border, their taps. */
#include "exec/cpu/conv_f32.h"

enum { STRIP_BYTES = 256 << 10, CELL = 64 }; /* of the operand: a quarter of a usual L2 cache */

/* Whether taps go apart: that adds to the result once for each column of the window, which so many
 * channels outweigh (measured; with a step twice as many); fewer do where much of the border would
 * be read. */
static bool taps_apart(const conv_job *j)
{
    enum { FEW = 8, MANY = 16 };
    const int64_t from = conv_from_group(j->c), wide = j->x.high - j->x.low;
    const bool steps = j->x.step * j->x.phases > 1 && j->c->op != CONV_DW;

    if (!j->border) return false;
    return from >= (steps ? 2 * MANY : MANY) || (from >= FEW && 2 * wide >= 3 * j->x.ins);
}

static int64_t rows_of(const conv_axis *y, int64_t lines)
{
    return ((lines - 1) / y->phases + 1) * y->step + y->span;
}

static void size_strips(conv_job *j)
{
    const int64_t row = (j->x.high - j->x.low + 1) * conv_from(j->c) * (int64_t)sizeof(float);
    const int64_t image = row * (j->y.high - j->y.low + 1);
    const int64_t rows = STRIP_BYTES / row, lines = j->y.outs > 0 ? j->y.outs : 1;

    j->images_max = 1;
    j->lines_max = lines;
    if (image <= STRIP_BYTES) j->images_max = STRIP_BYTES / image;
    else if (rows_of(&j->y, lines) > rows) {
        const int64_t left = (rows - j->y.span) / j->y.step * j->y.phases;
        const int64_t most = left > 1 ? left : 1;
        j->lines_max = (lines + (lines + most - 1) / most - 1) / ((lines + most - 1) / most);
    }
    if (j->images_max > j->c->n) j->images_max = j->c->n > 0 ? j->c->n : 1;
}

/* The next `bytes` of work, or NULL while they are only counted. */
static void *take(conv_job *j, void *work, int64_t count, size_t size)
{
    char *const at = work;
    const size_t from = j->bytes;

    j->bytes += ((size_t)count * size + CELL - 1) / CELL * CELL;
    return at ? at + from : NULL;
}

void conv_job_open(conv_job *j, const conv *c, void *work)
{
    *j = (conv_job){.c = c, .y = conv_axis_of(c, 0), .x = conv_axis_of(c, 1)};
    j->border = j->y.low < 0 || j->y.high > j->y.ins || j->x.low < 0 || j->x.high > j->x.ins;
    j->apart = taps_apart(j);
    j->border &= !j->apart;
    j->flat = !j->border && !j->apart && conv_area(c) == 1 && j->y.outs == j->y.ins &&
              j->x.outs == j->x.ins && j->y.step * j->y.phases * j->x.step * j->x.phases == 1;
    size_strips(j);
    for (int i = 0; i < 2; i++) {
        j->k[i] = take(j, work, c->v.kernel[i], sizeof(int64_t));
        j->at[i] = take(j, work, c->v.kernel[i], sizeof(int64_t));
    }
    j->piece = take(j, work, conv_area(c), sizeof *j->piece);
    if (j->border)
        j->field = take(j, work,
                        j->images_max * rows_of(&j->y, j->lines_max) * (j->x.high - j->x.low) *
                            conv_from(c),
                        sizeof(float));
    if (c->op != CONV_DW) return;
    j->line = take(j, work, j->images_max * j->lines_max, sizeof *j->line);
    if (conv_to_group(c) % VL != 0)
        j->dy =
            take(j, work, j->images_max * j->lines_max * j->x.outs * conv_whole(conv_to_group(c)),
                 sizeof(float));
}

conv_strip conv_next(const conv_job *j, int64_t from, int64_t to)
{
    conv_strip s = {.images = 1};

    if (from >= to) return s;
    s.image = from / j->y.outs, s.line = from % j->y.outs;
    s.lines = to - from < j->y.outs - s.line ? to - from : j->y.outs - s.line;
    if (s.lines > j->lines_max) s.lines = j->lines_max;
    if (s.lines == j->y.outs) {
        s.images = (to - from) / j->y.outs;
        if (s.images > j->images_max) s.images = j->images_max;
    }
    return s;
}

static int64_t clip(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* One row of the operand (NULL: outside), from pixel x.low to x.high. */
static void copy_row(const conv_job *j, const float *row, float *out)
{
    const int64_t ch = conv_from(j->c), pitch = j->x.high - j->x.low;
    const int64_t from = clip(-j->x.low, 0, pitch), to = clip(j->x.ins - j->x.low, from, pitch);

    if (!row || from == to) {
        memset(out, 0, (size_t)(pitch * ch) * sizeof *out);
        return;
    }
    memset(out, 0, (size_t)(from * ch) * sizeof *out);
    memcpy(out + from * ch, row + (from + j->x.low) * ch, (size_t)((to - from) * ch) * sizeof *out);
    memset(out + to * ch, 0, (size_t)((pitch - to) * ch) * sizeof *out);
}

conv_field conv_fill(const conv_job *j, const float *in, const conv_strip *s)
{
    const int64_t ch = conv_from(j->c), row = j->x.ins * ch, ph = j->y.phases;
    conv_field f = {
        .at = in + s->image * j->y.ins * row, .image = j->y.ins * row, .pitch = j->x.ins};

    if (!j->border || s->lines == 0) return f;
    const int64_t last = (s->line + s->lines - 1) / ph * j->y.step + j->y.low + j->y.span;
    f.row = s->line / ph * j->y.step + j->y.low, f.col = j->x.low;
    f.pitch = j->x.high - j->x.low;
    float *out = j->field;
    for (int64_t i = 0; i < s->images; i++)
        for (int64_t r = f.row; r < last; r++, out += f.pitch * ch)
            copy_row(j, r >= 0 && r < j->y.ins ? f.at + i * f.image + r * row : NULL, out);
    f.image = (last - f.row) * f.pitch * ch;
    f.at = j->field;
    return f;
}

conv_pieces conv_tap_pieces(const conv_job *j, int64_t row_phase, int64_t col_phase, int64_t pitch)
{
    const int64_t rows = conv_taps(j->c, 0, row_phase, j->k[0], j->at[0]);
    const int64_t cols = conv_taps(j->c, 1, col_phase, j->k[1], j->at[1]);
    const int64_t ch = conv_from(j->c);
    bool beside = j->c->v.groups == 1 && cols > 0;

    for (int64_t i = 1; i < cols; i++) beside &= j->at[1][i] == j->at[1][i - 1] + 1;
    conv_pieces p = {.piece = j->piece,
                     .rows = rows,
                     .cols = cols,
                     .run = beside ? cols * ch : conv_from_group(j->c)};
    for (int64_t r = 0; r < rows; r++)
        for (int64_t s = 0; s < (beside ? 1 : cols); s++)
            p.piece[p.count++].a = ((j->at[0][r] - j->y.low) * pitch + j->at[1][s] - j->x.low) * ch;
    return p;
}
