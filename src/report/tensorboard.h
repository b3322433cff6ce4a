/* Event files for TensorBoard: a folder a trial, with its learning curve, its values and, for the
 * table of hyperparameters (HPARAMS), its parameters; of a run its meta-steps.
 *
 * Source: record framing of TFRecord and the messages Event, Summary and hparams' plug-in data, as
 *         in tensorflow/core/util/event.proto, framework/summary.proto and
 *         tensorboard/plugins/hparams/plugin_data.proto. The few fields that are used are written
 *         here: protobuf and TensorFlow are large libraries for six messages.
 * Checked: tests/report/test_tensorboard.py, read back by TensorBoard. */
#ifndef TENSORBOARD_H
#define TENSORBOARD_H
#include "report/html_run.h"
#include "report/view.h"

/* FOLDER/NUMBER/events.out.tfevents...; a file that is there is written anew. */
drmad_status tensorboard_study(const view *v, const char *folder);
drmad_status tensorboard_run(const run_view *r, const char *folder);
/* CRC-32C (Castagnoli) of bytes. */
uint32_t tensorboard_crc(const void *bytes, size_t n);
#endif
