/* Shared by the files of this room only. */
#ifndef SPACE_INSIDE_H
#define SPACE_INSIDE_H
#include "space/space.h"

/* One declaration by itself and against the facts; `d` is its index, for messages. */
drmad_status space_check_facts(drmad_ctx *ctx, const space_facts *f);
drmad_status space_check_decl(drmad_ctx *ctx, const space_facts *f, const hyper_decl *decl,
                              int32_t d);

/* Does declaration `d` reach parameter `p`? */
bool space_reaches(const hyper_decl *d, const param *p);
bool space_reaches_site(const hyper_decl *d, const param_site *site);

/* Names all slices of a laid out space, and refuses two of one name. `decls` as given to space_new.
 */
drmad_status space_name_slices(space *s, const hyper_decl *decls);
#endif
