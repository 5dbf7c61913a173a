/* The C interface without Lua: loads a model, continues a text and prints it as it comes.
 *   plain FILE.gguf [prompt] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm.h"

static int report(const char *what, const struct llm_error *error)
{
    fprintf(stderr, "%s: %s (%s)\n", what, error->message,
            llm_status_name((llm_status)error->status));
    return EXIT_FAILURE;
}

static int stream(llm_session *session, const char *text, struct llm_error *error)
{
    const struct llm_prompt prompt = {
        .size = sizeof prompt, .text = text, .text_size = strlen(text)};
    struct llm_generate_options options;
    llm_generate_defaults(&options, sizeof options);
    options.max_tokens = 64;
    options.temperature = 0;

    llm_generation *generation = NULL;
    if (llm_generation_start(session, &prompt, &options, &generation, error))
        return report("start", error);

    struct llm_piece piece = {.size = sizeof piece};
    llm_status status;
    do {
        status = llm_generation_wait_piece(generation, -1);
        while (llm_generation_next(generation, &piece)) {
            fwrite(piece.text, 1, piece.text_size, stdout);
            fflush(stdout);
        }
    } while (status == LLM_RUNNING);
    putchar('\n');

    struct llm_result result = {.size = sizeof result};
    status = llm_generation_result(generation, &result);
    const int failed = status != LLM_OK || result.status != LLM_OK;
    if (failed)
        fprintf(stderr, "generation: %s\n", status == LLM_OK ? result.error : "has no result");
    else
        fprintf(stderr, "[%u tokens, %.1f/s, finish: %s]\n", (unsigned)result.tokens,
                result.generate_ms > 0 ? 1e3 * result.tokens / result.generate_ms : 0,
                result.finish);
    llm_generation_free(generation);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const int help = argc > 1 && strcmp(argv[1], "--help") == 0;
    if (argc < 2 || help) {
        fprintf(help ? stdout : stderr, "usage: %s FILE.gguf [prompt]\n", argv[0]);
        return help ? 0 : 2;
    }
    struct llm_error error = {.size = sizeof error};
    llm *root = NULL;
    llm_model *model = NULL;
    llm_session *session = NULL;
    int code;

    if (llm_create(&root, NULL, &error)) code = report("create", &error);
    else if (llm_load(root, argv[1], NULL, &model, &error)) code = report("load", &error);
    else if (llm_session_create(model, 0, &session, &error)) code = report("session", &error);
    else code = stream(session, argc > 2 ? argv[2] : "Once upon a time", &error);

    llm_session_free(session);
    llm_model_free(model);
    llm_free(root);
    return code;
}
