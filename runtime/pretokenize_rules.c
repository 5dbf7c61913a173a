/* Which words each pre-tokenizer cuts: the regular expressions of llama.cpp (src/llama-vocab.cpp),
 * as its matcher reads them (src/unicode.cpp). */
#include <string.h>

#include "pretokenize_impl.h"

/* clang-format off */
#define JUST(what)      {.kind = what}
#define LITERAL(ascii)  {.kind = TEXT, .text = ascii}
#define ONE(set)        {SET, set, 1, 1, NULL}
#define ONES(set)       {SET, set, 1, MANY, NULL}
#define ANYS(set)       {SET, set, 0, MANY, NULL}
#define MAYBE(set)      {SET, set, 0, 1, NULL}
#define UP_TO(n, set)   {SET, set, 1, n, NULL}
#define EXACTLY(n, set) {SET, set, n, n, NULL}
#define ALL(bits)       (uint32_t)(bits), 0u
#define BUT(none)       (uint32_t)ANY, (uint32_t)(none)
#define LESS(bits, none) (uint32_t)(bits), (uint32_t)(none)

#define BEFORE_WORD   MAYBE(BUT(NEWLINE | LETTER | NUMBER))
#define WORD_OF_ANY   {{BEFORE_WORD, ONES(ALL(LETTER))}}
#define PRINT_LINES   {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER)), ANYS(ALL(NEWLINE))}}
#define LINES         {{ANYS(ALL(SPACE)), ONES(ALL(NEWLINE))}}
#define SPACES_BEFORE {{ONES(ALL(SPACE)), JUST(NO_WORD)}}
#define SPACES        {{ONES(ALL(SPACE))}}
#define CONTRACTIONS(kind) {{JUST(kind)}}

static const struct expression digit[] = {{{ONE(ALL(NUMBER))}}};
static const struct expression digits[] = {{{ONES(ALL(NUMBER))}}};
static const struct expression three_digits[] = {{{UP_TO(3, ALL(NUMBER))}}};
static const struct expression three_ascii_digits[] = {{{EXACTLY(3, ALL(DIGIT))}}};
static const struct expression newline[] = {{{ONE(ALL(NEWLINE))}}};

static const struct expression gpt2[] = {
    CONTRACTIONS(ENGLISH),
    {{MAYBE(ALL(BLANK)), ONES(ALL(LETTER))}},
    {{MAYBE(ALL(BLANK)), ONES(ALL(NUMBER))}},
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER))}},
    SPACES_BEFORE, SPACES,
};
static const struct expression default_marks[] = {{{ONES(ALL(PUNCT | MATH))}}};
static const struct expression falcon_marks[] = {{{ONES(ALL(PUNCT | MATH | TICK))}}};

#define LLAMA3_LIKE(number) { \
    CONTRACTIONS(ENGLISH_ANY), WORD_OF_ANY, {{number}}, PRINT_LINES, LINES, SPACES_BEFORE, SPACES, }
static const struct expression llama3[] = LLAMA3_LIKE(UP_TO(3, ALL(NUMBER)));
static const struct expression qwen2[] = LLAMA3_LIKE(ONE(ALL(NUMBER)));
static const struct expression minicpm5[] = LLAMA3_LIKE(ONES(ALL(NUMBER)));
static const struct expression ufakzeka[] = {
    WORD_OF_ANY, {{ONE(ALL(NUMBER))}}, PRINT_LINES, LINES, SPACES_BEFORE, SPACES,
};
static const struct expression qwen35[] = {
    CONTRACTIONS(ENGLISH_ANY),
    {{BEFORE_WORD, ONES(ALL(LETTER | MARK))}},
    {{ONE(ALL(NUMBER))}},
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | MARK | NUMBER)), ANYS(ALL(NEWLINE))}},
    LINES, SPACES_BEFORE, SPACES,
};
static const struct expression seed_coder[] = {
    CONTRACTIONS(ENGLISH_ANY), WORD_OF_ANY,
    {{ONE(ALL(NUMBER))}},
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER))}},
    LINES, SPACES_BEFORE, SPACES,
};
static const struct expression bailing[] = {
    CONTRACTIONS(ENGLISH_ANY), WORD_OF_ANY, {{ONE(ALL(NUMBER))}}, PRINT_LINES,
    {{ANYS(ALL(SPACE)), ONE(ALL(NEWLINE))}},
    SPACES_BEFORE, SPACES,
};

