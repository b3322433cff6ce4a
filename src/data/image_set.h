/* Pictures with labels that stay in their files until they are needed: a folder of classes, or tar
 * shards.
 *
 * Ownership: image_set_new, folder_list and shards_list give *out; image_set_free takes it.
 * Threads:   read-only once made: any number of threads may load. */
#ifndef IMAGE_SET_H
#define IMAGE_SET_H
#include "data/image.h"

enum { IMAGE_CLASSES_MAX = 65536 };

typedef struct image_entry {
    uint64_t offset; /* of its bytes in the shard; 0 in a file of its own */
    size_t name;     /* where its name starts in names.at */
    int32_t bytes;   /* when it was found; at most IMAGE_BYTES_MAX */
    int32_t label, shard;
} image_entry;

typedef struct image_names {
    char *at; /* one after the other, each ended by 0 */
    size_t used, room;
} image_names;

/* A tar file; of one that was packed the content. */
typedef struct image_shard {
    const char *name;
    blob bytes; /* at NULL: they lie in the file, which is opened for each picture */
} image_shard;

typedef struct image_set {
    drmad_ctx *ctx;
    char *root; /* folder: what names are relative to; shards: NULL */
    image_entry *at;
    int32_t n, room;
    image_names names, classes; /* classes: of a folder, in order; of shards their own names */
    int32_t class_count;
    image_shard *shard;
    int32_t shards, skipped; /* skipped: left out already for their name or size */
} image_set;

drmad_status image_set_new(drmad_ctx *ctx, image_set **out);
void image_set_free(image_set *s); /* NULL is fine */
/* Inside: `name` behind the others, its place to *at; one entry more. */
drmad_status image_names_add(drmad_ctx *ctx, image_names *n, const char *name, size_t *at);
drmad_status image_set_add(image_set *s, const image_entry *e);

/* The files under dir/CLASS/, in the order of their names byte by byte; the class is the place of
 * its folder in the same order, or in the order of `like` where that is given: a folder that is
 * not in it is DRMAD_E_DATA. Names that start with a dot are passed over, files beside the class
 * folders too. Refused: a class without pictures; symbolic links that lead out of `dir`
 * (DRMAD_E_UNSAFE); files that are empty, too large or not called .jpg, .jpeg or .png, unless
 * `skip`: then they are counted and left out. */
drmad_status folder_list(drmad_ctx *ctx, const char *dir, const image_set *like, bool skip,
                         image_set **out);

/* Room for one file's bytes, kept from call to call. */
typedef struct image_bytes {
    drmad_ctx *ctx;
    uint8_t *at;
    size_t room;
    char name[512]; /* what messages call it */
} image_bytes;
void image_bytes_free(image_bytes *b);

/* *out: the bytes of picture i, in *room or in the set's memory. DRMAD_E_IO: cannot be read. */
drmad_status image_set_load(const image_set *s, int32_t i, image_bytes *room, blob *out);
/* "dir/class/0001.jpg" or "train-000.tar: n01440764_18" for messages; gives buf. */
char *image_set_name(const image_set *s, int32_t i, char *buf, size_t size);
size_t image_set_bytes(const image_set *s); /* memory that it holds */
/* Of all names, sizes and labels, not of the pictures themselves. */
drmad_status image_set_sha256(const image_set *s, char out[SHA256_TEXT]);
#endif
