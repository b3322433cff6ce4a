/* Shared by the files of this room only: the key table as data, and what reads and writes through
 * it. */
#ifndef CONFIG_INSIDE_H
#define CONFIG_INSIDE_H
#include "config/config.h"

typedef enum key_type {
    TYPE_INT,
    TYPE_REAL,
    TYPE_SIZE,
    TYPE_BOOL,
    TYPE_WORD,
    TYPE_TEXT,
    TYPE_INTS,
    TYPE_REALS,
    TYPE_TEXTS,
    TYPE_SCALARS,
    TYPE_RECORD,
    TYPE_LIST
} key_type;

typedef struct record record;

typedef struct key_def {
    const char *name;
    key_type type;
    size_t at;                /* offset in the record; of lists: of n */
    size_t items;             /* lists: offset of at[0] */
    int32_t max;              /* lists: items at most */
    bool pair;                /* TYPE_INTS: one value alone stands for two like it */
    const record *of;         /* records and lists of them */
    const char *const *words; /* TYPE_WORD, ended by NULL */
    const char *def, *special, *text;
    double low, high;
} key_def;

struct record {
    const char *name, *text;
    const key_def *keys;
    int n;
    size_t size;
};

const record *config_root(void);
const key_def *record_find(const record *r, const char *name);
/* ": did you mean x?" or the known keys, for a name that record_find does not know. */
void record_suggest(const record *r, const char *name, char *buf, size_t size);
/* "a whole number from 1 to 256, or auto": what the key takes. */
char *key_takes(const key_def *k, char *buf, size_t size);
/* The word of list `words` nearest to `text`, NULL when none is near. */
const char *words_nearest(const char *const *words, const char *text);

/* Where a value comes from and which key it is for; messages start with it. */
typedef struct spot {
    const char *source;
    int line, column; /* from 1; 0 = an override */
    char path[64];
} spot;
drmad_status spot_fail(const config *c, const spot *s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
drmad_status config_mark_set(config *c, const spot *s);

/* Text that is fit for a message: at most 40 bytes, control characters as '?'. */
enum { SHOWN_BYTES = 48 };
const char *shown(const char *text, char buf[SHOWN_BYTES]);

/* One scalar of a file into `field`. `plain`: it stood without quotes. */
drmad_status scalar_set(config *c, const spot *s, const key_def *k, void *field, const char *text,
                        bool plain);
/* The same for an item of a list of scalars. */
drmad_status scalar_item(config *c, const spot *s, const key_def *k, void *item, const char *text,
                         bool plain);
/* The shortest decimal that reads back to x, in any locale. */
void real_print(double x, char *buf, size_t size);

/* The value of one key as text, without quotes. Gives *out. */
drmad_status key_print(const config *c, const key_def *k, const void *base, char **out);

/* Part of config_finish: what the kinds of data need and take, augmentation. */
drmad_status config_check_data(const config *c);
bool config_own_test(int kind); /* whether the kind may bring a test set by itself */
/* Part of config_finish: the optimiser. What its kind has no use for is refused by name; every
 * `auto` of the rest replaced. */
drmad_status config_check_optimizer(config *c);
/* Part of config_finish: order and shares of `stages`, words of `compare`. */
drmad_status config_check_stages(config *c);
/* Part of config_finish: what goes with `rally`, its `auto`s. */
drmad_status config_check_rally(config *c);
/* ... and once `auto`s are numbers: what a search chooses must be able to start refinement. */
drmad_status config_check_starts(const config *c);
/* The key by which the rest of the study says something about a kind; NULL where there is none.
 * *value: what it says, 0 for nothing. */
const char *config_said(const config_study *s, hyper_kind kind, double *value);

/* Defaults of a record, and its end. */
drmad_status record_defaults(config *c, const record *r, void *base);
void record_free(const config *c, const record *r, void *base);
/* Empties a list of any type. */
void list_clear(const config *c, const key_def *k, void *base);

/* One YAML document into a record, or into the field of one key of the record at `base`; `s` says
 * where it comes from. */
drmad_status yaml_read_record(config *c, spot *s, const record *r, void *base, const char *text,
                              size_t size);
drmad_status yaml_read_key(config *c, spot *s, const key_def *k, void *base, const char *text,
                           size_t size);

static inline bool is_scalar_list(const key_def *k)
{
    return k->type >= TYPE_INTS && k->type <= TYPE_SCALARS;
}
static inline bool is_text_list(const key_def *k)
{
    return k->type == TYPE_TEXTS || k->type == TYPE_SCALARS;
}
/* Bytes of one item of a list. */
static inline size_t item_size(const key_def *k)
{
    return k->type == TYPE_LIST    ? k->of->size
           : k->type == TYPE_INTS  ? sizeof(int64_t)
           : k->type == TYPE_REALS ? sizeof(double)
                                   : sizeof(char *);
}
static inline void *field_of(void *base, size_t at)
{
    return (char *)base + at;
}
static inline const void *field_in(const void *base, size_t at)
{
    return (const char *)base + at;
}
#endif
