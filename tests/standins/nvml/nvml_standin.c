/* Stand-in for NVIDIA's libnvidia-ml.so.1, for tests on machines without a GPU: real names and struct
 * layouts of the calls the agent makes (nvml.h 12/13), answers from a text file read at every call.
 *
 * File named by SAMEPAGE_NVML_STANDIN, one "key value" per line:
 *   init CODE | count N | hang SECONDS (each device count waits) | gpuI.CALL CODE (CALL fails with CODE)
 *   gpuI.name TEXT | gpuI.uuid TEXT | gpuI.total|used|free|busy|pids NUMBER | gpuI.badpid 1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef void *nvmlDevice_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } nvmlMemory_v2_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gi, ci; } nvmlProcessInfo_t;

_Static_assert(sizeof(nvmlMemory_t) == 24, "memory v1");
_Static_assert(sizeof(nvmlMemory_v2_t) == 40, "memory v2");
_Static_assert(sizeof(nvmlProcessInfo_t) == 24, "process v3");

static int text(const char *key, char *value, size_t size) {
    const char *path = getenv("SAMEPAGE_NVML_STANDIN");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[256];
    size_t length = strlen(key);
    int found = 0;
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, key, length) && line[length] == ' ') {
            line[strcspn(line, "\n")] = 0;
            snprintf(value, size, "%s", line + length + 1);
            found = 1;
        }
    if (file) fclose(file);
    return found;
}

static unsigned long long number(const char *key, unsigned long long otherwise) {
    char value[128];
    return text(key, value, sizeof value) ? strtoull(value, NULL, 10) : otherwise;
}

static int of(nvmlDevice_t device, const char *what, unsigned long long *value) {
    char key[64];
    snprintf(key, sizeof key, "gpu%d.%s", (int)((long)device - 1), what);
    *value = number(key, 0);
    return (int)*value;
}

static nvmlReturn_t fails(nvmlDevice_t device, const char *call) {
    unsigned long long code;
    return of(device, call, &code);
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) { (void)flags; return (int)number("init", 0); }
nvmlReturn_t nvmlInit_v2(void) { return (int)number("init", 0); }
nvmlReturn_t nvmlShutdown(void) { return 0; }

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    sleep((unsigned int)number("hang", 0));
    *count = (unsigned int)number("count", 0);
    return (int)number("countfails", 0);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    *device = (void *)(long)(index + 1);
    return fails(*device, "handlefails");
}

static nvmlReturn_t word(nvmlDevice_t device, const char *what, char *value, unsigned int size) {
    char key[64];
    snprintf(key, sizeof key, "gpu%d.%s", (int)((long)device - 1), what);
    return text(key, value, size) ? 0 : 3;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int size) {
    return word(device, "name", name, size);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int size) {
    return word(device, "uuid", uuid, size);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    of(device, "total", &memory->total);
    of(device, "used", &memory->used);
    of(device, "free", &memory->free);
    return fails(device, "memoryfails");
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    if (memory->version != 0x02000028) return 25;
    of(device, "total", &memory->total);
    of(device, "used", &memory->used);
    of(device, "free", &memory->free);
    memory->reserved = 0;
    return fails(device, "memory2fails");
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    unsigned long long busy;
    of(device, "busy", &busy);
    rates->gpu = (unsigned int)busy;
    rates->memory = 0;
    return fails(device, "ratesfails");
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_t *list) {
    unsigned long long pids, bad;
    nvmlReturn_t failed = fails(device, "processesfails");
    if (failed) return failed;
    of(device, "pids", &pids);
    of(device, "badpid", &bad);
    if (!list || *count < pids) {
        *count = (unsigned int)pids;
        return pids ? 7 : 0;
    }
    for (unsigned int i = 0; i < pids; i++)
        list[i] = (nvmlProcessInfo_t){bad ? 0 : 1000 + i, ~0ULL, ~0U, ~0U};
    *count = (unsigned int)pids;
    return 0;
}

/* One process also draws: it must not be counted twice. No MPS symbol: an older driver. */
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                      nvmlProcessInfo_t *list) {
    unsigned long long pids;
    of(device, "pids", &pids);
    if (!pids) { *count = 0; return 0; }
    if (!list || *count < 1) { *count = 1; return 7; }
    list[0] = (nvmlProcessInfo_t){1000, 4096, ~0U, ~0U};
    *count = 1;
    return 0;
}
