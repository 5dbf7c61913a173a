/* PLaMo 2's tokenizer: of all ways to cut the text into tokens the one with the highest sum of
 * scores, as in Unigram models, but found from the end, in whole ten thousandths, and with bytes in
 * place of unknown characters. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "tokenizer_impl.h"
#include "unicode.h"

#define UNKNOWN_COST 1e7
#define LEAST_SCORE (-2e7) /* tokens with no more are never used */

llm_status plamo_open(struct tokenizer *t, const struct gguf *gguf, struct llm_error *error)
{
    (void)gguf;
    return vocab_pieces(t, error);
}

/* The cheapest token at a place from whose later places the costs are known; of equal ones the
 * longest. */
static struct step_back cheapest(const struct tokenizer *t, const struct merger *m,
                                 const char *text, size_t size, size_t at, size_t length)
{
    struct step_back best = {DBL_MAX, 0, -1};
    struct lexicon_walk walk = {0};
    int32_t id;
    for (size_t end = at; end < size && lexicon_step(&t->pieces, &walk, text[end], &id); end++) {
        double score = id < 0 ? LEAST_SCORE : round((double)t->tokens[id].score * 1e4);
        double cost = m->best[end + 1].score - score;
        if (score > LEAST_SCORE && cost <= best.score)
            best = (struct step_back){cost, (uint32_t)end + 1, id};
    }
    double unknown = m->best[at + length].score + UNKNOWN_COST;
    if (unknown < best.score) best = (struct step_back){unknown, (uint32_t)(at + length), -1};
    return best;
}

/* Makes room for a way from each byte, and notes where characters begin. */
static bool put_characters(struct merger *m, const char *text, size_t size)
{
    struct step_back *grown =
        alloc_grow(m->alloc, m->best, &m->best_capacity, size + 1, sizeof *grown);
    if (!grown) return false;
    m->best = grown;
    for (size_t i = 0; i <= size; i++) grown[i] = (struct step_back){DBL_MAX, 0, -1};
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t code;
        length = unicode_decode(text + at, size - at, &code);
        grown[at].from = (uint32_t)(at + length);
    }
    return true;
}

llm_status plamo_encode(const struct tokenizer *t, struct merger *m, const char *text, size_t size,
                        bool begins, struct ids *out, struct llm_error *error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    size_t skip = begins && size >= 3 && memcmp(text, byte_order_mark, 3) == 0 ? 3 : 0;
    text += skip;
    size -= skip;
    if (!put_characters(m, text, size))
        return error_memory(error, "the ways to cut a text",
                            (uint64_t)(size + 1) * sizeof *m->best);
    m->best[size].score = 0;
    for (size_t at = size; at-- > 0;)
        if (m->best[at].from) m->best[at] = cheapest(t, m, text, size, at, m->best[at].from - at);
    for (size_t at = 0; at < size; at = m->best[at].from) {
        const struct step_back *step = &m->best[at];
        TRY(tokenizer_push(out, step->id, m->alloc, error));
        for (size_t i = at; step->id < 0 && i < step->from; i++)
            TRY(tokenizer_push(out, t->byte_ids[(unsigned char)text[i]], m->alloc, error));
    }
    return LLM_OK;
}
