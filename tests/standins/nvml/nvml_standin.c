/* Stand-in for NVIDIA's libnvidia-ml.so.1, for tests on machines without a GPU: real names and struct
 * layouts of the calls the agent makes (nvml.h 12/13), answers from a text file that is read again
 * whenever it has changed. No driver and no card: what real ones do beyond nvml.h it cannot show.
 *
 * File named by SAMEPAGE_NVML_STANDIN, one "key value" per line; D is gpuI or gpuI.mJ (a MIG instance):
 *   init CODE | driver VERSION | count N | countfails CODE | hang SECONDS (each device count waits)
 *   events N | eventK "GPU TYPE DATA" (each given out once per process)
 *   D.uuid TEXT | D.name TEXT | D.total D.used D.free D.reserved BYTES | D.gi D.ci NUMBER
 *   D.busy D.membusy PERCENT | D.power D.powerlimit MILLIWATTS | D.temp CELSIUS | D.computemode NUMBER
 *   D.mig "CURRENT PENDING" | D.migs N | D.ecc N | D.remap "CORR UNC PENDING FAILED" | D.retired 0|1
 *   D.virt NUMBER | D.addressing NUMBER | D.pcie "TX RX" | D.pciegen N | D.pciewidth N
 *   D.procs N | D.procK "PID BYTES|? C|M|G" | D.utils N | D.utilK "PID MICROSECONDS SM MEM" | D.utilnone CODE
 *   D.utilall 1 (old samples too) | D.gpm 1 (a card with GPM) | D.gpmgiG PERCENT (of GPU instance G)
 *   D.CALL CODE (CALL fails so; an absent key of a value that not every card has: NOT_SUPPORTED)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int nvmlReturn_t;
typedef void *nvmlDevice_t;
typedef void *nvmlEventSet_t;
typedef struct { unsigned long long total, free, used; } nvmlMemory_t;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } nvmlMemory_v2_t;
typedef struct { unsigned int gpu, memory; } nvmlUtilization_t;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gi, ci; } nvmlProcessInfo_t;
typedef struct { unsigned int pid; unsigned long long ts; unsigned int sm, mem, enc, dec; } nvmlProcessUtilizationSample_t;
typedef struct { nvmlDevice_t device; unsigned long long type, data; unsigned int gi, ci; } nvmlEventData_t;
typedef struct { unsigned int version, value; } nvmlDeviceAddressingMode_t;

_Static_assert(sizeof(nvmlMemory_t) == 24, "memory v1");
_Static_assert(sizeof(nvmlMemory_v2_t) == 40, "memory v2");
_Static_assert(sizeof(nvmlProcessInfo_t) == 24, "process v3");
_Static_assert(sizeof(nvmlProcessUtilizationSample_t) == 32, "process utilisation");
_Static_assert(sizeof(nvmlEventData_t) == 32, "event");

enum { BUCKETS = 16384, SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMED_OUT = 10 };

struct entry { struct entry *next; char *key, *value; };
static struct entry *table[BUCKETS];
static struct timespec read_at;
static long long read_size = -1;
static ino_t read_inode;
static unsigned int events_given;

static unsigned int hash(const char *key) {
    unsigned int h = 2166136261u;
    while (*key) h = (h ^ (unsigned char)*key++) * 16777619u;
    return h % BUCKETS;
}

static void load(void) {
    const char *path = getenv("SAMEPAGE_NVML_STANDIN");
    struct stat now;
    if (!path || stat(path, &now)) return;
    if (now.st_size == read_size && now.st_ino == read_inode && now.st_mtim.tv_sec == read_at.tv_sec &&
        now.st_mtim.tv_nsec == read_at.tv_nsec) return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    for (int i = 0; i < BUCKETS; i++)
        while (table[i]) {
            struct entry *gone = table[i];
            table[i] = gone->next;
            free(gone->key);
            free(gone);
        }
    char line[512];
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        char *space = strchr(line, ' ');
        if (!space) continue;
        struct entry *new = malloc(sizeof *new);
        new->key = strdup(line);
        new->key[space - line] = 0;
        new->value = new->key + (space - line) + 1;
        /* The later line of a key comes first in its bucket and wins. */
        new->next = table[hash(new->key)];
        table[hash(new->key)] = new;
    }
    fclose(file);
    read_at = now.st_mtim;
    read_size = now.st_size;
    read_inode = now.st_ino;
}

static const char *find(const char *key) {
    for (struct entry *each = table[hash(key)]; each; each = each->next)
        if (!strcmp(each->key, key)) return each->value;
    return NULL;
}

static unsigned long long number(const char *key, unsigned long long otherwise) {
    const char *value = find(key);
    return value ? strtoull(value, NULL, 10) : otherwise;
}

/* A handle is 1 + the index of the card + 1000 * (1 + the index of its MIG instance). */
static const char *of(nvmlDevice_t device, const char *what) {
    char key[96];
    long handle = (long)device - 1;
    if (handle >= 1000) snprintf(key, sizeof key, "gpu%ld.m%ld.%s", handle % 1000, handle / 1000 - 1, what);
    else snprintf(key, sizeof key, "gpu%ld.%s", handle, what);
    return find(key);
}