static const struct expression kimi[] = {
    {{ONES(ALL(HAN))}},
    {{BEFORE_WORD, ONES(LESS(LETTER, HAN)), JUST(SUFFIX)}},
    {{UP_TO(3, ALL(NUMBER))}},
    PRINT_LINES, LINES, SPACES_BEFORE, SPACES,
};
static const struct expression exaone_moe[] = {
    CONTRACTIONS(ENGLISH_ANY),
    {{BEFORE_WORD, JUST(PHRASE)}},
    {{ONE(ALL(NUMBER))}},
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER)), MAYBE(ALL(NEWLINE | SLASH))}},
    {{ANYS(ALL(SPACE)), ONE(ALL(NEWLINE))}},
    SPACES_BEFORE, SPACES,
};
#define RUN_BEFORE(n) {{EXACTLY(n, ALL(SPACE)), JUST(NO_WORD)}}
static const struct expression jais2[] = {
    CONTRACTIONS(ENGLISH_ANY), WORD_OF_ANY, {{UP_TO(3, ALL(NUMBER))}}, PRINT_LINES,
    {{ONES(ALL(LINE_AHEAD))}}, /* as LINES, but linear where runs of white space are cut */
    RUN_BEFORE(512), RUN_BEFORE(256), RUN_BEFORE(128), RUN_BEFORE(64), RUN_BEFORE(32),
    RUN_BEFORE(16), RUN_BEFORE(8), RUN_BEFORE(4),
    {{UP_TO(2, ALL(SPACE)), JUST(NO_WORD)}}, {{ONE(ALL(SPACE))}},
};
static const struct expression lines[] = {{{ONES(BUT(LINE_FEED))}}, {{ONES(ALL(LINE_FEED))}}};
static const struct expression words[] = {{{ONES(BUT(SPACE))}}};

/* Chameleon's special tokens, white space and punctuation. */
static const struct expression sentinels[] = {
    {{LITERAL("<sentinel:"), ONES(ALL(DIGIT)), LITERAL(">")}},
};
static const struct expression images[] = {
    {{LITERAL("IMGIMG"), UP_TO(4, ALL(IMAGE)), LITERAL("Z")}},
};
static const struct expression indents[] = {
    {{LITERAL("\t")}}, {{LITERAL("\n")}}, {{LITERAL("    ")}}, {{LITERAL("  ")}},
};
static const struct expression mark[] = {{{ONE(ALL(PUNCT | PRINT))}}};

/* Letters in llama.cpp's reading of the classes Lu, Lt, ... : only ASCII has cases. */
#define CAPITALS(letters) LESS(letters, LOWER)
#define SMALLS(letters)   LESS(letters, UPPER)
#define CASES(letters, number, suffix) { \
    {{BEFORE_WORD, ANYS(CAPITALS(letters)), ONES(SMALLS(letters)), suffix}}, \
    {{BEFORE_WORD, ONES(CAPITALS(letters)), ANYS(SMALLS(letters)), suffix}}, \
    {{number}}, \
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER)), ANYS(ALL(NEWLINE | SLASH))}}, \
    LINES, SPACES_BEFORE, SPACES, }
static const struct expression tekken[] = CASES(LETTER, ONE(ALL(NUMBER)), {0});
static const struct expression gpt4o[] = CASES(LETTER, UP_TO(3, ALL(NUMBER)), JUST(SUFFIX));
static const struct expression granite97[] =
    CASES(LETTER | MARK, UP_TO(3, ALL(NUMBER)), JUST(SUFFIX));
/* The same where llama.cpp writes the classes out, and so sees no cases at all. */
#define MARKED(number) { \
    {{BEFORE_WORD, ONES(ALL(LETTER | MARK)), JUST(SUFFIX)}}, \
    {{number}}, \
    {{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | LETTER | NUMBER)), ANYS(ALL(NEWLINE | SLASH))}}, \
    LINES, SPACES_BEFORE, SPACES, }
static const struct expression youtu[] = MARKED(ONE(ALL(NUMBER)));
static const struct expression tiny_aya[] = MARKED(UP_TO(3, ALL(NUMBER)));
static const struct expression youtu_scripts[] = {
    {{ONES(ALL(HANGUL))}}, {{ONES(ALL(FULL))}}, {{ONES(ALL(BOPOMOFO))}}, {{ONES(ALL(KANJI))}},
};

static const struct expression deepseek_words[] = {{{MAYBE(ALL(SPACE)), ONES(ALL(CASED))}}};
static const struct expression deepseek_marks[] = {{{MAYBE(ALL(SPACE)), ONES(ALL(DOTS))}}};
static const struct expression deepseek_eastern[] = {{{ONES(ALL(EASTERN))}}};
static const struct expression coder_words[] = {{{MAYBE(ALL(SPACE)), ONES(ALL(LETTER))}}};
static const struct expression coder_marks[] = {{{MAYBE(ALL(SPACE)), ONES(ALL(PUNCT))}}};
static const struct expression kanjis[] = {{{ONES(ALL(KANJI))}}};
static const struct expression deepseek3[] = {
    {{ONE(ALL(PRINT)), ONES(ALL(LOWER | UPPER))}},
    {{MAYBE(BUT(NEWLINE | LETTER | PUNCT | SYMBOL)), ONES(ALL(LETTER | MARK))}},
    {{MAYBE(ALL(BLANK)), ONES(ALL(PUNCT | SYMBOL)), ANYS(ALL(NEWLINE))}},
    LINES, SPACES_BEFORE, SPACES,
};
static const struct expression spark[] = {
    {{ONE(ALL(PRINT)), ONES(ALL(LOWER | UPPER))}},
    {{MAYBE(BUT(NEWLINE | LETTER | PUNCT | SYMBOL)), ONES(ALL(LETTER | MARK))}},
    {{MAYBE(ALL(BLANK)), ONES(ALL(PUNCT | SYMBOL))}},
    {{ONE(ALL(NEWLINE))}},
    SPACES_BEFORE, SPACES,
};
static const struct expression asians[] = {{{ONES(ALL(ASIAN))}}};
static const struct expression bloom[] = {{{MAYBE(ALL(BLANK)), ONES(BUT(SPACE | STOP))}}};

