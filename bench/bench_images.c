/* How fast one core turns files into training rows: decode, random-resized crop, flip (folders of
 * photographs), or decode, moved square, flip (pictures of 32 x 32).
 *
 *   bench_images                          the real photographs, at 224
 *   bench_images DIR SIDE PASSES          seconds a picture, best of three
 *   bench_images DIR SIDE PASSES list     what is drawn, for bench_images.py: a line a picture,
 *                                         file, x, y, width, height (or shift x, y), mirrored */
#include "data/pictures.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 3, SMALL = 32 };

static const augment photographs = {.crop = CROP_RANDOM_RESIZED, .least = .08, .flip = true};
static const augment small = {.crop = CROP_RANDOM, .pad = 4, .flip = true};

typedef struct job {
    drmad_ctx *ctx;
    dataset *data;
    const augment *how;
    int passes;
} job;

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(drmad_ctx *ctx, drmad_status st)
{
    if (st == DRMAD_OK) return;
    fprintf(stderr, "bench_images: %s\n", drmad_errmsg(ctx));
    exit(1);
}

static job job_open(const char *dir, int side, int passes)
{
    job j = {.ctx = drmad_ctx_new(NULL, NULL),
             .how = side <= SMALL ? &small : &photographs,
             .passes = passes};
    const source_spec spec = {
        .kind = "folder", .train_rows = dir, .size = side, .center = 1, .originals = true};
    dataset *none;

    must(j.ctx, source_open(j.ctx, &spec, &j.data, &none));
    return j;
}

/* Seconds a picture. */
static double once(const job *j)
{
    uint8_t *row = malloc((size_t)j->data->width);
    picture_work *w;

    if (!row) exit(1);
    must(j->ctx, picture_work_new(j->ctx, j->data, &w));
    const double start = cpu_seconds();
    for (int p = 0; p < j->passes; p++)
        for (int32_t i = 0; i < j->data->n; i++) {
            const picture_ask ask = {j->how, 1, p, i};
            must(j->ctx, picture_row(w, &ask, row));
        }
    const double seconds = (cpu_seconds() - start) / (double)(j->passes * j->data->n);
    picture_work_free(w);
    free(row);
    return seconds;
}

static double best(const job *j)
{
    double s = once(j);

    for (int r = 1; r < ROUNDS; r++) {
        const double again = once(j);
        if (again < s) s = again;
    }
    return s;
}

/* The draws need each picture's size, which its header says. */
static void list(const job *j)
{
    const picture_set *p = j->data->pictures;
    image_bytes bytes = {.ctx = j->ctx};
    image_work *w;
    image_size size;
    char name[512];
    blob file;

    must(j->ctx, image_work_new(j->ctx, p->reader, &w));
    for (int pass = 0; pass < j->passes; pass++)
        for (int32_t i = 0; i < j->data->n; i++) {
            must(j->ctx, image_set_load(p->set, i, &bytes, &file));
            must(j->ctx, image_begin(w, &file, &size));
            const augment_draw d = augment_draw_at(j->how, 1, pass, i, &size);
            const bool part = j->how->crop == CROP_RANDOM_RESIZED;
            printf("%s\t%d\t%d\t%d\t%d\t%d\n", image_set_name(p->set, i, name, sizeof name),
                   part ? d.box.x : d.dx, part ? d.box.y : d.dy, d.box.width, d.box.height,
                   d.mirror);
        }
    image_work_free(w);
    image_bytes_free(&bytes);
}

static void photographs_alone(void)
{
    const char *root = getenv("DRMAD_DATA");
    char dir[] = "/tmp/drmad-images-XXXXXX", command[1200], path[64];

    if (!mkdtemp(dir)) exit(1);
    snprintf(command, sizeof command, "tar -xf '%s/imagenet-samples.tar' -C '%s'",
             root ? root : "../shared/data", dir);
    if (system(command) != 0) exit(1);
    snprintf(path, sizeof path, "%s/imagenet-samples/val", dir);
    job j = job_open(path, 224, 3);
    printf("%.0f photographs a second and core, random-resized crop to 224 and flip\n",
           1 / best(&j));
    dataset_free(j.data);
    drmad_ctx_free(j.ctx);
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    if (system(command) != 0) exit(1);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        photographs_alone();
        return 0;
    }
    job j = job_open(argv[1], atoi(argv[2]), atoi(argv[3]));
    if (argc > 4) list(&j);
    else printf("%.9f\n", best(&j));
    dataset_free(j.data);
    drmad_ctx_free(j.ctx);
    return 0;
}
