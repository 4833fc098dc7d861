/* Opens plugins: a shared library with one symbol that gives a versioned table. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "alloc.h"

static int32_t refuse(rnnrt_error *err, int32_t code, const char *what)
{
    memset(err, 0, sizeof *err);
    err->code = code;
    err->op = -1;
    snprintf(err->msg, sizeof err->msg, "%s", what);
    return code;
}

int32_t rnnrt_backend_check(const rnnrt_backend *api, rnnrt_error *err)
{
    if (!api)
        return refuse(err, RNNRT_EABI, "the plugin gave no table");
    if (api->struct_size < RNNRT_BACKEND_LEAST)
        return refuse(err, RNNRT_EABI, "the plugin's table is shorter than this version of rnnrt needs");
    if (api->abi >> 16 != RNNRT_ABI_MAJOR)
        return refuse(err, RNNRT_EABI, "the plugin was built for another major version of the backend ABI");
    if (!api->name || !api->build_info || !api->device_count || !api->device_info || !api->supports || !api->model_create
        || !api->model_release || !api->model_run || !api->model_workspace || !api->model_cost || !api->session_create
        || !api->session_release || !api->session_run || !api->session_get_rows || !api->session_set_rows
        || !api->pool_create || !api->pool_release || !api->pool_reserve || !api->pool_run || !api->pool_get_rows
        || !api->pool_set_rows)
        return refuse(err, RNNRT_EABI, "a member of the plugin's table is NULL");
    return RNNRT_OK;
}

int32_t rnnrt_backend_open(const char *path, const rnnrt_backend **out, rnnrt_error *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        return refuse(err, RNNRT_EABI, why ? why : "dlopen failed");
    }
    rnnrt_backend_get_api_fn *get_api;
    void *symbol = dlsym(library, "rnnrt_backend_get_api");
    memcpy(&get_api, &symbol, sizeof symbol); /* ISO C has no cast from object to function pointers */
    if (!get_api)
        return refuse(err, RNNRT_EABI, "the library does not export rnnrt_backend_get_api");
    const rnnrt_backend *api = NULL;
    int32_t rc = get_api(RNNRT_ABI, &api);
    if (rc)
        return refuse(err, RNNRT_EABI, "the plugin refuses this version of rnnrt");
    if ((rc = rnnrt_backend_check(api, err)))
        return rc;
    if (api->struct_size < sizeof *api) { /* an older minor version: what it has not is NULL */
        rnnrt_backend *whole = rnnrt_alloc_zero(sizeof *whole);
        if (!whole)
            return refuse(err, RNNRT_ENOMEM, "no memory for the plugin's table");
        memcpy(whole, api, api->struct_size);
        api = whole;
    }
    *out = api;
    return RNNRT_OK;
}
