/* Pictures for the data tests, made on the spot: JPEG by libjpeg, PNG by libspng, pixels that are
 * smooth enough for a JPEG to keep them, and what a plain decoder of whole pictures sees. */
#ifndef DARKROOM_H
#define DARKROOM_H
#include "bytes.h"
#include "data/dataset.h"

typedef struct photo {
    int32_t width, height;
    uint8_t *rgb; /* [height,width,3]; free it */
} photo;

/* Smooth colours that differ everywhere. */
photo photo_new(int32_t width, int32_t height, uint64_t seed);

typedef struct jpeg_kind {
    int quality, h, v;                   /* sampling of the luma against the colours */
    bool progressive, grey, inks, scans; /* scans: progressive, with 129 of them */
} jpeg_kind;

bytes photo_jpeg(const photo *p, jpeg_kind k);
bytes photo_png(const photo *p, int type, int depth); /* of spng.h; palette: 16 greys */
/* All of it, by libjpeg as it is meant to be used. */
photo photo_from_jpeg(const bytes *b);

void file_save(const char *path, const bytes *b); /* frees them */
/* dir/CLASS/NN.jpg: `each` pictures of `side` for each class c0, c1, ... */
void folder_make(const char *dir, int classes, int each, int32_t side);
/* Unpacks a tar of the real data (test.h: test_data) into `to`. */
void tar_unpack(const char *name, const char *to);
/* The settings that most tests of pictures share. */
source_spec spec_of(const char *kind, const char *train, const char *test, int32_t size);
#endif
