#include "sampler_impl.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "error.h"

struct sampler {
    const struct alloc *alloc;
    uint32_t n_vocab, top_k;
    double temperature, top_p, min_p, typical_p, repeat, presence, frequency;
    int32_t last_n;
    uint64_t seed;
    struct llm_bias *bias;
    size_t n_bias;
    float *adjusted;  /* (n_vocab) a copy of the logits, where bias or penalties change them */
    uint32_t *counts; /* (n_vocab) of tokens in the window, zero between calls; with adjusted */
    struct candidate *items;
    size_t capacity;
    struct dry dry;
    double xtc_probability, xtc_threshold;
    struct mirostat mirostat;
};

static bool has_penalties(const struct sampler *s)
{
    return s->last_n != 0 && (s->repeat != 1 || s->presence != 0 || s->frequency != 0);
}

static bool has_dry(const struct sampler *s)
{
    return s->dry.multiplier > 0;
}

static bool has_mirostat(const struct sampler *s)
{
    return s->mirostat.tau > 0;
}

static bool is_greedy(const struct sampler *s)
{
    return s->temperature == 0 || (s->top_k == 1 && !has_mirostat(s));
}

bool sampler_is_argmax(const struct sampler *s)
{
    return is_greedy(s) && !s->n_bias && !has_penalties(s) && !has_dry(s);
}