static unsigned long long number_of(nvmlDevice_t device, const char *what) {
    const char *value = of(device, what);
    return value ? strtoull(value, NULL, 10) : 0;
}

static nvmlReturn_t fails(nvmlDevice_t device, const char *call) {
    return (int)(of(device, "allfails") ? number_of(device, "allfails") : number_of(device, call));
}

/* One number, NOT_SUPPORTED without a line for it. */
static nvmlReturn_t one(nvmlDevice_t device, const char *what, unsigned int *value) {
    char call[64];
    snprintf(call, sizeof call, "%sfails", what);
    nvmlReturn_t failed = fails(device, call);
    if (failed) return failed;
    if (!of(device, what)) return NOT_SUPPORTED;
    *value = (unsigned int)number_of(device, what);
    return SUCCESS;
}

nvmlReturn_t nvmlInitWithFlags(unsigned int flags) { (void)flags; load(); return (int)number("init", 0); }
nvmlReturn_t nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
nvmlReturn_t nvmlShutdown(void) { return SUCCESS; }

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int size) {
    load();
    snprintf(version, size, "%s", find("driver") ? find("driver") : "580.00.00");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count) {
    load();
    sleep((unsigned int)number("hang", 0));
    *count = (unsigned int)number("count", 0);
    return (int)number("countfails", 0);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device) {
    load();
    *device = (void *)(long)(index + 1);
    return fails(*device, "handlefails");
}

static nvmlReturn_t word(nvmlDevice_t device, const char *what, char *value, unsigned int size) {
    nvmlReturn_t failed = fails(device, what);
    if (of(device, "allfails")) return failed;
    if (!of(device, what)) return NOT_SUPPORTED;
    snprintf(value, size, "%s", of(device, what));
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int size) {
    return word(device, "name", name, size);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int size) {
    return word(device, "uuid", uuid, size);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
    memory->total = number_of(device, "total");
    /* Version 1 counts the driver's reserve as used. */
    memory->used = number_of(device, "used") + number_of(device, "reserved");
    memory->free = number_of(device, "free");
    return fails(device, "memoryfails");
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
    if (memory->version != 0x02000028) return 25;
    memory->total = number_of(device, "total");
    memory->used = number_of(device, "used");
    memory->free = number_of(device, "free");
    memory->reserved = number_of(device, "reserved");
    return fails(device, "memory2fails");
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *rates) {
    rates->gpu = (unsigned int)number_of(device, "busy");
    rates->memory = (unsigned int)number_of(device, "membusy");
    return fails(device, "ratesfails");
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t d, unsigned int *v) { return one(d, "power", v); }
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t d, unsigned int *v) { return one(d, "powerlimit", v); }
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t d, int sensor, unsigned int *v) { (void)sensor; return one(d, "temp", v); }
nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t d, unsigned int *v) { return one(d, "pciegen", v); }
nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t d, unsigned int *v) { return one(d, "pciewidth", v); }
nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t d, unsigned int *v) { return one(d, "gi", v); }
nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t d, unsigned int *v) { return one(d, "ci", v); }
nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t d, unsigned int *v) { return one(d, "retired", v); }

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, unsigned int *mode) {
    *mode = (unsigned int)number_of(device, "computemode");
    return fails(device, "computemodefails");
}

nvmlReturn_t nvmlDeviceGetVirtualizationMode(nvmlDevice_t device, unsigned int *mode) {
    *mode = (unsigned int)number_of(device, "virt");
    return fails(device, "virtfails");
}

nvmlReturn_t nvmlDeviceGetAddressingMode(nvmlDevice_t device, nvmlDeviceAddressingMode_t *mode) {
    return one(device, "addressing", &mode->value);
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, int error, int counter, unsigned long long *count) {
    (void)error; (void)counter;
    unsigned int found = 0;
    nvmlReturn_t answer = one(device, "ecc", &found);
    *count = found;
    return answer;
}

nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned int *corrected, unsigned int *uncorrected,
                                       unsigned int *pending, unsigned int *failed) {
    const char *text = of(device, "remap");
    if (!text) return NOT_SUPPORTED;
    return sscanf(text, "%u %u %u %u", corrected, uncorrected, pending, failed) == 4 ? SUCCESS : INVALID;
}

nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, int counter, unsigned int *kib) {
    unsigned int tx = 0, rx = 0;
    const char *text = of(device, "pcie");
    if (!text) return NOT_SUPPORTED;
    sscanf(text, "%u %u", &tx, &rx);
    *kib = counter ? rx : tx;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending) {
    const char *text = of(device, "mig");
    if (!text) return NOT_SUPPORTED;
    return sscanf(text, "%u %u", current, pending) == 2 ? SUCCESS : INVALID;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count) {
    *count = (unsigned int)number_of(device, "migs");
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *instance) {
    *instance = (void *)((long)device + 1000L * (index + 1));
    return of(*instance, "uuid") ? SUCCESS : NOT_FOUND;
}

