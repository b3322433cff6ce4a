/* The tables of a store that speaks SQL: Optuna's at one revision, ours at one version. They are
 * made and brought forward by numbered steps (schema/NNN-NAME.DRIVER.sql), each in a transaction
 * that holds everybody else off. */
#ifndef SCHEMA_H
#define SCHEMA_H
#include "store/db.h"
#include "store/store_ops.h"

#define SCHEMA_REVISION "v3.2.0.a"
enum { SCHEMA_VERSION = 2, SCHEMA_OPTUNA_TABLES = 13, SCHEMA_OWN_TABLES = 4 };

typedef struct schema_step {
    int number;         /* 1: Optuna's tables; 0: hypero's views, which are no step */
    const char *driver; /* NULL past the last */
    const char *sql;
} schema_step;
extern const schema_step schema_steps[];
extern const char *const schema_tables[SCHEMA_OPTUNA_TABLES + SCHEMA_OWN_TABLES];

typedef struct schema_state {
    int optuna, own;     /* how many of the tables are there */
    const char *missing; /* the first of Optuna's that is not, NULL: none */
    char revision[64];   /* of Optuna's; "" without one */
    int64_t version;     /* of ours; 0 without */
    char store[STORE_IDENTITY_SIZE];
} schema_state;

drmad_status schema_read(db *d, schema_state *out);
/* Makes what may be made, refuses what is not as it should be, with the command that mends it. */
drmad_status schema_open(store *s, db *d, schema_state *out);
/* Runs the steps that are missing of ours. */
drmad_status schema_upgrade(store *s, db *d);
/* Why the tables cannot be used as they are; gives DRMAD_OK and no message when they can. */
drmad_status schema_judge(store *s, const schema_state *now);
#endif
