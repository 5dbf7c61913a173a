/* SentencePiece's Unigram model (Kudo 2018): of all ways to cut the text into tokens the one with
 * the highest sum of scores, found by Viterbi's algorithm. */
#include <float.h>
#include <string.h>

#include "tokenizer_impl.h"
#include "unicode.h"

llm_status ugm_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.remove_extra_whitespaces", &t->merges_spaces, error));
    TRY(charsmap_read(&t->charsmap, gguf, error));
    float least = FLT_MAX;
    for (uint32_t id = 0; id < t->info.n_tokens; id++) {
        const struct token *token = &t->tokens[id];
        if (token->type == TOKEN_NORMAL && token->score < least) least = token->score;
    }
    t->unknown_score = least - 10; /* SentencePiece's penalty */
    return vocab_pieces(t, error);
}

/* ---- normalising ---- */

struct spacing {
    bool in_word;
    bool gap;    /* a word that comes now has a space before it where more are merged into one, */
    bool prefix; /* and this where they are not: it is the first */
};

/* Appends normalised bytes, with U+2581 for spaces. */
static bool put_bytes(const struct tokenizer *t, struct merger *m, struct spacing *s,
                      const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        bool is_space = bytes[i] == ' ', begins = !is_space && !s->in_word;
        s->in_word = !is_space;
        s->gap |= is_space;
        if (is_space ? !t->merges_spaces : begins && (t->merges_spaces ? s->gap : s->prefix))
            if (!merger_append(m, ESCAPED_SPACE, 3)) return false;
        if (begins) s->gap = s->prefix = false;
        if (!is_space && !merger_append(m, bytes + i, 1)) return false;
    }
    return true;
}

static bool normalise(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins)
{
    struct spacing spacing = {false, begins, begins && t->info.add_space_prefix};
    m->text.n = 0;
    for (size_t at = 0; at < size;) {
        struct gguf_string put;
        size_t taken = charsmap_find(&t->charsmap, text + at, size - at, &put);
        if (!taken) {
            uint32_t code;
            taken = unicode_decode(text + at, size - at, &code);
            bool is_whole = code != UNICODE_REPLACEMENT || taken > 1;
            put = is_whole ? (struct gguf_string){text + at, taken}
                           : (struct gguf_string){"\xef\xbf\xbd", 3};
        }
        if (m->text.n > UINT32_MAX / 2 || !put_bytes(t, m, &spacing, put.text, put.size))
            return false;
        at += taken;
    }
    return true;
}

/* ---- cutting ---- */

static void challenge(struct step_back *champion, double score, size_t from, int32_t id)
{
    if (score > champion->score) *champion = (struct step_back){score, (uint32_t)from, id};
}

/* Tries every token at every character. A character that is no token is unknown. */
static void find_best(const struct tokenizer *t, const struct merger *m)
{
    struct step_back *best = m->best;
    const char *text = m->text.items;
    size_t n = m->text.n;
    for (size_t at = 0, length; at < n; at += length) {
        uint32_t code;
        length = unicode_decode(text + at, n - at, &code);
        struct lexicon_walk walk = {0};
        bool is_known = false;
        int32_t id;
        for (size_t end = at; end < n && lexicon_step(&t->pieces, &walk, text[end], &id); end++) {
            if (id < 0) continue;
            bool is_defined = t->tokens[id].type == TOKEN_USER_DEFINED;
            double score = is_defined ? 0 : (double)t->tokens[id].score;
            is_known |= end + 1 == at + length;
            challenge(&best[end + 1], best[at].score + score, at, id);
        }
        if (!is_known)
            challenge(&best[at + length], best[at].score + (double)t->unknown_score, at,
                      t->info.unk);
    }
}

/* Walks back from the end. Unknown characters in a row are one unknown token. */
static llm_status push_best(const struct tokenizer *t, const struct merger *m, struct ids *out,
                            struct llm_error *error)
{
    size_t first = out->n;
    bool was_unknown = false;
    for (size_t end = m->text.n; end; end = m->best[end].from) {
        int32_t id = m->best[end].id;
        bool is_unknown = id == t->info.unk;
        if (!is_unknown || !was_unknown) TRY(tokenizer_push(out, id, m->alloc, error));
        was_unknown = is_unknown;
    }
    for (size_t i = first, k = out->n; i + 1 < k; i++) {
        int32_t swap = out->items[i];
        out->items[i] = out->items[--k];
        out->items[k] = swap;
    }
    return LLM_OK;
}

llm_status ugm_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                      bool begins, struct ids *out, struct llm_error *error)
{
    if (!normalise(t, m, text, size, begins))
        return error_memory(error, "a normalised text", m->text.n);
    size_t n = m->text.n + 1;
    struct step_back *grown = alloc_grow(m->alloc, m->best, &m->best_capacity, n, sizeof *grown);
    if (!grown) return error_memory(error, "the ways to cut a text", (uint64_t)n * sizeof *grown);
    m->best = grown;
    for (size_t i = 0; i < n; i++) grown[i] = (struct step_back){-DBL_MAX, 0, t->info.unk};
    grown[0].score = 0;
    find_best(t, m);
    return push_best(t, m, out, error);
}
