/* lie_encode.h - lie_encode(): wire_encode() for messages that no honest side would send. It is
 * wire.c once more, without its assertions and under other names: a field that is out of its range
 * is then no mistake of ours, but an error. */
#ifndef HAUL_TESTS_FUZZ_LIE_ENCODE_H
#define HAUL_TESTS_FUZZ_LIE_ENCODE_H

#include "haul/wire.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#define NDEBUG
#define wire_encode          lie_encode
#define wire_decode_header   lie_decode_header
#define wire_decode          lie_decode
#define wire_encode_preamble lie_encode_preamble
#define wire_is_magic        lie_is_magic
#define wire_decode_preamble lie_decode_preamble
#define wire_entries         lie_entries
#define wire_tally_add       lie_tally_add
#define wire_op_name         lie_op_name
#define wire_op_reports      lie_op_reports
#define wire_choices_known   lie_choices_known
#define wire_choice_unknown  lie_choice_unknown
#include "../../src/net/wire.c"
#undef wire_encode
#undef wire_decode_header
#undef wire_decode
#undef wire_encode_preamble
#undef wire_is_magic
#undef wire_decode_preamble
#undef wire_entries
#undef wire_tally_add
#undef wire_op_name
#undef wire_op_reports
#undef wire_choices_known
#undef wire_choice_unknown
#undef NDEBUG
#pragma GCC diagnostic pop

#include <assert.h>

#endif