static llm_status options_check(const struct llm_generate_options *o, uint32_t n_vocab,
                                struct llm_error *error)
{
    const struct {
        const char *name;
        double value, low, high;
        const char *rule;
    } checks[] = {
        {"max_tokens", (double)o->max_tokens, -1, DBL_MAX, "-1 or more"},
        {"temperature", o->temperature, 0, DBL_MAX, "0 or more"},
        {"top_k", o->top_k, 0, INT32_MAX, "0 or more"},
        {"top_p", o->top_p, 0, 1, "between 0 and 1"},
        {"min_p", o->min_p, 0, 1, "between 0 and 1"},
        {"typical_p", o->typical_p, 0, 1, "between 0 and 1"},
        {"repeat_penalty", o->repeat_penalty, DBL_MIN, DBL_MAX, "more than 0"},
        {"presence_penalty", o->presence_penalty, -DBL_MAX, DBL_MAX, "a finite number"},
        {"frequency_penalty", o->frequency_penalty, -DBL_MAX, DBL_MAX, "a finite number"},
        {"penalty_last_n", o->penalty_last_n, -1, INT32_MAX, "-1 or more"},
        {"dry_multiplier", o->dry_multiplier, 0, DBL_MAX, "0 or more"},
        {"dry_base", o->dry_multiplier > 0 ? o->dry_base : 1, 1, DBL_MAX, "1 or more"},
        {"dry_length", o->dry_multiplier > 0 ? o->dry_length : 1, 1, INT32_MAX, "1 or more"},
        {"xtc_probability", o->xtc_probability, 0, 1, "between 0 and 1"},
        {"xtc_threshold", o->xtc_threshold, 0, 1, "between 0 and 1"},
        {"mirostat_tau", o->mirostat_tau, 0, DBL_MAX, "0 or more"},
        {"mirostat_eta", o->mirostat_eta, 0, 1, "between 0 and 1"},
        {"logprobs", o->logprobs, 0, 256, "between 0 and 256"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (checks[i].value >= checks[i].low && checks[i].value <= checks[i].high) continue;
        return error_set(error, LLM_BAD_ARGUMENT, "%s must be %s, got %g", checks[i].name,
                         checks[i].rule, checks[i].value);
    }
    for (size_t i = 0; i < o->n_logit_bias; i++) {
        const struct llm_bias *b = &o->logit_bias[i];
        if (b->id < 0 || (uint32_t)b->id >= n_vocab)
            return error_set(error, LLM_BAD_ARGUMENT,
                             "logit_bias must name tokens from 0 to %lld, got %d",
                             (long long)n_vocab - 1, b->id);
        if (!(b->bias <= FLT_MAX))
            return error_set(error, LLM_BAD_ARGUMENT,
                             "logit_bias of token %d must be finite or -inf, got %g", b->id,
                             (double)b->bias);
    }
    return LLM_OK;
}

static llm_status arrays_open(struct sampler *s, const struct llm_generate_options *o,
                              struct llm_error *error)
{
    const size_t n = s->n_vocab;
    bool whole = true;
    if (o->n_logit_bias) {
        s->bias = alloc_zero(s->alloc, o->n_logit_bias, sizeof *s->bias);
        if (s->bias) {
            memcpy(s->bias, o->logit_bias, o->n_logit_bias * sizeof *s->bias);
            s->n_bias = o->n_logit_bias;
        }
        whole = s->bias;
    }
    if (s->n_bias || has_penalties(s) || has_dry(s)) {
        whole = (s->adjusted = alloc_zero(s->alloc, n, sizeof *s->adjusted)) && whole;
        whole = (s->counts = alloc_zero(s->alloc, n, sizeof *s->counts)) && whole;
    }
    if (has_dry(s))
        whole = (s->dry.tokens = alloc_zero(s->alloc, n, sizeof *s->dry.tokens)) && whole;
    if (!is_greedy(s))
        s->capacity = !has_mirostat(s) && s->top_k && s->top_k < n / 2 ? 2 * (size_t)s->top_k : n;
    if (s->capacity < TOP_ROOM + TOP_NAMED) s->capacity = TOP_ROOM + TOP_NAMED;
    whole = (s->items = alloc_zero(s->alloc, s->capacity, sizeof *s->items)) && whole;
    return whole ? LLM_OK
                 : error_memory(error, "the sampler",
                                n * sizeof *s->adjusted + s->capacity * sizeof *s->items);
}

llm_status sampler_create(struct sampler **out, const struct llm_generate_options *o,
                          uint32_t n_vocab, const struct alloc *alloc, struct llm_error *error)
{
    *out = NULL;
    TRY(options_check(o, n_vocab, error));
    struct sampler *s = alloc_new(alloc, sizeof *s);
    if (!s) return error_memory(error, "the sampler", sizeof *s);
    *s = (struct sampler){
        .alloc = alloc,
        .n_vocab = n_vocab,
        .top_k = (uint32_t)o->top_k,
        .temperature = o->temperature,
        .top_p = o->top_p,
        .min_p = o->min_p,
        .typical_p = o->typical_p,
        .repeat = o->repeat_penalty,
        .presence = o->presence_penalty,
        .frequency = o->frequency_penalty,
        .last_n = o->penalty_last_n,
        .seed = o->seed,
        .dry = {.multiplier = o->dry_multiplier, .base = o->dry_base, .length = o->dry_length},
        .xtc_probability = o->xtc_probability,
        .xtc_threshold = o->xtc_threshold,
        .mirostat = {o->mirostat_tau, o->mirostat_eta, 2 * o->mirostat_tau},
    };
    const llm_status status = arrays_open(s, o, error);
    if (status == LLM_OK) *out = s;
    else sampler_free(s);
    return status;
}

void sampler_free(struct sampler *s)
{
    if (!s) return;
    alloc_free(s->alloc, s->bias, s->n_bias * sizeof *s->bias);
    alloc_free(s->alloc, s->adjusted, s->n_vocab * sizeof *s->adjusted);
    alloc_free(s->alloc, s->counts, s->n_vocab * sizeof *s->counts);
    alloc_free(s->alloc, s->dry.tokens, s->n_vocab * sizeof *s->dry.tokens);
    alloc_free(s->alloc, s->items, s->capacity * sizeof *s->items);
    alloc_free(s->alloc, s, sizeof *s);
}

void sampler_set_breaks(struct sampler *s, sampler_breaks_fn breaks, void *user)
{
    s->dry.breaks = breaks;
    s->dry.user = user;
}

/* ---- logits as the options change them ---- */

static size_t window_of(const struct sampler *s, size_t n_history)
{
    return s->last_n < 0 || (size_t)s->last_n > n_history ? n_history : (size_t)s->last_n;
}

static void penalize(struct sampler *s, const int32_t *history, size_t n_history)
{
    const size_t window = window_of(s, n_history);
    const int32_t *const recent = history ? history + (n_history - window) : NULL;
    for (size_t i = 0; i < window; i++) {
        if (recent[i] >= 0 && (uint32_t)recent[i] < s->n_vocab) s->counts[recent[i]]++;
    }
    for (size_t i = 0; i < window; i++) {
        const int32_t id = recent[i];
        if (id < 0 || (uint32_t)id >= s->n_vocab || !s->counts[id]) continue;
        double x = s->adjusted[id];
        x = x > 0 ? x / s->repeat : x * s->repeat;
        x -= s->presence + s->frequency * s->counts[id];
        s->adjusted[id] = to_logit(x);
        s->counts[id] = 0;
    }
}

/* Changes adjusted where names() says. */
static void adjust(struct sampler *s, const int32_t *history, size_t n_history)
{
    for (size_t i = 0; i < s->n_bias; i++) {
        float *x = &s->adjusted[s->bias[i].id];
        *x = to_logit((double)*x + (double)s->bias[i].bias);
    }
    if (has_penalties(s)) penalize(s, history, n_history);
    if (has_dry(s)) dry_apply(&s->dry, s->adjusted, s->n_vocab, history, n_history);
}

static const float *adjust_all(struct sampler *s, const float *logits, const int32_t *history,
                               size_t n_history)
{
    if (!s->adjusted) return logits;
    memcpy(s->adjusted, logits, s->n_vocab * sizeof *logits);
    adjust(s, history, n_history);
    return s->adjusted;
}

/* False where there is no room for one more. */
static bool name(struct sampler *s, int32_t id, uint32_t ids[TOP_NAMED], uint32_t *n)
{
    if (id < 0 || (uint32_t)id >= s->n_vocab || s->counts[id]) return true;
    if (*n == TOP_NAMED) return false;
    s->counts[id] = 1;
    ids[(*n)++] = (uint32_t)id;
    return true;
}

/* The ids whose logits bias and penalties change, each once; false where they are too many. */
static bool names(struct sampler *s, const int32_t *history, size_t n_history,
                  uint32_t ids[TOP_NAMED], uint32_t *n)
{
    bool all = true;
    *n = 0;
    for (size_t i = 0; i < s->n_bias && all; i++) all = name(s, s->bias[i].id, ids, n);
    if (has_penalties(s)) {
        const size_t from = n_history - window_of(s, n_history);
        for (size_t i = from; i < n_history && all; i++) all = name(s, history[i], ids, n);
    }
    for (uint32_t i = 0; i < *n; i++) s->counts[ids[i]] = 0;
    return all;
}

/* ---- a choice ---- */

/* The top_k best logits (all when top_k is 0) that are neither banned nor NaN. Fills up, keeps the
 * best, goes on with what beats the worst of them: equal ones come later, and have higher ids. */
static size_t filter_top_k(struct sampler *s, const float *logits)
{
    const bool few = !has_mirostat(s) && s->top_k && s->top_k < s->n_vocab;
    const size_t k = few ? s->top_k : s->n_vocab;
    struct candidate *const c = s->items;
    float threshold = -INFINITY;
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_vocab; i++) {
        if (!(logits[i] > threshold)) continue;
        if (n == s->capacity) {
            select_best(c, n, k);
            n = k;
            threshold = c[0].logit;
            for (size_t j = 1; j < n; j++)
                threshold = c[j].logit < threshold ? c[j].logit : threshold;
            if (!(logits[i] > threshold)) continue;
        }
        const float logit = to_logit((double)logits[i]);
        c[n++] = (struct candidate){logit, 0, logit, (int32_t)i};
    }
    return keep_best(c, n, k);
}

