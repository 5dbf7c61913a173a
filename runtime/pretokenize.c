#include "pretokenize.h"

#include <string.h>

#include "pretokenize_impl.h"

/* ---- matching ---- */

#define NO_MATCH SIZE_MAX

/* Characters of the contraction at, or 0. */
static size_t contraction(const struct view *v, size_t at, bool any_case)
{
    static const char endings[][3] = {"s", "t", "m", "d", "re", "ve", "ll"};
    const char *s = v->text + v->starts[at];
    if (at == v->end || *s != '\'') return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i]), same = 0;
        if (n >= v->end - at) continue;
        while (same < n && (any_case ? s[1 + same] | 0x20 : s[1 + same]) == endings[i][same])
            same++;
        if (same == n) return 1 + n;
    }
    return 0;
}

/* One byte is one character. */
static bool has_text(const struct view *v, size_t at, const char *text)
{
    size_t n = strlen(text);
    return n <= v->end - at && v->starts[at + n] - v->starts[at] == n &&
           memcmp(v->text + v->starts[at], text, n) == 0;
}

/* Characters of the phrase at, or 0. */
static size_t phrase(const struct view *v, size_t at)
{
    size_t n = 0;
    for (; at + n < v->end; n++) {
        uint32_t bits = v->bits[at + n];
        if (bits & LETTER || (n && bits & MARK)) continue;
        bool joins = n && bits & BLANK && at + n + 1 < v->end && v->bits[at + n + 1] & LETTER;
        if (!joins) break;
    }
    return n;
}

/* Where the match of the steps from at ends. A greedy loop gives back until the rest matches; in
 * our rules the rest then fails or succeeds at its first character. */
static size_t match(const struct step *s, const struct view *v, size_t at)
{
    switch (s->kind) {
    case END: return at;
    case TEXT: return has_text(v, at, s->text) ? match(s + 1, v, at + strlen(s->text)) : NO_MATCH;
    case PHRASE: {
        size_t n = phrase(v, at);
        return n ? match(s + 1, v, at + n) : NO_MATCH;
    }
    case NO_WORD: return at == v->end || v->bits[at] & SPACE ? match(s + 1, v, at) : NO_MATCH;
    case ENGLISH:
    case ENGLISH_ANY:
    case SUFFIX: {
        size_t n = contraction(v, at, s->kind != ENGLISH);
        return n || s->kind == SUFFIX ? match(s + 1, v, at + n) : NO_MATCH;
    }
    case SET: break;
    }
    size_t n = 0, most = s->max < v->end - at ? s->max : v->end - at;
    while (n < most && v->bits[at + n] & s->any && !(v->bits[at + n] & s->none)) n++;
    for (;; n--) {
        if (n < s->min) return NO_MATCH;
        size_t end = match(s + 1, v, at + n);
        if (end != NO_MATCH) return end;
        if (n == 0) return NO_MATCH;
    }
}

/* Where the match at a character ends. */
static size_t match_any(const struct pass *pass, const struct view *v, size_t at)
{
    for (size_t i = 0; i < pass->n; i++) {
        size_t end = match(pass->alternatives[i].steps, v, at);
        if (end != NO_MATCH) return end;
    }
    return NO_MATCH;
}

static size_t cut_matches(const struct pass *pass, const struct view *v, size_t at, uint32_t *ends)
{
    size_t n = 0, begin = at;
    while (at < v->end) {
        size_t end = match_any(pass, v, at);
        if (end == NO_MATCH) {
            at++;
            continue;
        }
        if (at > begin) ends[n++] = (uint32_t)at;
        ends[n++] = (uint32_t)end;
        at = begin = end;
    }
    if (at > begin) ends[n++] = (uint32_t)at;
    return n;
}

size_t cut_trailing(const struct view *v, size_t at, uint32_t *ends)
{
    size_t n = 0, word = v->end;
    while (word > at && v->bits[word - 1] & SPACE) word--;
    if (word > at && word < v->end) ends[n++] = (uint32_t)word;
    ends[n++] = (uint32_t)v->end;
    return n;
}

/* Where the run of characters with these bits ends. */
static size_t run_end(const struct view *v, size_t at, uint32_t bits)
{
    while (at < v->end && v->bits[at] & bits) at++;
    return at;
}

/* Numbers in groups of three from their last digit. What is before a number stays with its first
 * group: llama.cpp leaves it to the passes that follow. */
