/* Preloaded into sanitized runs: libraries stay loaded to the end, so that the leak checker can
 * name those it finds in drivers, and leaks.supp can leave them out. */
int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}