static nvmlReturn_t listed(nvmlDevice_t device, char kind, unsigned int *count, nvmlProcessInfo_t *list) {
    char what[32], is;
    unsigned int all = (unsigned int)number_of(device, "procs"), found = 0, pid;
    for (int round = 0; round < 2; round++) {
        found = 0;
        for (unsigned int i = 0; i < all; i++) {
            char bytes[32];
            snprintf(what, sizeof what, "proc%u", i);
            const char *text = of(device, what);
            if (!text || sscanf(text, "%u %31s %c", &pid, bytes, &is) != 3 || is != kind) continue;
            if (round)
                list[found] = (nvmlProcessInfo_t){pid, bytes[0] == '?' ? ~0ULL : strtoull(bytes, NULL, 10), ~0U, ~0U};
            found++;
        }
        if (!found) break;
        if (!list || *count < found) {
            *count = found;
            return TOO_SMALL;
        }
    }
    *count = found;
    return SUCCESS;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *list) {
    nvmlReturn_t failed = fails(device, "processesfails");
    return failed ? failed : listed(device, 'C', count, list);
}

#ifndef NO_MPS_SYMBOL
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *list) {
    nvmlReturn_t failed = fails(device, "mpsfails");
    return failed ? failed : listed(device, 'M', count, list);
}
#endif

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned int *count, nvmlProcessInfo_t *list) {
    nvmlReturn_t failed = fails(device, "graphicsfails");
    return failed ? failed : listed(device, 'G', count, list);
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *list,
                                             unsigned int *count, unsigned long long since) {
    nvmlReturn_t failed = fails(device, "utilfails");
    if (failed) return failed;
    unsigned int all = (unsigned int)number_of(device, "utils"), found = 0;
    for (unsigned int i = 0; i < all; i++) {
        char what[32];
        nvmlProcessUtilizationSample_t sample = {0};
        snprintf(what, sizeof what, "util%u", i);
        const char *text = of(device, what);
        if (!text || sscanf(text, "%u %llu %u %u", &sample.pid, &sample.ts, &sample.sm, &sample.mem) != 4) continue;
        if (sample.ts <= since && !number_of(device, "utilall")) continue;
        if (list && found < *count) list[found] = sample;
        found++;
    }
    if (!found) {
        *count = 0;
        return of(device, "utilnone") ? (int)number_of(device, "utilnone") : NOT_FOUND;
    }
    if (!list || *count < found) {
        *count = found;
        return TOO_SMALL;
    }
    *count = found;
    return SUCCESS;
}

typedef struct { unsigned int version, supported; } nvmlGpmSupport_t;
typedef struct { nvmlDevice_t device; unsigned int gi; } *nvmlGpmSample_t;
typedef struct { unsigned int id; int code; double value; const char *names[3]; } nvmlGpmMetric_t;
typedef struct { unsigned int version, count; nvmlGpmSample_t first, second; nvmlGpmMetric_t metrics[]; } nvmlGpmMetricsGet_t;

_Static_assert(sizeof(nvmlGpmMetric_t) == 40, "GPM metric");

nvmlReturn_t nvmlGpmQueryDeviceSupport(nvmlDevice_t device, nvmlGpmSupport_t *support) {
    if (support->version != 1) return 25;
    support->supported = (unsigned int)number_of(device, "gpm");
    return SUCCESS;
}

nvmlReturn_t nvmlGpmSampleAlloc(nvmlGpmSample_t *sample) { *sample = calloc(1, sizeof **sample); return SUCCESS; }
nvmlReturn_t nvmlGpmSampleFree(nvmlGpmSample_t sample) { free(sample); return SUCCESS; }

nvmlReturn_t nvmlGpmMigSampleGet(nvmlDevice_t device, unsigned int gi, nvmlGpmSample_t sample) {
    sample->device = device;
    sample->gi = gi;
    return fails(device, "gpmfails");
}

nvmlReturn_t nvmlGpmMetricsGet(nvmlGpmMetricsGet_t *asked) {
    char what[32];
    if (asked->version != 1 || asked->first->device != asked->second->device) return INVALID;
    snprintf(what, sizeof what, "gpmgi%u", asked->second->gi);
    asked->metrics[0].code = asked->metrics[0].id == 1 ? SUCCESS : NOT_SUPPORTED;
    asked->metrics[0].value = (double)number_of(asked->second->device, what);
    return SUCCESS;
}

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) { *set = (void *)1; return SUCCESS; }
nvmlReturn_t nvmlEventSetFree(nvmlEventSet_t set) { (void)set; return SUCCESS; }

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
    (void)types; (void)set;
    return fails(device, "eventsfails");
}

nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned int milliseconds) {
    (void)set; (void)milliseconds;
    load();
    if (events_given >= number("events", 0)) return TIMED_OUT;
    char key[32];
    unsigned int index = 0;
    snprintf(key, sizeof key, "event%u", events_given++);
    memset(data, 0, sizeof *data);
    const char *text = find(key);
    if (!text || sscanf(text, "%u %llu %llu", &index, &data->type, &data->data) != 3) return TIMED_OUT;
    data->device = (void *)(long)(index + 1);
    data->gi = data->ci = ~0U;
    return SUCCESS;
}
