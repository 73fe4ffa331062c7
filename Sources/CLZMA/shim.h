#include <lzma.h>

// The library's own names for these are macros that Swift does not see.
static const uint32_t lzma_decode_concatenated = LZMA_CONCATENATED;
static const uint32_t lzma_decode_tell_unsupported_check = LZMA_TELL_UNSUPPORTED_CHECK;
