/* Chunks of the bit string. A chunk that cannot be had is noted in `failed` and the last one is
 * written over, so that the writer needs no check per code word: traj_grid.c asks once a step. */
#include "train/traj_bits.h"

static drmad_status more_slots(bits *b)
{
    size_t more = b->slots ? 2 * b->slots : 64;
    drmad_status st = mem_resize(b->tr->ctx, &b->chunk, b->slots, more, sizeof *b->chunk);

    if (st != DRMAD_OK) return st;
    b->tr->stats.bytes_held += (more - b->slots) * sizeof *b->chunk;
    b->slots = more;
    return DRMAD_OK;
}

static drmad_status want_chunk(bits *b, size_t i)
{
    drmad_status st = DRMAD_OK;

    if (i < b->chunks) return DRMAD_OK;
    if (i == b->slots) TRY(more_slots(b));
    TRY(traj_hold(b->tr, BITS_CHUNK_WORDS, sizeof(uint64_t), &b->chunk[i]));
    b->chunks = i + 1;
done:
    return st;
}

void bits_begin(bits *b, trajectory *tr)
{
    b->tr = tr;
    b->current = 0;
    b->acc = 0;
    b->fill = 0;
    b->failed = want_chunk(b, 0);
    b->at = b->failed == DRMAD_OK ? b->chunk[0] : NULL;
    b->end = b->at ? b->at + BITS_CHUNK_WORDS : NULL;
}

void bits_close(bits *b)
{
    for (size_t i = 0; i < b->chunks; i++) mem_free(b->tr->ctx, b->chunk[i]);
    if (b->tr) mem_free(b->tr->ctx, b->chunk);
}

static uint64_t *next_chunk(bits *b)
{
    drmad_status st = want_chunk(b, b->current + 1);

    if (st == DRMAD_OK) b->current++;
    if (b->failed == DRMAD_OK) b->failed = st;
    b->end = b->chunk[b->current] + BITS_CHUNK_WORDS;
    return b->chunk[b->current];
}

/* Whether a word is full hangs on the lengths as on a die: masked, not branched on. */
void bits_put(bits *b, const bits_word *words, int n)
{
    uint64_t acc = b->acc, *at = b->at;
    uint64_t fill = b->fill;

    for (int i = 0; i < n; i++) {
        uint64_t v = words[i].value;
        uint64_t over = v >> 1 >> (63 - fill);
        acc |= v << fill;
        *at = acc;
        fill += words[i].length;
        uint64_t full = 0 - fill / 64;
        acc = (acc & ~full) | (over & full);
        at += fill / 64;
        fill %= 64;
        if (at == b->end) at = next_chunk(b);
    }
    b->acc = acc;
    b->at = at;
    b->fill = (unsigned)fill;
}

drmad_status bits_end(bits *b)
{
    if (b->failed == DRMAD_OK) *b->at = b->acc;
    return b->failed;
}

uint64_t bits_where(const bits *b)
{
    uint64_t words = (b->current + 1) * BITS_CHUNK_WORDS - (uint64_t)(b->end - b->at);

    return 64 * words + b->fill;
}

void bits_read_at(bits_reader *r, const bits *b, uint64_t bit)
{
    size_t word = bit / 64;

    r->from = b;
    r->current = word / BITS_CHUNK_WORDS;
    r->at = b->chunk[r->current] + word % BITS_CHUNK_WORDS;
    r->end = b->chunk[r->current] + BITS_CHUNK_WORDS;
    r->pos = bit % 64;
    r->here = *r->at++;
    if (r->at == r->end) bits_read_turn(r);
    r->next = *r->at++;
}

/* Past the last chunk the last one is read again: only look-ahead gets there, and nobody uses
 * it. */
void bits_read_turn(bits_reader *r)
{
    if (r->current + 1 < r->from->chunks) r->current++;
    r->at = r->from->chunk[r->current];
    r->end = r->at + BITS_CHUNK_WORDS;
}
