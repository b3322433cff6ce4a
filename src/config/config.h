/* The study file as a checked struct. What its keys are called, their types, ranges, defaults and
 * meaning stand in keys.def and nowhere else; docs/STUDY.md is printed from there. Reading is
 * strict: YAML without anchors, tags and duplicate keys, every key known, every value of its type
 * and in its range, every message with line and column. What the words mean is the business of the
 * rooms that do the work.
 *
 *   config_gather = config_new (defaults), config_read (the file), config_override
 *   config_load   = config_gather, config_finish (what must agree, and `auto`s)
 *
 * Ownership: config_new and config_load give, config_free takes; texts live as long as the config.
 * Threads:   one config, one thread at a time. */
#ifndef CONFIG_H
#define CONFIG_H
#include "base/base.h"
#include "config/hyper.h"

/* clang-format off */
/* enum cfg_dtype {CFG_F32, CFG_F64}, ... */
#define WORDS(list)          typedef enum cfg_##list {
#define WORD(list, id, word) id,
#define WORDS_END(list)                                                                            \
    CFG_END_##list                                                                                 \
    }                                                                                              \
    cfg_##list;
#include "config/words.def"
#undef WORDS
#undef WORD
#undef WORDS_END

/* struct config_data {int kind; char *dir; ...}, ..., struct config_study */
#define RECORD(record, text)                                    typedef struct config_##record {
#define KEY_INT(r, name, def, low, high, special, text)         int64_t name;
#define KEY_REAL(r, name, def, low, high, special, text)        double name;
#define KEY_SIZE(r, name, def, low, high, special, text)        int64_t name;
#define KEY_BOOL(r, name, def, text)                            bool name;
#define KEY_WORD(r, name, list, def, special, text)             int name;
#define KEY_TEXT(r, name, def, text)                            char *name;
#define KEY_INTS(r, name, max, def, low, high, special, text) \
    struct { int32_t n; int64_t at[max]; } name;
#define KEY_PAIR(r, name, def, low, high, special, text) \
    struct { int32_t n; int64_t at[2]; } name;
#define KEY_REALS(r, name, max, low, high, text) \
    struct { int32_t n; double at[max]; } name;
#define KEY_TEXTS(r, name, max, text) \
    struct { int32_t n; char *at[max]; } name;
#define KEY_SCALARS(r, name, max, text) \
    struct { int32_t n; char *at[max]; } name;
#define KEY_RECORD(r, name)                                     struct config_##name name;
#define KEY_LIST(r, name, item, max, text) \
    struct { int32_t n; struct config_##item at[max]; } name;
#define RECORD_END(record)                                      } config_##record;
#include "config/keys.def"
#include "config/keys_undef.h"
/* clang-format on */

typedef struct config_mark config_mark; /* where a key was set */

typedef struct config {
    drmad_ctx *ctx;
    char *source; /* the file's name, for messages */
    config_study set;
    config_mark *marks;
    size_t n_marks, room_marks;
} config;

enum { CONFIG_BYTES_MAX = 1 << 20 };

/* trajectory.memory where it is `auto`, of the host: bytes. */
#define CONFIG_KEPT ((int64_t)2 << 30)

/* All keys at their defaults. */
drmad_status config_new(drmad_ctx *ctx, config **out);
void config_free(config *c); /* NULL is fine */

/* Sets the keys that the YAML text names; `source` names the text in messages. After a failure the
 * config is fit only for config_free. */
drmad_status config_read(config *c, const char *source, const char *text, size_t size);
/* "outer.lr", "0.02"; "hyper.0.start", "1e-3"; "model.layers", "[784, 10]": as if the file said
 * so. */
drmad_status config_set(config *c, const char *key, const char *value);
/* Takes entry `i` out of the list `key`. */
drmad_status config_drop(config *c, const char *key, int32_t i);
/* The value of a scalar key as a file would say it; gives *out, from the context's memory. */
drmad_status config_get(const config *c, const char *key, char **out);
/* Checks what hangs together and replaces every `auto` that follows from other keys. */
drmad_status config_finish(config *c);
/* The key `of`, or one inside it, that file or override has set; NULL where none is. */
const char *config_set_under(const config *c, const char *of);

drmad_status config_override(config *c, const char *text); /* "key=value" */

/* All of the above; path NULL: no file. Later overrides win. */
drmad_status config_gather(drmad_ctx *ctx, const char *path, const char *const *overrides, int n,
                           config **out);
drmad_status config_load(drmad_ctx *ctx, const char *path, const char *const *overrides, int n,
                         config **out);

/* Fails when there is nothing to tune. */
drmad_status config_need_hyper(const config *c);
/* Fails where activations are kept in less than f32; for all that makes hypergradients. */
drmad_status config_need_f32(const config *c);

/* The GPU that `device` names, from 0; -1: none, the processor. */
int32_t config_gpu(const config *c);

/* Fails with the place and the key in front: "study.yaml:7:3: hyper.0.low: ...". For checks that
 * other rooms make. */
drmad_status config_refuse(const config *c, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "study.yaml:7:3", "override" or "default"; of a key or the nearest record around it. Always
 * terminated. */
void config_where(const config *c, const char *key, char *buf, size_t size);

/* The whole study as YAML, defaults included: reads back to the same struct, and equal structs
 * print equally. Gives *out, from the context's memory. */
drmad_status config_print(const config *c, char **out);
/* docs/STUDY.md. Gives *out. */
drmad_status config_document(drmad_ctx *ctx, char **out);
#endif