static int32_t draw(const struct candidate *c, size_t n, double random)
{
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++) total += c[i].weight;
    int32_t id = c[0].id;
    for (size_t i = 0; i < n; i++) {
        if (!(c[i].weight > 0)) continue;
        id = c[i].id;
        sum += c[i].weight;
        if (sum > random * total) break;
    }
    return id;
}

/* -1: there is none. */
static int32_t best_of(const float *logits, uint32_t n)
{
    int32_t id = -1;
    float best = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        if (!(logits[i] > best)) continue;
        best = logits[i];
        id = (int32_t)i;
    }
    return id;
}

/* From the n best. -1: there is none. */
static int32_t sample(const struct sampler *s, size_t n, uint64_t position)
{
    struct candidate *c = s->items;
    if (n == 0) return -1;
    if (s->typical_p < 1 || s->top_p < 1 || s->min_p > 0) weigh(c, n, 1);
    if (s->typical_p < 1) n = filter_typical(&c, n, s->typical_p);
    if (s->top_p < 1) {
        const size_t kept = keep_share(c, n, s->top_p, false);
        c += n - kept;
        n = kept;
    }
    if (s->min_p > 0) n = filter_min_p(c, n, s->min_p);
    if (s->xtc_probability > 0 && random_at(~s->seed, position) < s->xtc_probability) {
        weigh(c, n, 1);
        n = xtc_filter(c, n, s->xtc_threshold);
    }
    weigh(c, n, s->temperature);
    return draw(c, n, random_at(s->seed, position));
}

