/* Pictures in tar files, WebDataset's layout: a sample is the members next to each other whose
 * names are the same up to the first dot of the last part; NAME.jpg (.jpeg, .png) is its picture,
 * NAME.cls its class, a whole number in digits. Members with other endings are passed over.
 *
 * A shard is read once from end to end, for the places of its pictures; nothing is unpacked or
 * written. Later a picture is one read at its place. A shard that is packed with gzip is unpacked
 * into memory, up to `memory` bytes for all of them (beyond: DRMAD_E_UNSAFE).
 *
 * Refused. DRMAD_E_UNSAFE: names that are absolute or have a part "..", links, devices, members
 * that can hold code (.pkl, .pyd, .pth, .pt), shard names like URLs ("pipe:..."). DRMAD_E_DATA: a
 * shard that is cut or no tar, a sample without a class or with one outside [0, classes), without
 * a picture or with two; an empty picture, or one above IMAGE_BYTES_MAX, unless `skip`. */
#ifndef SHARDS_H
#define SHARDS_H
#include "data/image_set.h"

enum { SHARDS_MAX = 65536 };

typedef struct shards_spec {
    const char *names; /* paths with braces and commas: "train-{000..146}.tar", "a.tar,b.tar" */
    const char *dir;   /* what they are relative to, or NULL */
    int32_t classes;   /* 0: one more than the largest */
    size_t memory;
    bool skip;
} shards_spec;
/* Gives *out. */
drmad_status shards_list(drmad_ctx *ctx, const shards_spec *spec, image_set **out);

/* Inside: the paths one by one. Gives *out. */
drmad_status shards_expand(drmad_ctx *ctx, const shards_spec *spec, image_names *out, int32_t *n);
/* Inside: adds the samples of s->shard[shard], whose bytes or file are open. */
drmad_status shard_scan(image_set *s, int32_t shard, bool skip);
#endif
