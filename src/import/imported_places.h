/* Shared by imported_places.c and imported_rows.c. */
#ifndef IMPORTED_PLACES_H
#define IMPORTED_PLACES_H
#include "import/aten.h"

typedef struct place {
    int32_t dim; /* -1: none */
    int64_t slower;
} place;

typedef struct places {
    lowering *l;   /* all nodes lowered */
    bool *by_rows; /* by value: depends on examples; filled by places_find */
    place *at;     /* by value; likewise */
} places;

void places_find(places *p);
#endif