size_t cut_groups(const struct view *v, size_t at, uint32_t *ends)
{
    size_t n = 0;
    while (at < v->end) {
        size_t end = run_end(v, at, NUMBER);
        if (end == at) at++;
        while (at < end) {
            at += (end - at) % 3 ? (end - at) % 3 : 3;
            ends[n++] = (uint32_t)at;
        }
    }
    if (n == 0 || ends[n - 1] != v->end) ends[n++] = (uint32_t)v->end;
    return n;
}

/* Before each group of three digits from the last of a row. */
size_t cut_thousands(const struct view *v, size_t at, uint32_t *ends)
{
    size_t n = 0, begin = at;
    while (at < v->end) {
        size_t end = run_end(v, at, DIGIT);
        for (size_t group = at + (end - at) % 3; group < end; group += 3)
            if (group > begin) ends[n++] = (uint32_t)group;
        at = end + (end == at);
    }
    ends[n++] = (uint32_t)v->end;
    return n;
}

/* Marks the white space that has a newline in it or after it. */
static void mark_lines(uint32_t *bits, size_t n)
{
    bool ahead = false;
    while (n-- > 0) {
        ahead = bits[n] & SPACE && (ahead || bits[n] & NEWLINE);
        if (ahead) bits[n] |= LINE_AHEAD;
    }
}

/* Fills bits and starts; returns the number of characters. starts has one more, the size. */
static size_t classify(const char *text, size_t size, uint32_t *bits, uint32_t *starts)
{
    uint32_t ascii[128] = {0};
    size_t n = 0;
    for (size_t at = 0; at < size; n++) {
        uint32_t code;
        starts[n] = (uint32_t)at;
        at += unicode_decode(text + at, size - at, &code);
        if (code >= 128) bits[n] = pretokenize_bits(code);
        else bits[n] = ascii[code] ? ascii[code] : (ascii[code] = pretokenize_bits(code));
    }
    starts[n] = (uint32_t)size;
    mark_lines(bits, n);
    return n;
}

static bool grow(uint32_t **items, size_t *capacity, size_t n, const struct alloc *alloc)
{
    uint32_t *grown = alloc_grow(alloc, *items, capacity, n, sizeof **items);
    if (grown) *items = grown;
    return grown;
}

llm_status pretokenize(const struct pretokenizer *rule, const char *text, size_t size,
                       struct words *out, const struct alloc *alloc, struct llm_error *error)
{
    out->n = 0;
    if (size == 0) return LLM_OK;
    if (size >= UINT32_MAX)
        return error_set(error, LLM_BAD_ARGUMENT, "a text of 4 GiB or more cannot be tokenized");
    if (!grow(&out->ends, &out->ends_capacity, size, alloc) ||
        !grow(&out->other, &out->other_capacity, size, alloc) ||
        !grow(&out->bits, &out->bits_capacity, size, alloc) ||
        !grow(&out->starts, &out->starts_capacity, size + 1, alloc))
        return error_memory(error, "the words of a text", (uint64_t)size * 4 * sizeof *out->ends);
    struct view v = {text, out->bits, out->starts, 0};
    size_t n_characters = classify(text, size, out->bits, out->starts);
    uint32_t *from = out->other, *to = out->ends;
    size_t n = 1;
    to[0] = (uint32_t)n_characters;
    for (int p = 0; p < MAX_PASSES; p++) {
        const struct pass *pass = &rule->passes[p];
        if (!pass->alternatives && !pass->cut) break;
        uint32_t *swap = from;
        from = to;
        to = swap;
        size_t n_cut = 0, at = 0;
        for (size_t i = 0; i < n; i++) {
            v.end = from[i];
            n_cut +=
                pass->cut ? pass->cut(&v, at, to + n_cut) : cut_matches(pass, &v, at, to + n_cut);
            at = v.end;
        }
        n = n_cut;
    }
    for (size_t i = 0; i < n; i++) out->ends[i] = out->starts[to[i]];
    out->n = n;
    return LLM_OK;
}

void pretokenize_free(struct words *words, const struct alloc *alloc)
{
    alloc_free(alloc, words->ends, words->ends_capacity * sizeof *words->ends);
    alloc_free(alloc, words->other, words->other_capacity * sizeof *words->other);
    alloc_free(alloc, words->bits, words->bits_capacity * sizeof *words->bits);
    alloc_free(alloc, words->starts, words->starts_capacity * sizeof *words->starts);
    memset(words, 0, sizeof *words);
}