static int32_t sample_mirostat(struct sampler *s, size_t n, uint64_t position)
{
    struct candidate *const c = s->items;
    if (n == 0) return -1;
    weigh(c, n, s->temperature);
    n = mirostat_cut(&s->mirostat, c, n);
    const int32_t id = draw(c, n, random_at(s->seed, position));
    mirostat_learn(&s->mirostat, c, n, id);
    return id;
}

/* ---- a token ---- */

static llm_status no_token(const struct sampler *s, struct llm_error *error)
{
    return error_set(error, LLM_BAD_STATE, "no token can follow: all %u are banned or not numbers",
                     s->n_vocab);
}

llm_status sampler_pick(struct sampler *s, const float *logits, const int32_t *history,
                        size_t n_history, uint64_t position, int32_t *id, double *logprob,
                        struct llm_error *error)
{
    assert(history || !n_history);
    const float *const adjusted = adjust_all(s, logits, history, n_history);
    *id = is_greedy(s)      ? best_of(adjusted, s->n_vocab)
          : has_mirostat(s) ? sample_mirostat(s, filter_top_k(s, adjusted), position)
                            : sample(s, filter_top_k(s, adjusted), position);
    if (*id < 0) return no_token(s, error);
    if (logprob) *logprob = log_probability(logits[*id], log_sum(logits, s->n_vocab));
    return LLM_OK;
}

/* ---- the same from what a device has found ---- */

/* A token that is among the k best once n_named logits have changed was among the k + n_named best
 * before, or is one of those. */
uint32_t sampler_wants(struct sampler *s, const int32_t *history, size_t n_history,
                       uint32_t n_logprobs, uint32_t named[TOP_NAMED], uint32_t *n_named)
{
    uint32_t k = is_greedy(s) ? 1 : s->top_k;
    *n_named = 0;
    if (k == 0 || k > TOP_MOST || has_dry(s) || (has_mirostat(s) && !is_greedy(s))) return 0;
    if (s->adjusted && !names(s, history, n_history, named, n_named)) return 0;
    k += *n_named;
    if (k < n_logprobs) k = n_logprobs;
    return k <= TOP_MOST ? k : 0;
}

static void add_candidate(struct sampler *s, size_t *n, uint32_t id, float x)
{
    const float logit = to_logit((double)x);
    if (!(x > -INFINITY)) return;
    s->items[(*n)++] =
        (struct candidate){(double)(is_greedy(s) ? x : logit), 0, logit, (int32_t)id};
}

/* The items but for those that are named, then those, changed. */
static size_t gather(struct sampler *s, const struct top *top, const uint32_t *named,
                     uint32_t n_named)
{
    size_t n = 0;
    for (uint32_t i = 0; i < n_named; i++) s->counts[named[i]] = 1;
    for (uint32_t i = 0; i < top->n; i++) {
        const uint32_t id = top->items[i].id;
        if (!n_named || !s->counts[id]) add_candidate(s, &n, id, top->items[i].logit);
    }
    for (uint32_t i = 0; i < n_named; i++) {
        s->counts[named[i]] = 0;
        add_candidate(s, &n, named[i], s->adjusted[named[i]]);
    }
    return n;
}

static float plain_logit(const struct top *top, const uint32_t *named, uint32_t n_named,
                         uint32_t id)
{
    for (uint32_t i = 0; i < top->n; i++)
        if (top->items[i].id == id) return top->items[i].logit;
    for (uint32_t i = 0; i < n_named; i++)
        if (named[i] == id) return top->named[i];
    return -INFINITY;
}

llm_status sampler_pick_top(struct sampler *s, const struct top *top, const int32_t *history,
                            size_t n_history, uint64_t position, int32_t *id, double *logprob,
                            struct llm_error *error)
{
    uint32_t named[TOP_NAMED], n_named = 0;
    if (s->adjusted) {
        names(s, history, n_history, named, &n_named);
        for (uint32_t i = 0; i < n_named; i++) s->adjusted[named[i]] = top->named[i];
        adjust(s, history, n_history);
    }
    size_t n = gather(s, top, named, n_named);
    n = keep_best(s->items, n, is_greedy(s) ? 1 : s->top_k);
    if (is_greedy(s)) *id = n ? s->items[0].id : -1;
    else *id = sample(s, n, position);
    if (*id < 0) return no_token(s, error);
    if (logprob)
        *logprob =
            log_probability(plain_logit(top, named, n_named, (uint32_t)*id), top_log_sum(top));
    return LLM_OK;
}
