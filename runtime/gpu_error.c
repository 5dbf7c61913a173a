#include "gpu_error.h"

static const struct {
    enum gpu_status from;
    llm_status to;
} statuses[] = {
    {GPU_NO_DEVICE, LLM_NO_DEVICE}, {GPU_OUT_OF_MEMORY, LLM_OUT_OF_MEMORY},
    {GPU_LOST, LLM_DEVICE_LOST},    {GPU_UNSUPPORTED, LLM_UNSUPPORTED},
    {GPU_FAILED, LLM_DEVICE_LOST},
};

llm_status gpu_failed(enum gpu_status status, const struct gpu_error *from, struct llm_error *error)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (statuses[i].from == status)
            return error_set(error, statuses[i].to, "%s", from->message);
    }
    return LLM_OK;
}
