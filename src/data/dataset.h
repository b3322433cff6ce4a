/* A labelled dataset in memory, and where it comes from.
 *
 * Ownership: every function that fills `dataset **out` gives it; dataset_free takes it.
 * Threads:   read-only once made: any number of threads may read. */
#ifndef DATASET_H
#define DATASET_H
#include "data/array.h"

enum { CLASSES_MAX = 65536, TOKENS_MAX = 1 << 24 };

typedef struct picture_set picture_set; /* data/pictures.h */

typedef struct dataset {
    drmad_ctx *ctx;
    char *name;       /* for outputs: "mnist/train", "synthetic-digits/train", a file's path */
    dtype dtype;      /* of rows: U8 (as in the file, 0 to 255), F32 or F64 (finite) */
    shape row;        /* shape of one row: [28,28] */
    int64_t n, width; /* rows >= 1, elements of a row >= 1; n fits an int32_t */
    void *rows;       /* [n, width]; NULL: `pictures` decodes them (pictures.h) */
    picture_set *pictures;
    int64_t bad;     /* pictures left out because they cannot be read */
    int32_t *labels; /* [n], each in [0, classes) */
    int32_t classes;
    char sha256[SHA256_TEXT]; /* of type, shape, classes, rows and labels */
} dataset;

/* Checks and takes `rows` [n, ...] and `labels` [n] (both emptied, also on failure). classes 0
 * means one more than the largest label. DRMAD_E_DATA names the first bad row or label. */
drmad_status dataset_new(drmad_ctx *ctx, const char *name, array *rows, array *labels,
                         int32_t classes, dataset **out);
void dataset_free(dataset *d); /* NULL is fine */

/* Rows and labels from two files (IDX or npy, gzip or not). */
drmad_status dataset_read(drmad_ctx *ctx, const char *name, const char *rows_path,
                          const char *labels_path, int32_t classes, dataset **out);

/* What a study's `data:` says. Strings are borrowed; a source reads the members it needs:
 *   "files"             train_rows, train_labels and, where there are any, test_rows, test_labels
 *   "mnist"             dir with {train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]
 *   "synthetic-digits"  seed, train_n, test_n: drawn, needs no file
 *   "cifar"             dir with data_batch_1.bin to 5 and test_batch.bin (CIFAR-10), or train.bin
 *                       and test.bin (CIFAR-100, its 100 classes); rows u8 [32,32,3]
 *   "folder"            train_rows: a folder of class folders, test_rows: another or none; rows
 *                       u8 [size,size,3]
 *   "shards"            train_rows: tar files (shards.h), test_rows: others or none; rows as of a
 *                       folder
 *   "npz", "safetensors"  file, and in place of paths the names of the arrays in it */
typedef struct source_spec {
    const char *kind, *dir, *file;
    const char *train_rows, *train_labels, *test_rows, *test_labels;
    int32_t classes; /* 0: files: one more than the largest training label; else 10 */
    uint64_t seed;
    int64_t train_n, test_n; /* 0: 60,000 and 10,000 */
    int32_t size;            /* pictures: side of the square they become; 0: as they are */
    double center;           /* share of the shorter side of the square in evaluation */
    size_t memory;           /* the most bytes of decoded rows */
    bool originals;          /* keep pictures as they are: parts of them are asked for */
    bool skip_bad;           /* leave out what cannot be read, and count it */
} source_spec;

/* Gives *train and *test; *test is NULL when the source has none. An unknown kind is
 * DRMAD_E_CONFIG. */
drmad_status source_open(drmad_ctx *ctx, const source_spec *spec, dataset **train, dataset **test);

/* Inside: one row of the table in source.c a kind. */
typedef struct source {
    const char *kind;
    drmad_status (*open)(drmad_ctx *ctx, const source_spec *spec, dataset **train, dataset **test);
} source;

drmad_status source_check_pair(drmad_ctx *ctx, const dataset *train, const dataset *test);

extern const source source_files, source_mnist, source_digits, source_cifar, source_folder,
    source_shards, source_npz, source_safetensors;
#endif
