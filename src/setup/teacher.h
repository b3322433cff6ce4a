/* The teacher of a knowledge distillation: a file of its outputs, or a net of its own study, which
 * is asked once for the training examples as they are. */
#ifndef TEACHER_H
#define TEACHER_H
#include "setup/setup.h"

typedef struct teacher teacher;

/* Gives *out for s->cfg, NULL where it names none. The data and the net of `s` are there. Only what
 * is cheap is done: files are read, nothing is computed. */
drmad_status teacher_new(setup *s, teacher **out);
void teacher_free(teacher *t); /* NULL is fine */

/* s->spec.teacher for the training examples of `s`; computes it unless it has since the last
 * teacher_forget. */
drmad_status teacher_ask(teacher *t, setup *s);
/* The examples are shared out anew. NULL is fine. */
void teacher_forget(teacher *t);
size_t teacher_bytes(const teacher *t); /* 0 of NULL */
#endif
