#include "random_text.h"

#include <stdbool.h>
#include <string.h>

#include "unicode.h"

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* clang-format off */
static const char *const snippets[] = {
    " ", " ", " ", " ", "  ", "   ", "    ", "\n", "\n", "\n\n", "\r\n", "\t", " \n ", "\n  ", "\v",
    "the", "Hello", "world", "camelCase", "HTTPServer", "ABC", "iPhone", "a", "A", "z", "I", "ing",
    "'s", "'S", "'t", "'re", "'VE", "'m", "'Ll", "'d", "'", "don't", "we'll", "x's",
    "1", "12", "123", "1234", "1234567", "0", "9", "3.14", "1,000",
    "!", "?", ".", ",", ";", ":", "...", "!?", "--", "(", ")", "[", "]", "{", "}", "<", ">", "/", "\\",
    "|", "_", "-", "+", "=", "*", "&", "^", "%", "$", "#", "@", "~", "`", "\"", "//\n", "/*", " /\n",
    "\xc3\xa9", "\xc3\x89", "e\xcc\x81", "\xcc\x81", "na\xc3\xafve", ("stra\xc3\x9f" "e"), "\xc7\x85", "\xc4\xb0",
    "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82", "\xd0\x9f", "\xce\xa9\xce\xbc", "\xcf\x82",
    "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "\xd8\xb3\xd9\x84\xd8\xa7\xd9\x85", "\xd9\x8e", "\xd8\x8c", "\xdb\x94",
    "\xe0\xa4\xa8\xe0\xa4\xae\xe0\xa4\xb8\xe0\xa5\x8d\xe0\xa4\xa4\xe0\xa5\x87", "\xe0\xa5\xa4",
    "\xe0\xb8\xaa\xe0\xb8\xa7\xe0\xb8\xb1\xe0\xb8\xaa\xe0\xb8\x94\xe0\xb8\xb5", "\xe0\xba\x81", "\xe1\x80\x80", "\xe1\x9e\x80",
    "\xe4\xb8\xad\xe6\x96\x87", "\xe4\xbd\xa0", "\xe6\xbc\xa2\xe5\xad\x97", "\xe3\x90\x80", "\xf0\xa0\x80\x80", "\xef\xa4\x80",
    "\xe3\x81\x8b\xe3\x81\xaa", "\xe3\x82\xab\xe3\x82\xbf", "\xef\xbd\xb6", "\xe3\x84\x85", "\xe3\x84\xb1",
    "\xed\x95\x9c\xea\xb5\xad\xec\x96\xb4", "\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80",
    "\xe3\x80\x82", "\xe3\x80\x81", "\xef\xbc\x81", "\xef\xbc\x8c", "\xe2\x80\xa6", "\xe2\x80\x9c", "\xe2\x80\x9d", "\xe2\x80\x99", "\xe2\x80\x94",
    "\xef\xb8\xb0", "\xe3\x80\x8a", "\xef\xbd\x9e", "\xef\xbc\xa1", "\xef\xbd\x81", "\xef\xbc\x91",
    "\xc2\xb2", "\xc2\xbd", "\xe2\x85\xa7", "\xd9\xa3", "\xe0\xa5\xa7", "\xe2\x91\xa0",
    "\xc2\xa0", "\xe3\x80\x80", "\xe2\x80\x89", "\xc2\x85", "\xe2\x80\xa8", "\xe1\x9a\x80", "\xe2\x80\x8b", "\xe2\x80\x8d", "\xef\xbb\xbf", "\xc2\xad",
    "\xf0\x9f\x98\x80", "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9", "\xe2\x9d\xa4\xef\xb8\x8f", "\xe2\x82\xac", "\xc2\xa9", "\xe2\x86\x92",
    "\xe2\x96\x81", "\xe2\x96\x81the", "\xef\xac\x81", "\xe2\x84\xa2", "\xef\xb7\xba", "\xe2\x84\xab",
    "<sentinel:12>", "<sentinel:>", "IMGIMGABCZ", "IMGIMGZ", "IMGIMGABCDEZ", "<s>", "</s>", "<unk>", "[CLS]", "[MASK]", "<mask>", "##ing",
    "<|endoftext|>", "<|end|>", "<|user|>", "<fim_prefix>", "<pad>", " <mask>", "<s> ", "[SEP]", "<|end|>  ",
};
/* clang-format on */
enum { N_SNIPPETS = sizeof snippets / sizeof *snippets };

static uint32_t random_code(uint64_t *state)
{
    static const uint32_t limits[] = {0x80, 0x80, 0x800, 0x3000, 0x10000, 0x20000, 0x110000};
    uint64_t r = random_next(state);
    uint32_t code = (uint32_t)(r >> 8) % limits[r % 7];
    return code >= 0xd800 && code < 0xe000 ? code - 0x800 : code;
}

size_t random_text(uint64_t i, char out[RANDOM_TEXT_SIZE])
{
    uint64_t state = i * 0x2545f4914f6cdd1du + 1;
    uint64_t style = random_next(&state) % 4, n_parts = random_next(&state) % 40 + 1;
    size_t n = 0;
    while (n_parts-- && n < RANDOM_TEXT_SIZE - 64) {
        bool is_code = style == 0 || (style == 1 && random_next(&state) % 4 == 0);
        uint64_t repeats = random_next(&state) % 16 ? 1 : random_next(&state) % 5 + 1;
        const char *snippet = snippets[random_next(&state) % N_SNIPPETS];
        uint32_t code = random_code(&state);
        for (; repeats && n < RANDOM_TEXT_SIZE - 64; repeats--) {
            if (is_code) {
                n += unicode_encode(code, out + n);
            } else {
                memcpy(out + n, snippet, strlen(snippet));
                n += strlen(snippet);
            }
        }
    }
    return n;
}
