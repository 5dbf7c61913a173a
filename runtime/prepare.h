/* prepare.h - makes the pipelines of a model before its plans are recorded, many at a time. */
#ifndef PREPARE_H
#define PREPARE_H

#include "forward.h"

/* All that forward_record will ask for, as far as it is known before kernels are checked. */
llm_status prepare_kernels(struct forward *f, struct llm_error *error);

#endif