#define PASS(expressions) {expressions, sizeof expressions / sizeof *expressions, NULL}
#define CUT(function)     {NULL, 0, function}

enum {
    MERGELESS = PRETOKENIZE_IGNORES_MERGES,
    BOS = PRETOKENIZE_ADDS_BOS,
    CHARACTERS = PRETOKENIZE_CHARACTERS,
    ESCAPED = PRETOKENIZE_CHARACTERS | PRETOKENIZE_ESCAPES,
};

/* The first row is the default. */
static const struct pretokenizer rules[] = {
    {"default", {PASS(default_marks), PASS(gpt2), PASS(digits), PASS(three_ascii_digits)}, 0},
    {"gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 mellum modern-bert gigachat "
     "a.x-4.0 jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code roberta-bpe",
     {PASS(gpt2)}, 0},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
     {PASS(digit), PASS(gpt2)}, 0},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
     {PASS(llama3)}, MERGELESS | BOS},
    {"dbrx smaug-bpe glm4 chatglm-bpe", {PASS(llama3)}, 0},
    {"jais-2", {PASS(jais2)}, 0},
    {"qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open megrez grok-2",
     {PASS(qwen2)}, 0},
    {"laguna", {PASS(lines), PASS(qwen2)}, 0},
    {"qwen35", {PASS(qwen35)}, 0},
    {"minicpm5", {PASS(three_digits), PASS(minicpm5)}, MERGELESS},
    {"ufakzeka", {PASS(ufakzeka)}, 0},
    {"seed-coder", {PASS(seed_coder)}, 0},
    {"bailingmoe bailingmoe2 llada-moe", {PASS(bailing)}, 0},
    {"exaone-moe", {PASS(exaone_moe)}, 0},
    {"kimi-k2", {PASS(kimi)}, PRETOKENIZE_MAY_LACK_MERGES},
    {"tekken", {PASS(tekken)}, MERGELESS | BOS},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", {PASS(gpt4o)}, 0},
    {"granite-embed-multi-97m", {PASS(granite97)}, MERGELESS},
    {"tiny_aya cohere2moe", {CUT(cut_groups), PASS(tiny_aya)}, 0},
    {"youtu", {PASS(youtu_scripts), PASS(youtu)}, MERGELESS},
    {"superbpe", {PASS(digits), CUT(cut_thousands)}, 0},
    {"chameleon",
     {PASS(sentinels), PASS(images), PASS(indents), PASS(digit), PASS(mark), PASS(gpt2)}, BOS},
    {"falcon", {PASS(falcon_marks), PASS(gpt2), PASS(three_ascii_digits)}, 0},
    {"deepseek-llm",
     {PASS(newline), PASS(deepseek_words), PASS(deepseek_marks), CUT(cut_trailing),
      PASS(deepseek_eastern), PASS(digits)}, 0},
    {"deepseek-coder",
     {PASS(newline), PASS(coder_words), PASS(coder_marks), PASS(deepseek_eastern), PASS(digit)}, 0},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4",
     {PASS(three_digits), PASS(kanjis), PASS(deepseek3)}, 0},
    {"spark2_5", {PASS(three_digits), PASS(kanjis), PASS(spark), PASS(digit)}, 0},
    {"afmoe", {CUT(cut_groups), PASS(asians), PASS(deepseek3)}, 0},
    {"bloom poro-chat gpt3-finnish", {PASS(bloom)}, 0},
    {"viking", {PASS(bloom), PASS(digit)}, 0},
    {"gemma4 granite-embed-multi-311m",
     {PASS(lines)}, ESCAPED | PRETOKENIZE_WHOLE_NEWLINES | PRETOKENIZE_ALWAYS_BOS},
    {"sarvam-moe", {PASS(lines)}, ESCAPED},
    {"whitespace", {PASS(words)}, CHARACTERS},
};
/* clang-format on */

const struct pretokenizer *pretokenize_find(const char *name, size_t size)
{
    if (size == 0) return &rules[0];
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        for (const char *at = rules[i].names; *at; at += strspn(at, " ")) {
            size_t n = strcspn(at, " ");
            if (n == size && memcmp(at, name, n) == 0) return &rules[i];
            at += n;
        }
    }
    return NULL;
}

uint32_t pretokenize_flags(const struct pretokenizer *rule)
{
    return rule->flags;
}
