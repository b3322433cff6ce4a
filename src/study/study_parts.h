/* The inside of the room: what its calls share and no room above needs. */
#ifndef STUDY_PARTS_H
#define STUDY_PARTS_H
#include "study/runs.h"

/* text.c. The study in a few lines. */
drmad_status study_say_study(drmad_study *st);

/* Smallest and largest value of each declaration: as text, and as JSON given. */
json_t *study_ranges(const drmad_study *st, const double *values, char *text, size_t size);
/* One line a slice: start, smallest, median, largest. */
drmad_status study_say_values(drmad_study *st, const double *values);

/* kept.c. Keeps what the last call came to, for drmad_study_value. */
drmad_status study_keep(drmad_study *s, int64_t meta_step, const double *values);
void study_forget_kept(drmad_study *s);

/* clean.c. How well example weights found the labels that data.label_noise made wrong; nothing
 * where there are none. */
drmad_status study_clean_report(drmad_study *st, const double *values);

/* A vector over the space: one tensor a slice, [phases, elements], F64. */
drmad_status study_save_values(drmad_study *st, const char *file, const double *values);

/* Retrains over the study's seeds; mean over finite runs. `keep`: the weights of the first finite
 * run are written (of one run also where no seeds are asked for). */
drmad_status study_retrain(drmad_study *st, const char *name, const double *values, bool keep,
                           summary *out);

/* Random search as a baseline; *spent gets the training runs it took. */
drmad_status study_random_search(drmad_study *st, double *spent);

/* data_stat.c. Pictures that were left out. */
drmad_status study_put_bad(drmad_study *s);
#endif
