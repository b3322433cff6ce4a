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

void bits_turn(bits *b)
{
    drmad_status st = want_chunk(b, b->current + 1);

    if (st == DRMAD_OK) b->current++;
    if (b->failed == DRMAD_OK) b->failed = st;
    b->at = b->chunk[b->current];
    b->end = b->at + BITS_CHUNK_WORDS;
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
