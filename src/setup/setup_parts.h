/* The inside of a set-up: what its files share. */
#ifndef SETUP_PARTS_H
#define SETUP_PARTS_H
#include "setup/setup.h"

/* setup_net.c: the net that the study describes, for the rows of train_data. */
drmad_status setup_net(setup *s);
drmad_status setup_import(setup *s); /* model_import.c: model.import, likewise */

/* setup_data.c: the data sets of the study; those of the lender where they are the same. */
drmad_status setup_open_data(setup *s, bool survey);
bool setup_borrow_data(setup *s);

/* The feed, where one is needed, and the keys about pictures. */
drmad_status setup_feed(setup *s);
drmad_status setup_channels(setup *s); /* mean and deviation of inputs */
examples setup_examples(const setup *s, int part);
/* setup_device.c: opens the GPU that `device` names; spec.on. Fails with DRMAD_E_MISSING, saying
 * what to do, where there is none. */
drmad_status setup_device(setup *s);
size_t setup_data_bytes(const setup *s); /* of rows in memory, or of what the feed decodes ahead */
#endif
