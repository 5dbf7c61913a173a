/* The clock that hosts see. */
#include "os.h"

double llm_clock(void)
{
    return os_clock();
}

void llm_sleep(double seconds)
{
    os_sleep(seconds);
}
